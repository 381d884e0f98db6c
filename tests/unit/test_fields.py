"""How fields are declared."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

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
    assert fields["kit"].synonyms == {"illumina": "TruSeq"}
    assert fields["kit"].feature_kinds == ("contaminant",)
    assert [*FIELDS] == ["tissue", "sex", "age"]


def test_declared_synonyms_are_added_to_those_of_a_built_in_field() -> None:
    sex = declared_fields({"sex": {"synonyms": {"1": "male", "2": "female"}}})["sex"]
    assert sex.synonyms == {**SEX.synonyms, "1": "male", "2": "female"}


def test_what_a_declaration_replaces_is_not_inherited() -> None:
    fields = declared_fields(
        {
            "sex": {"vocabulary": ["male", "woman"], "known_fields": ["age"]},
            "age": {"scheme": "categories", "vocabulary": ["young", "old"]},
        }
    )
    assert fields["sex"].synonyms.keys() == {"m", "males", "man", "men", "boy"}
    assert fields["sex"].left_out_where == {}
    assert fields["age"] == FieldDefinition(
        name="age", scheme=LabelScheme.CATEGORIES, vocabulary=("young", "old")
    )


def test_declared_names_of_a_column_come_before_those_of_a_built_in_field() -> None:
    tissue = declared_fields({"tissue": {"columns": ["site"]}})["tissue"]
    assert tissue.columns == ("site", *TISSUE.columns)


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
        ({"sex": {"known_fields": ["organ"]}}, "field sex: 'organ' in known_fields is no field"),
        (
            {"sex": {"left_out_where": {"organ": ["x"]}}},
            "field sex: 'organ' in left_out_where must also be in known_fields",
        ),
        (
            {"kit": {"scheme": "ontology", "left_out_where": {"tissue": ["liver"]}}},
            "field kit: 'tissue' in left_out_where must also be in known_fields",
        ),
        ({"sex": {"vocabulary": ["female"]}}, "field sex: categories need a vocabulary"),
        (
            {"kit": {"scheme": "categories", "vocabulary": ["a", "b"], "synonyms": {"x": "c"}}},
            "field kit: 'c' has synonyms but",
        ),
        ({"sex": {"level": "group"}}, "field sex: level and groups are only for ontology"),
        ({"age": {"groups": "table2"}}, "field age: level and groups are only for ontology"),
        ({"tissue": {"columns": ["_"]}}, "field tissue: .* at `columns"),
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
        ({"sex": {"synonyms": {"female": "male"}}}, "field sex: 'female' has two values"),
        ({"sex": {"synonyms": {"X_Y": "male", "x y": "female"}}}, "field sex: 'x y' has two"),
        ({"sex": {"synonyms": {"x" * 1001: "male"}}}, "a value or synonym is longer than 1,000"),
        ({"sex": {"synonyms": {" ": "male"}}}, "field sex: a synonym is empty"),
        ({"sex": {"unit": "years"}}, "field sex: limits, unit and largest are only for intervals"),
        ({"tissue": {"vocabulary": ["a", "b"]}}, "field tissue: a vocabulary and synonyms are"),
    ],
)
def test_what_is_no_declaration_is_refused_by_name(given_fields, message) -> None:
    with pytest.raises(ValueError, match=message):
        declared_fields(given_fields)
