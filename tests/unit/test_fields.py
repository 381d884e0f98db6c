"""Fields as values: what a file may say of them, and how they are declared."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annotator.domain.fields import (
    FIELDS,
    FieldDefinition,
    Groups,
    LabelScheme,
    Level,
    declared_fields,
)
from annotator.plain_data import plain, typed

AGE, SEX, TISSUE = FIELDS["age"], FIELDS["sex"], FIELDS["tissue"]
TEMPERATURE = FieldDefinition(
    name="temperature", scheme=LabelScheme.INTERVALS, limits=(-20.0, 0.0, 40.0)
)


def categories(vocabulary, synonyms=()) -> FieldDefinition:
    return FieldDefinition(
        name="kit",
        scheme=LabelScheme.CATEGORIES,
        vocabulary=tuple(vocabulary),
        synonyms=dict(synonyms),
    )


@given(st.floats(0, 130))
def test_a_number_is_read_as_it_is_and_its_value_is_read_the_same(number) -> None:
    value, found = AGE.read(repr(number))
    assert found == number
    assert AGE.read(value) == (value, found)
    assert AGE.read(f"+{number!r}") == (value, found)


@given(st.integers(0, 130), st.integers(0, 4), st.integers(0, 4))
def test_a_whole_number_is_one_value_in_any_notation(number, zeros, decimals) -> None:
    text = f"{'0' * zeros}{number}.{'0' * decimals}"
    assert AGE.read(text) == (str(number), float(number))


def test_minus_zero_is_zero() -> None:
    value, number = AGE.read("-0.0")
    assert value == "0"
    assert math.copysign(1, number) == 1


@given(st.one_of(st.text(), st.from_regex(r"[+-]?[0-9.]{1,6}(e[+-]?[0-9]{1,4})?", fullmatch=True)))
def test_whatever_is_read_as_a_number_is_finite_and_in_range(text) -> None:
    for definition, smallest, largest in ((AGE, 0, 130), (TEMPERATURE, -20, math.inf)):
        with suppress(ValueError):
            value, number = definition.read(text)
            assert smallest <= number <= largest
            assert math.isfinite(number)
            assert float(value) == number


@pytest.mark.parametrize(
    ("definition", "text", "words"),
    [
        (AGE, "old", "'old' is not a number of years"),
        (AGE, "nan", "not a number"),
        (AGE, "inf", "not a number"),
        (AGE, "٣", "not a number"),
        (AGE, "-1", "'-1' years is less than 0"),
        (AGE, "130.5", "'130.5' years is more than 130; is it in another unit"),
        (TEMPERATURE, "warm", "'warm' is not a number; leave"),
        (TEMPERATURE, "-20.5", "'-20.5' is less than -20"),
        (TEMPERATURE, "1e400", "'1e400' is more than"),
        (SEX, "unknown", "'unknown' is none of female, male; leave the cell empty"),
    ],
)
def test_what_the_field_does_not_have_is_refused_in_words(definition, text, words) -> None:
    with pytest.raises(ValueError, match=words):
        definition.read(text)


@pytest.mark.parametrize("text", ["female", "Female", "FEMALE", "f", "F"])
def test_sex_is_read_in_any_case_and_by_its_letter(text) -> None:
    assert SEX.read(text) == ("female", None)


words = st.text("abcXYZäÖß-_ 12", min_size=1, max_size=6).filter(lambda each: each == each.strip())
vocabularies = st.lists(words, min_size=2, max_size=6, unique_by=str.casefold)


@given(vocabularies, st.data())
def test_categories_are_read_in_any_case_and_by_their_synonyms(vocabulary, data) -> None:
    other = data.draw(words.filter(lambda each: each.casefold() not in spellings(vocabulary)))
    meant = data.draw(st.sampled_from(vocabulary))
    field = categories(vocabulary, {other: meant})
    for value in vocabulary:
        for text in (value, value.upper(), value.lower(), value.swapcase()):
            assert field.read(text) == (value, None)
    for text in (other, other.upper(), other.lower(), other.swapcase()):
        assert field.read(text) == (meant, None)


@given(vocabularies, st.text())
def test_what_is_no_spelling_of_a_category_is_refused(vocabulary, text) -> None:
    assume(text.casefold() not in spellings(vocabulary))
    with pytest.raises(ValueError, match="is none of"):
        categories(vocabulary).read(text)


def spellings(vocabulary) -> set[str]:
    return {each.casefold() for each in vocabulary}


@given(st.text())
def test_terms_of_an_ontology_are_read_as_they_are(text) -> None:
    assert TISSUE.read(text) == (text, None)


@pytest.mark.parametrize("definition", [*FIELDS.values(), TEMPERATURE])
def test_a_definition_comes_back_from_plain_data(definition) -> None:
    assert typed(plain(definition), FieldDefinition) == definition


def test_nothing_declared_leaves_the_built_in_fields() -> None:
    assert declared_fields({}) == FIELDS


def test_what_is_declared_differs_and_the_rest_stays() -> None:
    fields = declared_fields(
        {
            "tissue": {"level": "group", "groups": "table2"},
            "age": {"limits": [0, 45, 110]},
            "kit": {
                "scheme": "categories",
                "vocabulary": ["NEB", "TruSeq"],
                "synonyms": {"illumina": "TruSeq"},
                "known_fields": ["tissue"],
                "feature_kinds": ["contaminant"],
            },
        }
    )
    assert [*fields] == ["tissue", "sex", "age", "kit"]
    assert fields["tissue"] == replace(TISSUE, level=Level.GROUP, groups=Groups.TABLE_2)
    assert fields["age"] == replace(AGE, limits=(0.0, 45.0, 110.0))
    assert fields["sex"] == SEX
    assert fields["kit"].read("Illumina") == ("TruSeq", None)
    assert fields["kit"].feature_kinds == ("contaminant",)
    assert [*FIELDS] == ["tissue", "sex", "age"]


@pytest.mark.parametrize(
    ("given_fields", "message"),
    [
        (3, "a table of fields"),
        ({"tissue": "group"}, "a table at `tissue`"),
        ({"tissue": {"levels": "group"}}, "field tissue: 'levels' is unknown"),
        ({"tissue": {"level": "organ"}}, "field tissue: Invalid enum value 'organ' at `level`"),
        ({"tissue": {"name": "organ"}}, "field tissue: a field has no 'name'"),
        ({"tissue": {"feature_kinds": []}}, "field tissue: .* at `feature_kinds`"),
        ({"tissue": {"known_fields": ["tissue"]}}, "field tissue: 'tissue' cannot be a known"),
        ({"sex": {"known_fields": ["organ"]}}, "field sex: 'organ' cannot be a known field"),
        ({"sex": {"left_out_where": {"organ": ["x"]}}}, "field sex: 'organ' cannot be a known"),
        ({"sex": {"vocabulary": ["female"]}}, "field sex: categories need a vocabulary"),
        ({"sex": {"vocabulary": ["female", "f"]}}, "field sex: 'male' has synonyms but"),
        ({"kit": {}}, "field kit: .*missing required field `scheme`"),
        ({"kit": {"scheme": "categories"}}, "field kit: categories need a vocabulary"),
        ({"kit": {"scheme": "categories", "vocabulary": ["a", "A"]}}, "in nothing but case"),
        ({"kit": {"scheme": "categories", "vocabulary": ["a", ""]}}, "is empty or has spaces"),
        ({"kit": {"scheme": "categories", "vocabulary": ["a", " b"]}}, "is empty or has spaces"),
        ({"kit": {"scheme": "intervals"}}, "field kit: intervals need at least three limits"),
        ({"age": {"limits": [0, 65]}}, "field age: intervals need at least three limits"),
        ({"age": {"limits": [65, 0, 110]}}, "limits in ascending order"),
        ({"age": {"limits": [0, 65, 65]}}, "limits in ascending order"),
        ({"age": {"limits": [0, 65, math.inf]}}, r"field age: inf .* at `limits\[2\]`"),
        ({"age": {"limits": [0, "65", 110]}}, r"field age: .* at `limits\[1\]`"),
        ({"sample_id": {"scheme": "ontology"}}, "files have another column of this name"),
        ({"Kit": {"scheme": "ontology"}}, "field Kit: .* at `name`"),
        ({"k" * 64: {"scheme": "ontology"}}, "at `name`"),
    ],
)
def test_what_is_no_declaration_is_refused_by_name(given_fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        declared_fields(given_fields)
