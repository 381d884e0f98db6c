"""Stored models that somebody changed are refused unparsed, and the release before serves."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from annotator.cli.watch_text import status_lines
from annotator.errors import ArtefactError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.watch.status import read_status
from annotator.settings import Settings
from tests.support.atlas import load_atlas
from tests.support.crafted import CRAFTED
from tests.support.databases import name_of, new_database
from tests.support.faults import tampering as fault_tampering
from tests.support.faults.atlas import fault_settings, make_releases


@dataclass(frozen=True)
class Released:
    """A database with two releases of sex, that tests clone."""

    name: str
    before: int
    live: int


@pytest.fixture(scope="module")
def released(server, tmp_path_factory):
    """Two releases, made once: tests tamper with clones of them."""
    settings = fault_settings(Settings(home=tmp_path_factory.mktemp("released")))
    with new_database(server) as database:
        load_atlas(database)
        before, live = make_releases(database, settings, "sex", [1, 2])
        yield Released(name_of(database), before, live)


@pytest.fixture
def database(server, released):
    with new_database(server, released.name) as made:
        yield made


@pytest.fixture
def quick(settings):
    return fault_settings(settings)


def test_no_tampering_is_parsed_and_the_release_before_serves(database, released):
    outcomes = fault_tampering.tampered(database, released.before, released.live, times=30)
    assert {outcome.fault for outcome in outcomes} >= {
        "a flipped bit",
        "all files of another release",
        "a pickle",
        "a Keras Lambda",
        "a zip that leaves its folder",
        "a file removed",
        "planted code",
        *CRAFTED,
    }
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []


def test_annotating_goes_on_with_the_release_before_and_the_next_retraining_is_not_skipped(
    database, quick, released
):
    before, live = released.before, released.live
    with database.connect() as connection:
        files = fault_tampering.stored(connection, live)
        damaged = files | {"model.json": files["model.json"].replace(b"female", b"f3male")}
        fault_tampering.put(connection, live, damaged, with_digests=False)
        connection.commit()
    summary = annotate(database, quick, worker="one")
    assert summary.predicted["sex"] > 0
    with database.connect() as connection:
        answered = connection.execute("select distinct release_id from annotator.prediction")
        assert answered.fetchall() == [(before,)]
        statuses = dict(
            connection.execute("select release_id, status::text from annotator.release").fetchall()
        )
        work = connection.execute("select count(*) from annotator.work").fetchone()
        periods = connection.execute(
            "select r.promoted_at < r.retired_at, e.promoted_at >= r.retired_at,"
            " e.retired_at is null, card.retired_at = r.retired_at"
            " from annotator.release r join annotator.model_card card using (release_id),"
            " annotator.release e where r.release_id = %s and e.release_id = %s",
            (live, before),
        ).fetchone()
    assert statuses == {before: "live", live: "rejected"}
    assert work == (0,)
    assert periods == (True, True, True, True)
    report = read_status(database, quick)
    assert any("damaged" in problem for problem in report.problems)
    assert f"release {before} is live again" in status_lines(report)

    again = make_releases(database, quick, "sex", [2])  # not "nothing changed"
    assert again[0] > live
    with database.connect() as connection:
        assert fault_tampering.refused(connection, live)
        assert not fault_tampering.refused(connection, again[0])


def test_without_a_sound_release_nothing_is_answered_and_it_is_said_once(database, quick, released):
    live = released.live
    with database.connect() as connection:
        connection.execute(
            "update annotator.release set status = 'rejected' where release_id = %s",
            (released.before,),
        )
        files = fault_tampering.stored(connection, live)
        broken = files | {"model.json": files["model.json"] + b" "}
        fault_tampering.put(connection, live, broken, with_digests=True)
        connection.commit()
    for worker in ("one", "two"):
        with pytest.raises(ArtefactError, match="was validated"):
            annotate(database, quick, worker=worker)
    with database.connect() as connection:
        counts = connection.execute(
            "select (select count(*) from annotator.prediction),"
            " (select count(*) from annotator.event where kind = 'failure'),"
            " (select count(*) from annotator.release where status = 'live'),"
            " (select count(*) from annotator.work where leased_by is not null)"
        ).fetchone()
    assert counts == (0, 1, 1, 0)
