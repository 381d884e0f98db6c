"""Results as text, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from annotator.cli.commands import command_line
from annotator.cli.tables import class_table, class_tables, kind_table, query_output, term_table
from annotator.domain.held_out import Metric
from tests.support.strange_text import HOSTILE, STORED_TEXT, is_seen

COLUMNS = ("a", "b", "a")
ROW = (1, ["x", "y"], None)


def test_json_is_a_list_of_objects_with_arrays_as_lists():
    assert json.loads(query_output(COLUMNS, [ROW], "json")) == [
        {"a": 1, "b": ["x", "y"], "a_2": None}
    ]


def test_csv_has_a_header_and_rows():
    text = query_output(("a", "b"), [("x,y", 1.5), (None, True)], "csv")
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["x,y", "1.5"], ["", "true"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("3"), 3),
        (Decimal("2.5"), 2.5),
        (Decimal("Infinity"), "Infinity"),
        (Decimal("NaN"), "NaN"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (b"\x01\xff", "01ff"),
    ],
)
def test_every_value_of_sql_becomes_valid_json(value, expected):
    def refuse(constant):
        raise AssertionError(constant)

    text = query_output(("v",), [(value,)], "json")
    assert json.loads(text, parse_constant=refuse) == [{"v": expected}]


def test_a_table_counts_its_rows():
    text = query_output(("name",), [("long " * 40,)], "table")
    assert text.endswith("(1 row)\n")
    assert "…" in text


@given(name=STORED_TEXT, value=STORED_TEXT | st.lists(STORED_TEXT) | st.builds(dict, a=STORED_TEXT))
def test_a_table_has_a_line_per_row_and_shows_every_character(name, value):
    text = query_output((name,), [(value,)], "table")
    assert text.count("\n") == 4
    assert all(map(is_seen, text.split("\n")))


def test_what_reads_like_an_escape_sequence_in_a_table_is_none():
    assert r"a\x1b[31mb\nc\r\td\x9b2J\u202eliver" in query_output(("v",), [(HOSTILE,)], "table")


@given(st.lists(st.tuples(STORED_TEXT, STORED_TEXT)))
def test_csv_has_the_very_characters(rows):
    text = query_output(("a", "b"), rows, "csv")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "b"], *map(list, rows)]


@given(STORED_TEXT)
def test_json_has_the_very_characters(value):
    assert json.loads(query_output(("v",), [(value,)], "json")) == [{"v": value}]


def test_figures_stand_in_a_row_for_each_kind_and_class():
    metrics = [
        Metric("network", "accuracy", None, 0.5, 10, 3),
        Metric("combined", "accuracy", None, 0.75, 10, 3),
        Metric("combined", "class_accuracy", "skin", 1.0, 4, 2),
    ]
    assert "0.750" in kind_table(metrics).splitlines()[-1]
    last = class_table(metrics, "class_accuracy").splitlines()[-1]
    assert last.split() == ["skin", "1.000", "4", "2"]


def words_above(table):
    """The heads of a table's columns; those of several lines are read column by column."""
    lines = table.splitlines()
    rule = next(line for line in lines if line.startswith("---"))
    heads = lines[: lines.index(rule)]
    ends = [0]
    for dashes in rule.split("  "):
        ends.append(ends[-1] + len(dashes) + 2)
    return [
        " ".join(" ".join(line[start:end] for line in heads).split())
        for start, end in pairwise(ends)
    ]


def test_both_balanced_accuracies_stand_side_by_side_under_their_names():
    metrics = [
        Metric("combined", "accuracy", None, 0.5, 10, 3),
        Metric("combined", "balanced_accuracy", None, 0.81, 10, 3),
        Metric("combined", "balanced_accuracy_at_equal_priors", None, 0.88, 10, 3),
    ]
    heads = words_above(kind_table(metrics))
    assert heads[2:4] == ["balanced accuracy", "balanced accuracy at equal priors"]
    assert kind_table(metrics).splitlines()[-1].split()[2:4] == ["0.810", "0.880"]


@pytest.mark.parametrize("datasets_held_out", [True, False])
def test_means_over_datasets_are_shown_only_where_datasets_were_held_out(datasets_held_out):
    names = ("accuracy", "mean_over_datasets", "mean_over_classes")
    metrics = [Metric("combined", name, None, 0.5, 10, 3) for name in names]
    heads = words_above(kind_table(metrics, datasets_held_out=datasets_held_out))
    means = ["mean over datasets", "mean over classes"] if datasets_held_out else []
    assert heads == ["model", "accuracy", *means, "samples", "datasets"]


def test_accuracy_and_precision_of_each_class_stand_under_what_they_count():
    metrics = [
        Metric("forest", "class_accuracy", "skin", 0.5, 4, 2),
        Metric("combined", "class_accuracy", "skin", 0.75, 4, 2),
        Metric("combined", "class_precision", "skin", 0.6, 5, 2),
        Metric("combined", "class_accuracy_over_datasets", "skin", 0.1, 4, 2),
    ]
    accuracy, precision = class_tables(metrics).split("\n\n")
    assert "share of its samples that are recognised" in accuracy.splitlines()[0]
    assert accuracy.splitlines()[-1].split() == ["skin", "0.500", "0.750", "4", "2"]
    assert "share of its predictions that are right" in precision.splitlines()[0]
    assert precision.splitlines()[-1].split() == ["skin", "0.600"]
    assert class_tables([]) == ""


def test_figures_by_whether_the_own_term_was_learned():
    learned = [
        Metric("combined", "accuracy_of_learned_terms", None, 0.93, 80, 9),
        Metric("combined", "answered_of_learned_terms", None, 0.84, 80, 9),
        Metric("combined", "precision_of_learned_terms", None, 0.98, 67, 8),
        Metric("combined", "prediction_set_coverage_of_learned_terms", None, 0.97, 80, 9),
    ]
    new = [
        Metric("combined", "accuracy_of_new_terms", None, 0.5, 20, 4),
        Metric("combined", "answered_of_new_terms", None, 0.0, 20, 4),
        Metric("combined", "prediction_set_coverage_of_new_terms", None, 0.75, 20, 4),
    ]
    lines = term_table([*learned, *new]).splitlines()
    assert lines[-2].split() == ["learned", "0.930", "0.840", "0.980", "0.970", "80", "9"]
    assert lines[-1].split() == ["new", "0.500", "0.000", "0.750", "20", "4"]  # no answers
    assert term_table([Metric("combined", "accuracy", None, 0.75, 10, 3)]) == ""


@pytest.mark.parametrize("told_apart", [True, False])
def test_evaluate_prints_terms_last_where_they_are_told_apart(monkeypatch, told_apart):
    metrics = [
        Metric("combined", "class_accuracy", "skin", 1.0, 4, 2),
        Metric("combined", "accuracy_of_new_terms", None, 0.25, 20, 4),
    ]
    validation = SimpleNamespace(description="8 folds", metrics=metrics[: 1 + told_apart], notes=())
    monkeypatch.setattr("annotator.cli.commands.database_of", lambda settings: nullcontext())
    monkeypatch.setattr("annotator.jobs.retrain.evaluate.evaluate", lambda *_, **__: validation)
    monkeypatch.setattr("annotator.jobs.retrain.evaluate.as_json", lambda *_: {})
    arguments = ["evaluate", "--field", "tissue", "--scheme", "one-dataset-out"]
    done = CliRunner().invoke(command_line, arguments)
    assert done.exit_code == 0
    last = ["new", "0.250", "20", "4"] if told_apart else ["skin", "1.000", "4", "2"]
    assert done.stdout.splitlines()[-1].split() == last
