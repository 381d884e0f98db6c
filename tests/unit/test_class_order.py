"""Which classes a report draws in an order of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from annotator.domain.fields import declared_fields
from annotator.plain_data import plain
from annotator.report.figures.class_order import has_order

FIELDS = declared_fields(
    {
        "weight": {"scheme": "intervals", "limits": [0, 50, 100]},
        "disease": {"scheme": "categories", "vocabulary": ["healthy", "tumour"]},
    }
)


@pytest.mark.parametrize(
    ("field", "ordered"),
    [("age", True), ("weight", True), ("disease", False), ("tissue", False)],
)
def test_intervals_of_any_declared_field_have_an_order(field, ordered):
    configuration = {"field": plain(FIELDS[field])}
    release = SimpleNamespace(field=field, configuration=configuration)
    assert has_order(SimpleNamespace(release=release)) is ordered


def test_releases_made_before_definitions_were_stored_are_of_built_in_fields():
    of = {name: SimpleNamespace(field=name, configuration={}) for name in ("age", "sex", "mood")}
    found = {name: has_order(SimpleNamespace(release=release)) for name, release in of.items()}
    assert found == {"age": True, "sex": False, "mood": False}
