"""Datasets are removed, with their history kept, also while a daemon works."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from annotator.domain.imports import ForgottenData
from annotator.errors import InputError, LeaseLostError, NeedsPersonError
from annotator.jobs.forget import forget, what_would_go
from annotator.store.answers import predictions, work
from annotator.store.server.connection import Database
from tests.support.store import add_release, add_samples, rows, run, suggestion


@pytest.fixture
def with_counts(connection, reviewable):
    """The two datasets of ``reviewable``, one sample of each with counts."""
    run(
        connection,
        "insert into atlas.feature (name, kind) values ('miR-1', 'srna'), ('miR-2', 'srna');"
        " insert into atlas.expression select s.sample_id, 2,"
        " array(select feature_id from atlas.feature order by 1), '{3,4}'"
        " from (values ('a'), ('d')) as s (sample_id)",
    )
    run(connection, "select annotator.accept_suggestion(%s)", reviewable.ids["c"])
    return reviewable


def samples_of(database: Database) -> list[str]:
    return [row[0] for row in rows(database, "select sample_id from atlas.sample order by 1")]


def test_what_would_go_is_counted_and_stays(database, with_counts) -> None:
    expected = ForgottenData(
        datasets=("D2",),
        samples=2,
        counts=2,
        annotations=1,
        predictions=2,
        decisions=1,
        releases=(),
    )
    assert what_would_go(database, ["D2", "D2"]) == expected
    assert samples_of(database) == ["a", "b", "c", "d"]


def test_a_dataset_goes_with_its_samples(database, with_counts) -> None:
    forget(database, ["D2"])
    assert samples_of(database) == ["a", "b"]
    assert rows(database, "select dataset_id from atlas.dataset") == [("D1",)]
    assert rows(database, "select sample_id from atlas.expression") == [("a",)]
    assert rows(database, "select count(*) from atlas.annotation") == [(0,)]


def test_predictions_stay_as_history_and_leave_the_queue(database, with_counts) -> None:
    forget(database, ["D2"])
    query = "select sample_id, is_current from annotator.prediction order by 1"
    assert rows(database, query) == [("a", True), ("b", True), ("c", False), ("d", False)]
    for view in ("suggestion", "review_queue"):
        query = f"select distinct dataset_id from annotator.{view}"
        assert rows(database, query) == [("D1",)], view
    query = "select dataset_id from annotator.queue_group union select dataset_id from"
    assert rows(database, f"{query} annotator.queue_change") == [("D1",)]


def test_decisions_are_undone_and_do_not_count_for_new_samples(
    database, connection, with_counts
) -> None:
    forget(database, ["D2"])
    assert rows(database, "select count(*) from annotator.review") == [(0,)]
    ((note,),) = rows(database, "select undo_note from annotator.undone_review")
    assert "D2" in note
    add_samples(connection, "c", dataset="D3")
    assert rows(database, "select sample_id from annotator.effective_annotation") == []
    assert work.count_pending(connection, "tissue", with_counts.release_id) == 1


def test_who_removed_what_is_in_the_event_log(database, with_counts) -> None:
    forget(database, ["D2"])
    query = "select subject, actor, detail from annotator.event where kind = 'forgotten'"
    ((subject, actor, detail),) = rows(database, query)
    assert (subject, detail["samples"], detail["decisions"]) == ("D2", 2, 1)
    assert actor
    assert detail["user"]


def test_live_releases_that_learned_from_it_are_named(database, connection, with_counts) -> None:
    run(
        connection,
        "with c as (insert into annotator.cohort (field, hash, samples, datasets)"
        " values ('tissue', repeat('1', 64), 1, 1) returning cohort_id),"
        " s as (insert into annotator.cohort_sample select cohort_id, 'd', 'D2', 'blood' from c)"
        " update annotator.training_run set cohort_id = (select cohort_id from c)",
    )
    assert forget(database, ["D2"]).releases == (with_counts.release_id,)
    assert rows(database, "select sample_id from annotator.cohort_sample") == [("d",)]


def test_an_unknown_dataset_is_refused_and_nothing_removed(database, with_counts) -> None:
    with pytest.raises(InputError, match="'D7'"):
        forget(database, ["D2", "D7"])
    assert samples_of(database) == ["a", "b", "c", "d"]


def test_an_atlas_of_views_is_left_alone(database, connection) -> None:
    run(connection, "alter table atlas.term_parent rename to own")
    run(connection, "create view atlas.term_parent as select * from atlas.own")
    with pytest.raises(NeedsPersonError, match="remove them from that atlas"):
        what_would_go(database, ["D1"])


@pytest.fixture
def claimed(connection, daemon):
    """Release, and samples of two datasets that a worker has claimed in one batch."""
    add_samples(connection, "a1", "a2", dataset="A")
    add_samples(connection, "b1", dataset="B")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    return release, work.claim(daemon, "w", "tissue", release, 10, 600)


def write(daemon, release: int, found) -> None:
    run_id = predictions.start_annotation_run(daemon, "w", "here")
    predictions.write_batch(daemon, "w", release, run_id, found, [])


def test_the_other_samples_of_a_claimed_batch_are_written(
    database, connection, daemon, claimed
) -> None:
    release, samples = claimed
    forget(database, ["A"])
    write(daemon, release, [suggestion(sample) for sample in samples])
    assert rows(database, "select sample_id from annotator.prediction") == [("b1",)]
    assert rows(database, "select count(*) from annotator.work") == [(0,)]


def test_a_batch_without_any_sample_left_is_written_as_nothing(database, daemon, claimed) -> None:
    release, samples = claimed
    forget(database, ["A", "B"])
    write(daemon, release, [suggestion(sample) for sample in samples])
    assert rows(database, "select count(*) from annotator.prediction") == [(0,)]


def test_a_sample_that_was_imported_again_is_not_written_without_a_lease(
    database, connection, daemon, claimed
) -> None:
    release, samples = claimed
    forget(database, ["A"])
    add_samples(connection, "a1", dataset="A")
    with pytest.raises(LeaseLostError, match="1 of 3"):
        write(daemon, release, [suggestion(sample) for sample in samples])


def test_it_waits_for_a_batch_that_is_being_written(database, daemon, claimed) -> None:
    release, samples = claimed
    run_id = predictions.start_annotation_run(daemon, "w", "here")
    with daemon.transaction():
        found = [replace(suggestion(sample)) for sample in samples]
        predictions.write_batch(daemon, "w", release, run_id, found, [])
        other = threading.Thread(target=forget, args=(database, ["A"]))
        other.start()
        other.join(0.3)
        assert other.is_alive()
    daemon.commit()
    other.join(30)
    query = "select sample_id from annotator.prediction where is_current"
    assert rows(database, query) == [("b1",)]
