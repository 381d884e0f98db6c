"""Values of annotations as people write them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annotator.domain.fields import FIELDS, FieldDefinition, LabelScheme, spelling_key
from annotator.domain.values.intervals import Interval, interval_around, interval_of
from annotator.domain.values.missing import MISSING_WORDS, is_missing
from annotator.domain.values.reading import (
    Problem,
    ValueReader,
    declared_words,
    describe,
    value_use,
)

AGE, SEX, TISSUE = (ValueReader(FIELDS[name]) for name in ("age", "sex", "tissue"))
TEMPERATURE = ValueReader(
    FieldDefinition(
        name="temperature", scheme=LabelScheme.INTERVALS, limits=(-20.0, 0.0, 40.0), unit="°C"
    )
)


def categories(vocabulary, synonyms=()) -> ValueReader:
    definition = FieldDefinition(
        name="kit",
        scheme=LabelScheme.CATEGORIES,
        vocabulary=tuple(vocabulary),
        synonyms=dict(synonyms),
    )
    return ValueReader(definition)


def test_an_endless_text_is_no_label() -> None:
    assert TISSUE.class_of("liver " * 500) == (None, Problem.TOO_LONG)


# --- missing values ---


@pytest.mark.parametrize("word", MISSING_WORDS)
@pytest.mark.parametrize("change", [str.upper, str.title, " {} ".format, "_{}_".format])
def test_words_for_a_missing_value_are_known_in_any_case(word, change) -> None:
    for written in (change(word), change(word.replace(" ", "_"))):
        assert is_missing(written)
        for reader in (AGE, SEX, TISSUE):
            assert reader.read(written).problem is Problem.MISSING


@pytest.mark.parametrize("text", ["", "  ", "-", "--", ".", "?", "<NA>", "#N/A", "n.a.", "[none]"])
def test_punctuation_alone_or_around_a_word_is_missing(text) -> None:
    assert is_missing(text)


@pytest.mark.parametrize(
    "text", ["nasal mucosa", "0", "blank cells", "sodium", "日本", "nose", "+"]
)
def test_other_words_are_not_missing(text) -> None:
    assert not is_missing(text)
    assert TISSUE.read(text).value == text


def test_a_value_of_the_vocabulary_is_not_missing_in_that_field() -> None:
    disease = categories(["none", "tumour"], {"n/a": "none"})
    assert [disease.read(text).value for text in ("None", "N/A", "Tumour")] == [
        *("none", "none", "tumour")
    ]
    assert disease.read("unknown").problem is Problem.MISSING
    fields = {**FIELDS, "disease": replace(disease.definition, name="disease")}
    found = {each for each in declared_words(fields) if each[0] == "disease"}
    assert found == {
        *(("disease", spelling, "none") for spelling in ("none", "n/a")),
        ("disease", "tumour", "tumour"),
    }


# --- categories ---


@pytest.mark.parametrize(
    ("text", "value"),
    [("F", "female"), ("m", "male"), ("FEMALE", "female"), ("Woman", "female"), ("men", "male")],
)
def test_sex_is_read_as_people_write_it(text, value) -> None:
    assert SEX.read(f" {text} ").value == value


@pytest.mark.parametrize("text", ["1", "2", "mixed", "XY", "male;female"])
def test_other_values_of_sex_are_not_understood(text) -> None:
    assert SEX.read(text).problem is Problem.NOT_IN_VOCABULARY
    assert "of [fields.sex]" in describe(Problem.NOT_IN_VOCABULARY, SEX.definition)


words = st.text("abcXYZäÖß-_ 12", min_size=1, max_size=6).filter(
    lambda each: each == each.strip() and spelling_key(each)
)
vocabularies = st.lists(words, min_size=2, max_size=6, unique_by=spelling_key)


@given(vocabularies, st.data())
def test_categories_are_read_in_any_case_and_by_their_synonyms(vocabulary, data) -> None:
    keys = set(map(spelling_key, vocabulary))
    other = data.draw(words.filter(lambda each: spelling_key(each) not in keys))
    meant = data.draw(st.sampled_from(vocabulary))
    reader = categories(vocabulary, {other: meant})
    for value in vocabulary:
        for text in (value, value.upper(), value.lower(), value.swapcase()):
            assert reader.read(text).value == value
    for text in (other, other.upper(), other.lower(), other.swapcase()):
        assert reader.read(text).value == meant


@given(vocabularies, st.text())
def test_a_text_that_spells_no_category_is_not_used(vocabulary, text) -> None:
    assume(spelling_key(text) not in set(map(spelling_key, vocabulary)))
    expected = Problem.MISSING if is_missing(text.strip()) else Problem.NOT_IN_VOCABULARY
    assert categories(vocabulary).class_of(text) == (None, expected)


@given(st.text())
def test_terms_of_an_ontology_are_read_as_they_are(text) -> None:
    assume(not is_missing(text.strip()))
    assert TISSUE.read(text).value == text.strip()


# --- numbers and intervals ---


@pytest.mark.parametrize(
    ("text", "value", "number", "name"),
    [
        ("35", "35", 35, "[0;65]"),
        ("35.0", "35", 35, "[0;65]"),
        ("040", "40", 40, "[0;65]"),
        ("1e2", "100", 100, "(65;110]"),
        ("-0", "0", 0, "[0;65]"),
        ("34,5", "34.5", 34.5, "[0;65]"),
        ("35 years", "35", 35, "[0;65]"),
        ("35y", "35", 35, "[0;65]"),
        ("35 yr", "35", 35, "[0;65]"),
        ("35-years-old", "35", 35, "[0;65]"),
        ("61.4 yr", "61.4", 61.4, "[0;65]"),
        ("70 Yrs.", "70", 70, "(65;110]"),
        ("6 months", "0.5", 0.5, "[0;65]"),
        ("2 weeks", "0.03833", 0.03833, "[0;65]"),
        ("14 days", "0.03833", 0.03833, "[0;65]"),
        ("P14D", "0.03833", 0.03833, "[0;65]"),
        (">89", ">89", None, "(65;110]"),
        ("> 89 years", ">89", None, "(65;110]"),
        ("90+", ">=90", None, "(65;110]"),
        ("90+ years", ">=90", None, "(65;110]"),
        ("≥ 90", ">=90", None, "(65;110]"),
        ("<1", "<1", None, "[0;65]"),
        ("< 6 months", "<0.5", None, "[0;65]"),
        ("20-30", "[20;30]", None, "[0;65]"),
        ("20–30 years", "[20;30]", None, "[0;65]"),
        ("20 to 30", "[20;30]", None, "[0;65]"),
        ("6 months - 2 years", "[0.5;2]", None, "[0;65]"),
        ("20-20", "20", 20, "[0;65]"),
        ("[0;65]", "[0;65]", None, "[0;65]"),
        ("(65;110]", "(65;110]", None, "(65;110]"),
        ("(20,30]", "(20;30]", None, "[0;65]"),
        ("[66; 70,5)", "[66;70.5)", None, "(65;110]"),
    ],
)
def test_ages_are_read_as_people_write_them(text, value, number, name) -> None:
    found = AGE.read(text)
    assert (found.value, found.number) == (value, number)
    assert AGE.class_of(text) == (name, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("adult", Problem.NOT_A_NUMBER),
        ("Nov-20", Problem.NOT_A_NUMBER),
        ("P14", Problem.NOT_A_NUMBER),
        ("35 m", Problem.NOT_A_NUMBER),
        ("35 kg", Problem.NOT_A_NUMBER),
        ("5_8", Problem.NOT_A_NUMBER),
        ("٣", Problem.NOT_A_NUMBER),
        ("inf", Problem.NOT_A_NUMBER),
        ("30-20", Problem.NOT_A_NUMBER),
        ("2020-11-05", Problem.NOT_A_NUMBER),
        ("1,000", Problem.AMBIGUOUS_COMMA),
        ("-5", Problem.TOO_SMALL),
        ("-1e400", Problem.TOO_SMALL),
        ("131", Problem.TOO_LARGE),
        ("1e400", Problem.TOO_LARGE),
        ("[0;1e400]", Problem.TOO_LARGE),
        ("120-140", Problem.TOO_LARGE),
    ],
)
def test_an_age_that_is_not_understood_has_a_reason(text, problem) -> None:
    assert AGE.read(text).problem is problem
    assert AGE.class_of(text) == (None, problem)
    assert describe(problem, AGE.definition)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("60-70", Problem.SEVERAL_CLASSES),
        (">=65", Problem.SEVERAL_CLASSES),
        (">50", Problem.SEVERAL_CLASSES),
        ("120", Problem.OUTSIDE_LIMITS),
        (">110", Problem.OUTSIDE_LIMITS),
        ("100-120", Problem.OUTSIDE_LIMITS),
    ],
)
def test_an_age_that_is_in_no_class_is_kept_as_a_value(text, problem) -> None:
    assert AGE.read(text).value
    assert AGE.class_of(text) == (None, problem)


def test_a_stored_number_takes_precedence_over_the_text() -> None:
    assert AGE.class_of("old", 70.0) == ("(65;110]", None)
    assert AGE.class_of("35 years", math.nan) == ("[0;65]", None)
    assert AGE.class_of("35", 111.0) == (None, Problem.OUTSIDE_LIMITS)


def test_other_units_are_not_converted() -> None:
    assert TEMPERATURE.read("37 °c").number == 37
    assert TEMPERATURE.read("-20--5").value == "[-20;-5]"
    assert TEMPERATURE.read("-20.5").problem is Problem.TOO_SMALL
    assert TEMPERATURE.read("37 years").problem is Problem.NOT_A_NUMBER
    weeks = ValueReader(replace(AGE.definition, unit="weeks"))
    assert (weeks.read("7 weeks").number, weeks.read("7")) == (7, weeks.read("7 Weeks"))
    assert weeks.read("7 days").problem is Problem.NOT_A_NUMBER


def test_every_class_is_read_as_itself_whatever_the_largest_number_is() -> None:
    wide = ValueReader(replace(AGE.definition, limits=(0.0, 65.0, 150.0)))
    assert wide.class_of("(65;150]") == ("(65;150]", None)


@given(st.floats(0, 130))
def test_a_number_is_read_exactly(number) -> None:
    assert AGE.read(repr(number)).number == number
    assert AGE.read(f"+{number!r} years").number == number


pieces = st.sampled_from(
    [
        *("1", "20", "65", "110", ".5", "1e2", ",", "-", "–", "+", "<", ">", "≥", "[", "(", "]"),
        *(")", ";", " ", "y", "years", "months", "d", "P", "D", "to", "NA", "e", "..", "٣"),
    ]
)
written = st.one_of(st.text(), st.lists(pieces, max_size=8).map("".join))


@given(written)
def test_any_text_is_read_without_an_error_and_stored_values_are_read_the_same(text) -> None:
    for reader in (AGE, SEX, TISSUE, TEMPERATURE):
        found = reader.read(text)
        assert (found.problem is None) == bool(found.value)
        if found.problem is None:
            assert reader.read(found.value) == found
            assert reader.class_of(found.value, found.number) == reader.class_of(text)
        name, problem = reader.class_of(text)
        assert (name is None) == (problem is not None)
        if found.number is not None:
            assert math.isfinite(found.number)


ends = st.floats(-5, 120) | st.sampled_from([0.0, 65.0, 110.0])
LIMITS = (0.0, 65.0, 110.0)


@given(ends, ends, st.booleans(), st.booleans(), st.floats(0, 1))
def test_all_numbers_of_an_interval_are_in_its_class(low, high, closed, shut, share) -> None:
    assume(low < high)
    name = interval_around(Interval(low, high, closed, shut), LIMITS)
    inside = low + share * (high - low)
    if name is not None and low < inside < high:
        assert interval_of(inside, LIMITS) == name


@given(st.lists(ends, min_size=4, max_size=4, unique=True).map(sorted))
def test_an_interval_within_another_one_has_its_class(four) -> None:
    outer = interval_around(Interval(four[0], four[3]), LIMITS)
    if outer is not None:
        assert interval_around(Interval(four[1], four[2]), LIMITS) == outer


# --- counts ---


def test_values_are_counted_by_whether_they_are_used_and_why_not() -> None:
    words = {"m": 45, "female": 46, "unknown": 61, "NA": 3, "mixed": 3, "": 9}
    counted = [(word, None, count) for word, count in words.items()]
    numbers = [(None, None, 9), (None, math.nan, 9), (None, 1.0, 1)]
    use = value_use(SEX.definition, [*counted, *numbers])
    assert (use.given, use.used, use.missing, use.not_understood) == (159, 91, 64, 4)
    assert [(each.problem, each.count, each.examples) for each in use.unused] == [
        (Problem.MISSING, 64, (("unknown", 61), ("NA", 3))),
        (Problem.NOT_IN_VOCABULARY, 4, (("mixed", 3), ("1", 1))),
    ]


def test_an_interval_across_classes_is_understood_but_not_used() -> None:
    use = value_use(AGE.definition, [("60-70", None, 2), ("old", None, 1)])
    assert (use.used, use.not_used, use.missing, use.not_understood) == (0, 3, 0, 1)


def test_only_the_most_frequent_values_are_examples() -> None:
    use = value_use(AGE.definition, [(f"x{i}", None, 10 - i) for i in range(8)])
    (unused,) = use.unused
    assert unused.examples == (("x0", 10), ("x1", 9), ("x2", 8), ("x3", 7), ("x4", 6))
    assert unused.further == 3
