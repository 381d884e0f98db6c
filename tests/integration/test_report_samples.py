"""The samples that a report explains: which are chosen, and what is known of them."""

from __future__ import annotations

import pytest

from annotator.store.releases.explained_samples import read_explained_samples

SAMPLES = (
    # sample, predicted class, confidence, status, label that came later
    ("a", "brain", 0.99, "suggested", None),
    ("b", "brain", 0.80, "suggested", "brain"),
    ("c", "brain", 0.70, "suggested", "skin"),
    ("d", "brain", 0.60, "suggested", None),
    ("e", "skin", 0.90, "suggested", None),
    ("f", "skin", 0.75, "suggested", None),
    ("g", "skin", 0.40, "abstained", None),
    ("h", "liver", 0.97, "suggested", None),
)


@pytest.fixture
def release(connection):
    """A release with annotated samples whose contributions are stored."""
    (run,) = connection.execute(
        "insert into annotator.training_run (field, preset, seed, configuration, versions, host)"
        " values ('tissue', 'default', 1, '{}', '{}', 'here') returning run_id"
    ).fetchone()
    (release_id,) = connection.execute(
        "insert into annotator.release (run_id, field, status, classes, features)"
        " values (%s, 'tissue', 'candidate', array['brain', 'liver', 'skin'], 3)"
        " returning release_id",
        (run,),
    ).fetchone()
    connection.execute("insert into atlas.dataset (dataset_id) values ('d')")
    for name, predicted, confidence, status, label in SAMPLES:
        connection.execute(
            "insert into atlas.sample (sample_id, dataset_id) values (%s, 'd')", (name,)
        )
        answered = status == "suggested"
        (prediction,) = connection.execute(
            "insert into annotator.prediction (sample_id, dataset_id, field, release_id,"
            " input_hash, value, confidence, status, reason) values (%s, 'd', 'tissue', %s,"
            " repeat('0', 64), %s, %s, %s, %s) returning prediction_id",
            (
                name,
                release_id,
                predicted if answered else None,
                confidence,
                status,
                None if answered else "not confident",
            ),
        ).fetchone()
        other = "skin" if predicted == "brain" else "brain"
        for kind in ("combined", "network"):
            for rank, of_class in enumerate((predicted, other), start=1):
                connection.execute(
                    "insert into annotator.class_contribution (prediction_id, model_kind, method,"
                    " class, class_rank, features, scores, expression)"
                    " values (%s, %s, 'sum', %s, %s, %s, %s, %s)",
                    (prediction, kind, of_class, rank, ["x", "y"], [1.5 / rank, -0.5], [3.0, 4.0]),
                )
        if label is not None:
            connection.execute(
                "insert into atlas.annotation (sample_id, field, value) values (%s, 'tissue', %s)",
                (name, label),
            )
    connection.commit()
    return release_id


def test_one_right_and_one_wrong_sample_per_class_else_the_ends_of_confidence(connection, release):
    found = read_explained_samples(connection, release, "tissue")
    shown = [(each.class_name, each.sample_id, each.is_right, each.label) for each in found]
    assert shown == [
        ("brain", "b", True, "brain"),
        ("brain", "c", False, "skin"),
        ("liver", "h", None, None),
        ("skin", "e", None, None),
        ("skin", "g", None, None),
    ]
    assert [each.is_answered for each in found] == [True, True, True, True, False]


def test_contributions_are_those_of_the_answer_by_class(connection, release):
    first = read_explained_samples(connection, release, "tissue")[0]
    assert (first.dataset_id, first.confidence) == ("d", 0.8)
    assert [each.model_kind for each in first.contributions] == ["combined", "combined"]
    assert [each.class_name for each in first.contributions] == ["brain", "skin"]
    assert first.contributions[0].features == ("x", "y")
    assert first.contributions[1].scores == (0.75, -0.5)


def test_another_release_has_none(connection, release):
    assert read_explained_samples(connection, release + 1, "tissue") == ()
