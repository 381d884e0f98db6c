"""Releases: one per field is live, and which files are kept."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from annotator.domain.releases import Comparison
from annotator.errors import ArtefactError, NeedsPersonError
from annotator.store import events
from annotator.store.releases import artefacts, lifecycle, registry
from annotator.store.releases.comparisons import read_comparisons
from tests.support.candidates import ARTEFACTS, CLASSES, candidate, finish, statuses
from tests.support.store import as_daemon, run


def test_promotion_retires_the_release_before(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    assert registry.live_release(daemon, "tissue") is None
    first = candidate(daemon)
    lifecycle.promote(daemon, first, ["it is the first"])
    second = candidate(daemon)
    live = registry.live_release(daemon, "tissue")
    assert live is not None
    assert (live.release_id, live.preset, live.classes, live.features) == (
        first, "default", CLASSES, 12,
    )  # fmt: skip
    lifecycle.promote(daemon, second, ["better", "than before"])
    other = candidate(daemon, "sex")
    lifecycle.promote(daemon, other, [])
    assert statuses(connection) == ["retired", "live", "live"]
    assert [r.release_id for r in registry.live_releases(daemon)] == [other, second]
    assert run(
        connection, "select reasons from annotator.release where release_id = %s", second
    ) == [(["better", "than before"],)]
    assert run(
        connection, "select subject, detail ->> 'release_id', detail ->> 'retired'"
        " from annotator.event where kind = 'promoted' order by event_id"
    ) == [("tissue", str(first), None), ("tissue", str(second), str(first)),
          ("sex", str(other), None)]  # fmt: skip


def test_only_a_candidate_is_promoted_or_rejected(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    live, refused = candidate(daemon), candidate(daemon)
    lifecycle.promote(daemon, live, [])
    lifecycle.reject(daemon, refused, ["worse than the majority class"])
    for decide in (lifecycle.promote, lifecycle.reject):
        with pytest.raises(NeedsPersonError, match="is live"):
            decide(daemon, live, [])
        with pytest.raises(NeedsPersonError, match="is rejected"):
            decide(daemon, refused, [])
        with pytest.raises(NeedsPersonError, match="no release 999"):
            decide(daemon, 999, [])
    assert statuses(connection) == ["live", "rejected"]
    assert run(
        connection, "select reasons from annotator.release where release_id = %s", refused
    ) == [(["worse than the majority class"],)]


def test_what_the_gate_compared_comes_back_as_it_was(daemon: psycopg.Connection) -> None:
    passed = Comparison("accuracy", "live", 0.8, 0.7, 0.01, True, 9, 3, "Accuracy.")
    failed = Comparison("auc", "majority", 0.4, 0.45, 0.0, False, 9, 3, "Refused: AUC.", 0.5)
    live, refused = candidate(daemon), candidate(daemon)
    assert read_comparisons(daemon, live) == ()
    lifecycle.promote(daemon, live, ["Accuracy."], [passed])
    broken = replace(failed, ours=float("nan"))
    lifecycle.reject(daemon, refused, ["Accuracy.", "Refused: AUC."], [passed, broken])
    assert read_comparisons(daemon, live) == (passed,)
    same, back = read_comparisons(daemon, refused)
    assert same == passed
    assert np.isnan(back.ours)
    assert replace(back, ours=0.4) == failed


def test_promotions_at_once_leave_one_live(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    lifecycle.promote(daemon, candidate(daemon), [])
    candidates = [candidate(daemon) for _ in range(6)]
    barrier = threading.Barrier(len(candidates), timeout=60)

    def promote(release_id: int) -> None:
        with as_daemon(database) as conn:
            barrier.wait()
            lifecycle.promote(conn, release_id, [])

    with ThreadPoolExecutor(len(candidates)) as pool:
        list(pool.map(promote, candidates))
    assert sorted(statuses(connection)) == ["live"] + ["retired"] * 6
    ((last,),) = run(
        connection, "select (detail ->> 'release_id')::int from annotator.event"
        " where kind = 'promoted' order by event_id desc limit 1"
    )  # fmt: skip
    live = registry.live_release(daemon, "tissue")
    assert live is not None
    assert live.release_id == last


def test_a_promotion_that_is_killed_leaves_the_live_release_live(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    first = candidate(daemon)
    lifecycle.promote(daemon, first, [])
    second = candidate(daemon)
    run(
        connection,
        "create function pause() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(60); return null; end $$",
    )
    run(
        connection,
        "create trigger pause before insert on annotator.event"
        " for each statement execute function pause()",
    )
    errors: list[BaseException] = []

    def promote() -> None:
        try:
            lifecycle.promote(daemon, second, [])
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=promote)
    thread.start()
    pid, pause = daemon.info.backend_pid, threading.Event()
    asleep = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    while not run(connection, asleep, pid):
        pause.wait(0.01)
    run(connection, "select pg_terminate_backend(%s)", pid)
    thread.join()
    daemon.close()
    assert [type(error) for error in errors] == [psycopg.errors.AdminShutdown]
    assert statuses(connection) == ["live", "candidate"]
    run(connection, "drop function pause() cascade")
    with as_daemon(database) as other:
        lifecycle.promote(other, second, [])
    assert statuses(connection) == ["retired", "live"]


@pytest.mark.parametrize(
    "damage",
    [
        "content = overlay(content placing '\\x00'::bytea from 5 for 1)",
        "content = substring(content from 1 for 100)",
        "content = content || '\\x00'::bytea",
        "content = ''",
        "size = size + 1",
        "sha256 = repeat('0', 64)",
    ],
)
def test_a_damaged_artefact_is_refused_before_it_is_returned(
    connection: psycopg.Connection, daemon: psycopg.Connection, damage: str
) -> None:
    release_id = candidate(daemon)
    with pytest.raises(psycopg.errors.CheckViolation):
        run(connection, f"update annotator.artefact set {damage} where name = 'forest.safetensors'")
    connection.rollback()
    run(connection, "alter table annotator.artefact drop constraint content_is_what_it_was")
    run(connection, f"update annotator.artefact set {damage} where name = 'forest.safetensors'")
    with pytest.raises(ArtefactError, match=rf"release {release_id}: artefact forest\.safetensors"):
        artefacts.load_artefacts(daemon, release_id)


def test_the_database_holds_the_digest_of_each_artefact(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    candidate(daemon)
    assert dict(run(connection, "select name, sha256 from annotator.artefact")) == {
        artefact.name: hashlib.sha256(artefact.content).hexdigest() for artefact in ARTEFACTS
    }


def test_files_that_a_daemon_puts_in_place_of_others_are_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    release_id = candidate(daemon)
    lifecycle.promote(daemon, release_id, [])
    run(daemon, "delete from annotator.artefact")
    run(
        daemon,
        "insert into annotator.artefact (release_id, name, media_type, sha256, size, content)"
        " select %s, name, 'application/json', encode(sha256('[]'), 'hex'), 2, '[]'"
        " from unnest(%s::text[]) as name",
        release_id,
        [artefact.name for artefact in ARTEFACTS],
    )
    # Not even with an event that comes before all others.
    run(
        connection,
        "insert into annotator.event (event_id, kind, detail) overriding system value"
        " select -1, 'candidate', jsonb_build_object('release_id', release_id, 'artefacts',"
        " jsonb_object_agg(name, sha256)) from annotator.artefact group by release_id",
    )
    with pytest.raises(ArtefactError, match="was validated"):
        artefacts.load_artefacts(daemon, release_id)


def test_what_is_said_of_a_release_to_come_does_not_count(daemon: psycopg.Connection) -> None:
    for release_id in range(1, 9):
        events.add_event(daemon, "candidate", "tissue", {"release_id": release_id, "artefacts": {}})
    daemon.commit()
    assert artefacts.load_artefacts(daemon, candidate(daemon))


def test_a_release_without_artefacts_is_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    with pytest.raises(ArtefactError, match="release 999 has no stored models"):
        artefacts.load_artefacts(daemon, 999)


def test_old_artefacts_go_and_those_of_the_live_release_stay(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    releases = []
    for _ in range(3):
        releases.append(candidate(daemon))
        lifecycle.promote(daemon, releases[-1], [])
    releases.append(candidate(daemon))
    lifecycle.reject(daemon, releases[-1], [])
    waiting, other = candidate(daemon), candidate(daemon, "sex")
    lifecycle.reject(daemon, other, [])
    assert artefacts.retire_artefacts(daemon, keep=1) == 2 * len(ARTEFACTS)
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [releases[2], releases[3], waiting, other]
    assert artefacts.retire_artefacts(daemon, keep=0) == 2 * len(ARTEFACTS)
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [releases[2], waiting]
    assert len(statuses(connection)) == 6


def test_releases_without_files_take_no_place_of_those_that_have_some(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    before, live, orphan = candidate(daemon), candidate(daemon), candidate(daemon)
    lifecycle.promote(daemon, before, [])
    lifecycle.promote(daemon, live, [])
    finish(daemon, orphan)
    assert lifecycle.sweep_orphans(daemon) == 1
    assert artefacts.retire_artefacts(daemon, keep=1) == 0
    assert [release.release_id for release in registry.earlier_releases(daemon, "tissue")] == [
        before
    ]


def test_candidates_that_nobody_decides_on_are_rejected(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    orphan, live, being_made = candidate(daemon), candidate(daemon), candidate(daemon)
    lifecycle.promote(daemon, live, [])
    finish(daemon, orphan)
    finish(daemon, live)
    assert lifecycle.sweep_orphans(daemon) == 1
    assert lifecycle.sweep_orphans(daemon) == 0
    assert statuses(connection) == ["rejected", "live", "candidate"]
    ((reasons,),) = run(
        connection, "select reasons from annotator.release where release_id = %s", orphan
    )
    assert reasons == ["its training run ended before it was decided on"]
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [live, being_made]  # nobody wants the files either
    lifecycle.promote(daemon, being_made, [])
