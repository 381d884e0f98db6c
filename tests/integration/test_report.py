"""Reports of releases: what is read for them, where they lie, and which are kept."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, replace

import numpy as np
import pytest
from psycopg.conninfo import make_conninfo

from annotator.domain.explanations import ReleaseExplanations
from annotator.domain.releases import CandidateRelease
from annotator.errors import InputError
from annotator.jobs import report as job
from annotator.report.figures.selective import selective
from annotator.store.releases import lifecycle, registry, runs
from annotator.store.releases.explanations import copy_explanations
from annotator.store.releases.reports import kept_reports
from annotator.store.releases.runs import RunStart
from annotator.store.server.connection import Database
from tests.support import made_report

CLASSES = made_report.class_names(4)
HELD_OUT = made_report.held_out(CLASSES, 60, 1)
EXPLANATIONS = made_report.explanations(CLASSES, 60, 1)


@pytest.fixture
def job_settings(settings, tmp_path, monkeypatch):
    """Settings of reports with few figures: what they show is tested elsewhere."""
    monkeypatch.setattr("annotator.report.figures.figures", lambda shown: tuple(selective(shown)))
    return replace(settings, report_folder=tmp_path / "reports", keep_reports=2)


def new_release(connection, *, promoted=True, explained=True, field="tissue"):
    """A decided release with its cohort, figures and explanations, but without models."""
    run = runs.start_run(
        connection,
        RunStart(
            field=field,
            preset="default",
            seed=7,
            configuration={"trust": {"target_precision": 0.95}},
            configuration_hash="c" * 64,
            versions={"numpy": "2"},
            host="here",
        ),
    )
    samples = zip(HELD_OUT.sample_ids, HELD_OUT.dataset_ids, HELD_OUT.truth, strict=True)
    members = [(sample, dataset, label, label) for sample, dataset, label in samples]
    members.append(("left out", "SRP000001", "rare", None))
    runs.save_cohort(connection, run, field, "a" * 64, members)
    release_id = registry.save_candidate(
        connection,
        run,
        CandidateRelease(
            field,
            CLASSES,
            12,
            (),
            HELD_OUT,
            {
                "one-dataset-out": made_report.metrics(CLASSES, 0.8),
                "cv": made_report.metrics(CLASSES, 0.95),
            },
            curves=made_report.curves(),
        ),
    )
    if explained:
        copy_explanations(connection, release_id, EXPLANATIONS)
    decide = lifecycle.promote if promoted else lifecycle.reject
    decide(connection, release_id, ["Nothing is live yet."])
    runs.finish_run(connection, run, "succeeded", None, folds="10 folds")
    return release_id


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def recorded(connection):
    rows = connection.execute(
        "select release_id, path, sha256, size from annotator.release_report order by 1"
    ).fetchall()
    connection.commit()
    return rows


def test_everything_that_is_stored_is_read(connection):
    connection.execute(
        "insert into atlas.dataset (dataset_id, title) values ('SRP000003', 'A study')"
    )
    connection.execute("insert into atlas.term values ('brain', 'b'), (%s, 't')", (CLASSES[0],))
    connection.execute("insert into atlas.term_parent values (%s, 'brain')", (CLASSES[0],))
    release_id = new_release(connection)
    contents = job.read_contents(connection, release_id)
    release = contents.release
    assert (release.release_id, release.status, release.preset) == (release_id, "live", "default")
    assert (release.classes, release.features, release.seed) == (CLASSES, 12, 7)
    assert release.cohort_hash == "a" * 64
    assert release.trained_for >= 0
    assert sum(part.samples for part in contents.cohort) == 61
    assert {part.class_name for part in contents.cohort} == {*CLASSES, ""}
    titles = {part.dataset_id: part.dataset_title for part in contents.cohort}
    assert titles["SRP000003"] == "A study"
    assert titles["SRP000001"] == ""
    assert list(contents.metrics) == ["one-dataset-out", "cv"]
    assert set(contents.metrics["cv"]) == set(made_report.metrics(CLASSES, 0.95))
    assert set(contents.curves) == set(made_report.curves())
    np.testing.assert_allclose(
        contents.held_out.probabilities["forest"], HELD_OUT.probabilities["forest"], atol=1e-6
    )
    assert contents.explanations.similarities[0].class_name == CLASSES[0]
    assert len(contents.explanations.markers) == len(EXPLANATIONS.markers)
    assert contents.groups == {name: name for name in CLASSES} | {CLASSES[0]: "b"}


def test_a_release_from_before_explanations(connection, database, tmp_path):
    release_id = new_release(connection, explained=False)
    explanations = job.read_contents(connection, release_id).explanations
    assert astuple(explanations) == astuple(ReleaseExplanations())
    (written,) = job.report(database, release_id, tmp_path)
    assert "not recorded" in written.path.read_text()
    assert "markers" not in written.figures


def test_every_live_release_by_default(connection, database, tmp_path):
    old, live = new_release(connection), new_release(connection)
    sex = new_release(connection, field="sex")
    folder = tmp_path / "new" / "folder"
    written = job.report(database, None, folder)
    assert [each.release_id for each in written] == [sex, live]
    assert names(folder) == sorted(
        name
        for field, number in (("sex", sex), ("tissue", live))
        for name in (f"release-{number}-{field}", f"release-{number}-{field}.html")
    )
    for each in written:
        content = each.path.read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (each.sha256, each.size)
        assert names(each.path.with_suffix("")) == sorted(f"{name}.svg" for name in each.figures)
    (again,) = job.report(database, old, folder)
    assert "when a newer release replaced it" in again.path.read_text()
    assert recorded(connection) == []


def test_a_reader_can_write_a_report(connection, database, tmp_path):
    release_id = new_release(connection)
    with database.connect(user="annotator_reader") as reader:
        assert job.read_contents(reader, release_id).release.release_id == release_id


def test_a_daemons_rights_are_enough_to_keep_reports(connection, database, job_settings):
    as_daemon = Database(make_conninfo(database.conninfo, user="annotator_daemon"))
    for _ in range(4):
        new_release(connection, promoted=False)
        assert len(job.bring_up_to_date(as_daemon, job_settings)) == 1
    assert len(recorded(connection)) == 2


def test_the_same_release_gives_the_same_bytes_over_again(connection, database, tmp_path):
    release_id = new_release(connection)
    first = job.report(database, release_id, tmp_path)
    stale = first[0].path.with_suffix("") / "stale.svg"
    stale.write_text("from before")
    assert job.report(database, release_id, tmp_path) == first
    assert not stale.exists()


@pytest.mark.parametrize("release_id", [None, 77])
def test_there_is_nothing_to_report(database, tmp_path, release_id):
    with pytest.raises(InputError, match="no release"):
        job.report(database, release_id, tmp_path)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written(connection, database, tmp_path):
    new_release(connection)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written there"):
        job.report(database, None, tmp_path / "file" / "reports")


def test_a_retraining_leaves_reports_of_what_it_decided(connection, database, job_settings):
    folder = job_settings.reports_folder()
    refused = new_release(connection, promoted=False)
    live = new_release(connection)
    written = job.bring_up_to_date(database, job_settings)
    assert [each.release_id for each in written] == [refused, live]
    assert recorded(connection) == [
        (each.release_id, str(each.path), each.sha256, each.size) for each in written
    ]
    cards = connection.execute("select report from annotator.model_card order by release_id")
    assert [row[0] for row in cards] == [str(each.path) for each in written]
    connection.commit()
    assert job.bring_up_to_date(database, job_settings) == ()
    assert len(names(folder)) == 4


def test_a_live_release_is_reported_anew_when_its_suggestions_were_judged(
    connection, database, job_settings
):
    live = new_release(connection)
    job.bring_up_to_date(database, job_settings)
    connection.execute(
        "insert into atlas.dataset (dataset_id) values ('new');"
        "insert into atlas.sample (sample_id, dataset_id) values ('new', 'new');"
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        f" value, confidence, status) values ('new', 'new', 'tissue', {live}, repeat('0', 64),"
        " 'liver', 0.9, 'suggested');"
        "insert into atlas.annotation (sample_id, field, value) values ('new', 'tissue', 'liver')"
    )
    connection.commit()
    (again,) = job.bring_up_to_date(database, job_settings)
    assert again.release_id == live
    assert "Right in use" in again.path.read_text(encoding="utf-8")
    assert job.bring_up_to_date(database, job_settings) == ()


def test_a_replaced_release_is_reported_anew_and_old_ones_go(connection, database, job_settings):
    folder = job_settings.reports_folder()
    first = new_release(connection)
    job.bring_up_to_date(database, job_settings)
    second = new_release(connection)
    written = job.bring_up_to_date(database, job_settings)
    assert [each.release_id for each in written] == [first, second]
    assert "It answered for tissue" in written[0].path.read_text()
    refused = [new_release(connection, promoted=False) for _ in range(3)]
    job.bring_up_to_date(database, job_settings)
    kept = [second, *refused[1:]]  # the live one, however old, and the two newest
    assert [row[0] for row in recorded(connection)] == kept
    stems = [f"release-{number}-tissue" for number in kept]
    assert names(folder) == sorted([*stems, *(f"{stem}.html" for stem in stems)])


def test_a_report_that_somebody_removed_is_written_again(connection, database, job_settings):
    new_release(connection)
    (written,) = job.bring_up_to_date(database, job_settings)
    written.path.unlink()
    assert job.bring_up_to_date(database, job_settings) == (written,)


def test_reports_of_other_hosts_are_left_alone(connection, database, job_settings, tmp_path):
    old = new_release(connection, promoted=False)
    job.bring_up_to_date(database, job_settings)
    connection.execute("update annotator.release_report set host = 'elsewhere'")
    connection.commit()
    for _ in range(2):
        new_release(connection, promoted=False)
    job.bring_up_to_date(database, job_settings)
    assert recorded(connection)[0][0] == old
    assert (job_settings.reports_folder() / f"release-{old}-tissue.html").is_file()


def test_only_files_of_this_program_are_removed(connection, database, job_settings, tmp_path):
    new_release(connection, promoted=False)
    job.bring_up_to_date(database, job_settings)
    precious = tmp_path / "precious.html"
    precious.write_text("mine")
    connection.execute("update annotator.release_report set path = %s", (str(precious),))
    connection.commit()
    for _ in range(2):
        new_release(connection, promoted=False)
    job.bring_up_to_date(database, job_settings)
    assert precious.read_text() == "mine"
    assert len(recorded(connection)) == 2


def test_a_report_that_fails_is_an_event_and_stops_nothing(
    connection, database, job_settings, monkeypatch
):
    broken, sound = new_release(connection, promoted=False), new_release(connection)
    read = job.read_contents

    def fail(opened, release_id):
        if release_id == broken:
            raise ZeroDivisionError("no samples")
        return read(opened, release_id)

    monkeypatch.setattr(job, "read_contents", fail)
    (written,) = job.bring_up_to_date(database, job_settings)
    assert written.release_id == sound
    events = connection.execute(
        "select subject, detail from annotator.event where kind = 'failure'"
    ).fetchall()
    connection.commit()
    assert [subject for subject, _ in events] == ["tissue"]
    assert f"report of release {broken}" in events[0][1]["reason"]
    assert "no samples" in events[0][1]["reason"]
    due, _ = kept_reports(connection, 2)
    assert [row.release_id for row in due] == [broken]


def test_a_folder_that_cannot_be_written_is_an_event_too(connection, database, job_settings):
    new_release(connection)
    job_settings.reports_folder().write_text("a file in the way")
    assert job.bring_up_to_date(database, job_settings) == ()
    ((reason,),) = connection.execute(
        "select detail ->> 'reason' from annotator.event where kind = 'failure'"
    ).fetchall()
    assert "cannot be written there" in reason
