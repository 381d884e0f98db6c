"""What terminals and browsers would obey, or not show, is visible; letters stay as they are."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.wording import visible
from tests.support.strange_text import ANY_TEXT, is_seen


@given(ANY_TEXT)
def test_nothing_is_left_that_is_not_seen(text):
    assert is_seen(visible(text))


@given(ANY_TEXT)
def test_visible_text_stays_as_it_is(text):
    assert visible(visible(text)) == visible(text)


@given(st.characters(categories=("L", "M", "N", "P", "S", "Zs")).filter(str.strip))
def test_letters_marks_and_signs_stay(letter):
    assert visible(letter) == letter or unicodedata.name(letter).endswith(("FILLER", "JOINER"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\n\tb", r"a\r\n\tb"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202eliver\u2066", r"\u202eliver\u2066"),
        ("a\u2028b\u200ec", r"a\u2028b\u200ec"),
        ("liv\u200der \u200cliver liver\u200d", r"liv\u200der \u200cliver liver\u200d"),
        ("\ufeffa\u00adb\U000e0041", r"\ufeffa\xadb\U000e0041"),
        ("\udcff", r"\udcff"),
    ],
)
def test_escapes_name_the_character(text, expected):
    assert visible(text) == expected


@pytest.mark.parametrize(
    "word",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a non-joiner
        "\u0915\u094d\u200d\u0937",  # Hindi, with a joiner
        "\U0001f469\U0001f3fd\u200d\U0001f52c",  # one emoji of two, joined
        "\u2764\ufe0f",  # a variation selector
        "e\u0301 naïve 肝臓 9\u00a0%",
    ],
)
def test_words_of_every_script_stay(word):
    assert visible(word) == word
