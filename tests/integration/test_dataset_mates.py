"""Which samples of a dataset speak for those that are annotated."""

from __future__ import annotations

import psycopg

from annotator.store.answers import work
from annotator.store.answers.dataset_samples import dataset_of_sample, other_samples_in
from tests.support.store import add_release, add_samples, run


def learn(conn, release, *names):
    """Make a cohort of some samples that a release was made from."""
    run(
        conn,
        "with c as (insert into annotator.cohort (field, hash, samples, datasets)"
        " values ('tissue', %s, %s, 1) returning cohort_id), k as ("
        " insert into annotator.cohort_sample (cohort_id, sample_id, dataset_id, value, class)"
        " select cohort_id, name, 'D1', 'liver', 'liver' from c, unnest(%s::text[]) name)"
        " update annotator.training_run t set cohort_id = c.cohort_id from c, annotator.release r"
        " where r.run_id = t.run_id and r.release_id = %s",
        f"{release:064x}",
        len(names),
        list(names),
        release,
    )


def predict(conn, sample, release):
    return run(
        conn,
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id,"
        " input_hash, sample_updated_at, value, confidence, status)"
        " select sample_id, dataset_id, 'tissue', %s, %s, updated_at, 'liver', 0.9, 'suggested'"
        " from atlas.sample where sample_id = %s returning prediction_id",
        release,
        "0" * 64,
        sample,
    )[0][0]


def dataset_samples(
    conn: psycopg.Connection, release: int, *datasets: str, most: int = 10
) -> list[str]:
    found = other_samples_in(conn, "tissue", release, datasets or ("D1",), most)
    conn.commit()
    return [sample.sample_id for sample in found]


def test_all_that_the_release_has_not_learned_from(connection, daemon):
    """Answered or not, labelled since or not: as in a validation, where no label speaks."""
    add_samples(connection, "a", "b", "c", "d")
    add_samples(connection, "x", "y", dataset="D2")
    release = add_release(connection)
    run(
        connection,
        "insert into atlas.annotation (sample_id, field, value) values ('c', 'tissue', 'liver')",
    )
    learn(connection, release, "b")
    other = run(connection, "update annotator.release set status = 'retired', retired_at = now()"
                " returning release_id")  # fmt: skip
    assert other == [(release,)]
    later = add_release(connection)
    learn(connection, later, "x")
    predict(connection, "a", later)
    assert dataset_samples(daemon, release) == ["a", "c", "d"]
    assert dataset_samples(daemon, later, "D1", "D2") == ["a", "b", "c", "d", "y"]
    assert dataset_samples(daemon, later, "D3") == []


def test_a_decision_that_no_release_has_learned_from_changes_nothing(connection, daemon):
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    for sample, decision in (("a", "accepted"), ("b", "rejected")):
        run(
            connection,
            "insert into annotator.review (prediction_id, decision, value, reviewer)"
            " values (%s, %s, case %s when 'accepted' then 'liver' end, 'x')",
            predict(connection, sample, release),
            decision,
            decision,
        )
    assert dataset_samples(daemon, release) == ["a", "b", "c"]


def test_the_first_of_each_dataset(connection, daemon):
    add_samples(connection, "b", "B", "a", "é")
    add_samples(connection, "x", "y", "z", dataset="D2")
    release = add_release(connection)
    assert dataset_samples(daemon, release, "D2", "D1", most=2) == ["B", "a", "x", "y"]
    assert dataset_samples(daemon, release) == ["B", "a", "b", "é"]


def test_quarantined_samples_and_those_that_may_end_a_worker_stay_out(connection, daemon):
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    run(
        connection,
        "insert into annotator.quarantine (sample_id, field, sample_updated_at, code, reason)"
        " select sample_id, 'tissue', updated_at, 'no_counts', 'x' from atlas.sample"
        " where sample_id = 'a'",
    )
    work.queue_pending(daemon, "tissue", release)
    for attempt in (1, 2):
        claimed = work.claim(daemon, f"w{attempt}", "tissue", release, 1, 600)
        assert [(sample.sample_id, sample.attempts) for sample in claimed] == [("b", attempt)]
        assert dataset_samples(daemon, release) == ["b", "c"]  # its own batch may hold it
        run(
            connection, "update annotator.work set leased_until = now() where leased_by is not null"
        )
    assert dataset_samples(daemon, release) == ["c"]


def test_the_dataset_of_a_sample(connection, daemon):
    add_samples(connection, "a", dataset="D7")
    assert dataset_of_sample(daemon, "a") == "D7"
    assert dataset_of_sample(daemon, "b") is None
