"""What the queue says beside each suggestion, and of fields that no model answers for."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest

from annotator.domain.held_out import HeldOutPredictions
from annotator.domain.releases import Comparison
from annotator.learn.validation.gate import GateOptions, judge
from annotator.store.releases.comparisons import insert_comparisons
from tests.support.store import as_curator


def models(*values: str, combined: str | None = None) -> str:
    said = {f"kind{number}": {"value": value} for number, value in enumerate(values)}
    if combined is not None:
        said["combined"] = {"value": combined, "probability": 0.4}
    return json.dumps(said)


@pytest.fixture
def release(connection: psycopg.Connection) -> int:
    connection.execute("insert into atlas.dataset (dataset_id) values ('D1'), ('D2')")
    return add_release(connection, "tissue", "live")


def add_release(
    connection: psycopg.Connection, field: str, status: str, reasons: tuple[str, ...] = ()
) -> int:
    row = connection.execute(
        "with t as (insert into training_run (field, preset, status, seed, host, finished_at)"
        " values (%(field)s, 'default', 'succeeded', 1, 'here', now()) returning run_id)"
        " insert into release (field, run_id, status, classes, features, promoted_at, reasons)"
        " select %(field)s, run_id, %(status)s, '{a,b}', 5, now(), %(reasons)s from t"
        " returning release_id",
        {"field": field, "status": status, "reasons": list(reasons)},
    ).fetchone()
    assert row is not None
    return int(row[0])


def suggest(
    connection: psycopg.Connection,
    release: int,
    sample: str,
    value: str | None,
    *,
    dataset: str = "D1",
    said: str = "{}",
    lineage: tuple[str, ...] | None = None,
    confidence: float = 0.9,
) -> int:
    """Add a sample with a prediction; without a value it abstained."""
    connection.execute(
        "insert into sample (sample_id, dataset_id) values (%s, %s)", (sample, dataset)
    )
    row = connection.execute(
        "insert into prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, lineage, confidence, status, reason, models)"
        " select sample_id, dataset_id, 'tissue', %(release)s, repeat('0', 64), updated_at,"
        " %(value)s, %(lineage)s, %(confidence)s, %(status)s, 'why', %(said)s"
        " from sample where sample_id = %(sample)s returning prediction_id",
        {
            "release": release,
            "value": value,
            "lineage": list(lineage if lineage is not None else (value,) if value else ()),
            "confidence": confidence,
            "status": "abstained" if value is None else "suggested",
            "said": said,
            "sample": sample,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def queue(connection: psycopg.Connection, columns: str) -> dict[str, Any]:
    """Column, or tuple of columns, of each sample."""
    rows = connection.execute(f"select sample_id, {columns} from review_queue").fetchall()
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in rows}


def test_disagreement_is_the_share_of_kinds_outside_the_largest_group(connection, release) -> None:
    for sample, said in {
        "agree": models("x", "x", "x", "x", combined="y"),
        "one": models("x", "x", "y", "x", combined="x"),
        "half": models("x", "y", "y", "x", combined="x"),
        "each": models("x", "y", "z", "u"),
        "alone": models("x", combined="y"),
        "nobody": "{}",
    }.items():
        suggest(connection, release, sample, "x", said=said)
    assert queue(connection, "disagreement, models_disagree") == {
        "agree": (0.0, False),
        "one": (0.25, True),
        "half": (0.5, True),
        "each": (0.75, True),
        "alone": (0.0, False),
        "nobody": (0.0, False),
    }


def test_a_sample_that_differs_from_its_dataset_is_told(connection, release) -> None:
    suggest(connection, release, "1", "liver")
    suggest(connection, release, "2", "liver", confidence=0.4)
    suggest(connection, release, "3", "lung", confidence=1.0)
    suggest(connection, release, "4", None, said=models("liver", combined="lung"))
    suggest(connection, release, "5", None, said=models("lung", combined="liver"))
    suggest(connection, release, "6", None, said=models("lung"))
    suggest(connection, release, "7", "lung", dataset="D2")
    assert queue(connection, "dataset_value, differs_from_dataset") == {
        "1": ("liver", False),
        "2": ("liver", False),
        "3": ("liver", True),
        "4": ("liver", True),
        "5": ("liver", False),
        "6": ("liver", False),  # it names nothing
        "7": ("lung", False),
    }


def test_equally_many_samples_are_told_apart_by_their_confidence(connection, release) -> None:
    suggest(connection, release, "1", "liver", confidence=0.6)
    suggest(connection, release, "2", "lung", confidence=0.8)
    assert queue(connection, "dataset_value, differs_from_dataset") == {
        "1": ("lung", True),
        "2": ("lung", False),
    }


def test_a_broader_or_narrower_term_does_not_differ(connection, release) -> None:
    suggest(connection, release, "1", "cortex", lineage=("cortex", "brain", "organ"))
    suggest(connection, release, "2", "cortex", lineage=("cortex", "brain", "organ"))
    suggest(connection, release, "3", "brain", lineage=("brain", "organ"))
    suggest(connection, release, "4", "stem", lineage=("stem", "brain", "organ"))
    suggest(connection, release, "5", "brain", dataset="D2", lineage=("brain", "organ"))
    suggest(connection, release, "6", "brain", dataset="D2", lineage=("brain", "organ"))
    suggest(connection, release, "7", "stem", dataset="D2", lineage=("stem", "brain", "organ"))
    assert queue(connection, "differs_from_dataset") == {
        "1": False, "2": False, "3": False, "4": True, "5": False, "6": False, "7": False,
    }  # fmt: skip


def test_decided_suggestions_count_and_rejected_ones_do_not(connection, release) -> None:
    decided = [suggest(connection, release, f"d{number}", "lung") for number in range(3)]
    suggest(connection, release, "1", "liver")
    suggest(connection, release, "2", "liver")
    suggest(connection, release, "3", "lung")
    columns = "dataset_value, differs_from_dataset, dataset_open"
    assert queue(connection, columns)["1"] == ("lung", True, 6)
    for prediction in decided[:2]:
        connection.execute("select accept_suggestion(%s)", (prediction,))
    assert queue(connection, columns)["1"] == ("lung", True, 4)
    connection.execute("select reject_suggestion(%s)", (decided[2],))
    assert queue(connection, columns)["1"] == ("lung", True, 3)
    connection.execute("delete from review where prediction_id = %s", (decided[0],))
    connection.execute("select correct_suggestion(%s, 'a')", (decided[0],))
    assert queue(connection, columns) == {
        "1": ("liver", False, 3),  # lung is named by an accepted and an open one, liver as often
        "2": ("liver", False, 3),
        "3": ("liver", True, 3),
    }


def test_samples_without_a_reliable_model_come_last(database, connection, release) -> None:
    suggest(connection, release, "1", None)
    suggest(connection, release, "2", "liver", dataset="D2")
    connection.execute(
        "insert into sample (sample_id, dataset_id) values ('3', 'D2');"
        "insert into annotation (sample_id, field, value) values ('3', 'sex', 'male')"
    )
    add_release(connection, "sex", "rejected", ("Refused: older.",))
    refused = add_release(connection, "sex", "rejected", ("Refused: not a finite number: AUC.",))
    cursor = connection.execute(
        "select prediction_id is null, sample_id, dataset_id, field, value, status, release_id,"
        " dataset_open, reason from review_queue"
    )
    reason = "no reliable model: Refused: not a finite number: AUC."
    assert cursor.fetchall() == [
        (False, "2", "D2", "tissue", "liver", "suggested", release, 1, "why"),
        (False, "1", "D1", "tissue", None, "abstained", release, 1, "why"),
        (True, "1", "D1", "sex", None, "abstained", refused, 1, reason),
        (True, "2", "D2", "sex", None, "abstained", refused, 1, reason),
    ]
    connection.commit()
    with as_curator(database) as curator:
        accept = "select decision from accept_dataset('D2', %s)"
        with pytest.raises(psycopg.errors.NoDataFound, match="no prediction of sex"):
            curator.execute(accept, ("sex",))
        assert curator.execute(accept, ("tissue",)).fetchall() == [("accepted",)]
        for call in ("accept_suggestion(null)", "correct_suggestion(null, 'male')"):
            with pytest.raises(psycopg.errors.NoDataFound, match="no prediction"):
                curator.execute(f"select {call}")


def test_the_reason_names_what_the_gate_refused_and_nothing_else(connection, release) -> None:
    samples = 8
    one, other = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    predicted = HeldOutPredictions(
        sample_ids=np.array([f"s{number}" for number in range(samples)], dtype=object),
        dataset_ids=np.array(["D"] * samples, dtype=object),
        truth=np.array(["a", "b"] * (samples // 2), dtype=object),
        folds=np.zeros(samples, dtype=np.int64),
        classes=("a", "b"),
        probabilities={"combined": np.array([one, one, one, other, one, other, one, other])},
    )
    known = {"majority": np.array([one] * samples), "known_fields": np.array([one, other] * 4)}
    verdict = judge(
        SimpleNamespace(predictions=predicted, balanced_training=True),
        replace(predicted, probabilities=known),
        None,
        GateOptions(gate_margin=0.0, baseline_margin=0.0),
    )
    assert not verdict.promoted
    suggest(connection, release, "1", "liver")
    refused = add_release(connection, "sex", "rejected", verdict.reasons)
    insert_comparisons(connection, refused, verdict.comparisons)
    ((reason,),) = connection.execute("select reason from review_queue where field = 'sex'")
    assert reason == (
        "no reliable model: balanced accuracy 0.875, known fields 1.000; auc 0.875, known fields"
        " 1.000"
    )


def test_a_release_that_is_below_chance_is_compared_with_chance(connection, release) -> None:
    suggest(connection, release, "1", "liver")
    refused = add_release(connection, "sex", "rejected", ("Refused.",))
    below = Comparison("auc", "majority", 0.45, 0.4, 0.0, False, 8, 1, "Refused.", chance=0.5)
    broken = replace(below, name="accuracy", ours=float("nan"), theirs=0.7)
    insert_comparisons(connection, refused, [below, broken])
    ((reason,),) = connection.execute("select reason from review_queue where field = 'sex'")
    assert reason == "no reliable model: auc 0.450, chance 0.500; accuracy NaN, majority 0.700"


@pytest.mark.parametrize("status", ["live", "candidate"])
def test_a_refused_release_matters_only_while_nothing_is_live(
    connection, release, status: str
) -> None:
    suggest(connection, release, "1", "liver")
    open_fields = "select field from review_queue order by 1"
    add_release(connection, "sex", status)
    assert connection.execute(open_fields).fetchall() == [("tissue",)]
    add_release(connection, "sex", "rejected", ("its training run ended before it was decided on",))
    found = connection.execute("select reason from review_queue where field = 'sex'").fetchall()
    expected = "no reliable model: its training run ended before it was decided on"
    assert found == ([] if status == "live" else [(expected,)])


def test_an_answer_that_is_there_already_is_not_doubted_twice(connection, release) -> None:
    suggest(connection, release, "1", "liver")
    connection.execute("update release set status = 'rejected'")
    assert queue(connection, "status") == {"1": "suggested"}


def test_selective_metrics_are_shown(connection, release) -> None:
    suggest(connection, release, "1", "liver")
    connection.execute(
        "update prediction set prediction_set = '{liver,lung}', set_coverage = 0.9,"
        " known_features = 0.8, number = 40, number_low = 30, number_high = 55"
    )
    columns = "prediction_set, set_coverage, known_features, number, number_low, number_high"
    expected = (["liver", "lung"], 0.9, 0.8, 40.0, 30.0, 55.0)
    assert queue(connection, columns) == {"1": expected}
    assert connection.execute(f"select {columns} from suggestion").fetchall() == [expected]
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("update prediction set set_coverage = 1.5")
