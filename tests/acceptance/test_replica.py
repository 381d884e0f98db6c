"""The installed command on a streaming replica, and a daemon whose primary is replaced."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass, replace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store.server import binaries
from annotator.store.server.embedded import running_server
from tests.acceptance.conftest import (
    Program,
    copied_program,
    forget_predictions,
    unanswered,
    wait_until,
)
from tests.support.replica import Replica, replica_of, url_of

ROLES = {
    "service": "annotator_daemon",
    "grace": "annotator_curator",
    "rhoda": "annotator_reader",
}
TWO_SUGGESTIONS = """
select prediction_id, sample_id, dataset_id from suggestion
where field = 'tissue' and status = 'suggested' order by prediction_id limit 2
"""


@dataclass(frozen=True)
class OnReplica:
    """The command, and a suggestion that both servers have."""

    program: Program
    replica: Replica
    suggestion: dict[str, str]

    def as_user(self, user: str) -> Program:
        """The command on the replica, with the login of a member of a group role."""
        url = url_of(make_conninfo(self.replica.conninfo, user=user))
        return replace(
            self.program, settings={**self.program.settings, "ANNOTATOR_DATABASE_URL": url}
        )

    def filled(self, arguments):
        return [each.format(**self.suggestion) for each in arguments]


@pytest.fixture(scope="module")
def on_replica(tmp_path_factory, annotated_home):
    with copied_program(tmp_path_factory, annotated_home) as program:
        decided, suggestion = program.rows(TWO_SUGGESTIONS)
        program.run("sql", f"select accept_suggestion({decided['prediction_id']}, 'right')")
        with running_server(program.home) as primary:
            with psycopg.connect(primary) as owner:
                for login, role in ROLES.items():
                    owner.execute(f"create role {login} login in role {role}")
            with replica_of(primary, binaries.folder(), program.home / "cluster") as replica:
                replica.catch_up()
                yield OnReplica(program, replica, suggestion)


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ("rhoda", ["status"]),
        ("service", ["doctor"]),
        ("rhoda", ["report", "--out", "reports"]),
        ("service", ["explain", "{sample_id}", "--field", "tissue"]),
        ("service", ["evaluate", "--field", "tissue", "--scheme", "one-dataset-out"]),
        ("grace", ["sql", "select * from review_queue"]),
        ("rhoda", ["sql", "select * from suggestion"]),
        ("grace", ["sql", "select * from model_card"]),
    ],
)
def test_what_reads_works(on_replica, user, arguments):
    ended = on_replica.as_user(user).run(*on_replica.filled(arguments))
    assert ended.out


def test_the_state_is_that_of_the_primary(on_replica):
    def fields(program):
        return json.loads(program.run("status", "--json").out)["fields"]

    assert fields(on_replica.as_user("rhoda")) == fields(on_replica.program)


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ("annotator", ["migrate"]),
        ("annotator", ["import", "{atlas}/counts_srna.tsv.gz", "{atlas}/samples.tsv"]),
        ("annotator", ["import", "{atlas}/counts_srna.tsv.gz", "{atlas}/samples.tsv", "--dry-run"]),
        ("annotator", ["import", "--ontology", "{atlas}/ontology.tsv"]),
        ("annotator", ["forget", "{dataset_id}", "--yes"]),
        ("service", ["retrain"]),
        ("service", ["annotate"]),
        ("service", ["serve"]),
        ("service", ["explain", "{sample_id}", "--field", "tissue", "--store"]),
        ("grace", ["sql", "select accept_suggestion({prediction_id}, 'right')"]),
        ("grace", ["sql", "select accept_dataset('{dataset_id}', 'tissue')"]),
    ],
)
def test_what_writes_is_refused_in_one_line(on_replica, atlas_files, user, arguments):
    folder, _ = atlas_files
    on_replica.suggestion["atlas"] = str(folder)
    ended = on_replica.as_user(user).run(*on_replica.filled(arguments), code=3)
    assert ended.out == ""
    assert "replica" in ended.err
    assert "primary" in ended.err
    assert len(ended.err.splitlines()) == 1


def lines_of(process):
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return errors


def test_a_running_daemon_waits_while_its_database_accepts_no_changes(annotated):
    with running_server(annotated.home) as conninfo:

        def owner(*statements):
            with psycopg.connect(conninfo, autocommit=True) as connection:
                found = [connection.execute(each) for each in statements][-1]
                return found.fetchone() if found.description else None

        def silent(seconds):
            query = (
                "select extract(epoch from clock_timestamp() - max(beat_at))"
                " from annotator.heartbeat"
            )
            return owner(query)[0] > seconds

        daemon = annotated.start("serve")
        try:
            wait_until(lambda: annotated.end("status", "--daemon").code == 0)
            owner("alter database annotator set default_transaction_read_only = on")
            wait_until(lambda: silent(4))  # several heartbeats and polls
            assert daemon.poll() is None
            owner(
                "set default_transaction_read_only = off",
                "alter database annotator reset default_transaction_read_only",
            )
            forget_predictions(annotated)
            wait_until(lambda: unanswered(annotated) == 0)
        finally:
            errors = lines_of(daemon)
    assert daemon.returncode == 0
    assert "default_transaction_read_only" in errors


def test_a_daemon_moves_to_the_replica_that_is_promoted(tmp_path_factory, annotated_home):
    with (
        copied_program(tmp_path_factory, annotated_home) as program,
        running_server(program.home) as primary,
        replica_of(primary, binaries.folder(), program.home / "cluster") as replica,
    ):
        hosts = [str(conninfo_to_dict(each)["host"]) for each in (primary, replica.conninfo)]
        given = make_conninfo(primary, host=",".join(hosts))
        both = url_of(given, target_session_attrs="read-write")
        daemon = program.start("serve", ANNOTATOR_DATABASE_URL=both)
        try:
            wait_until(lambda: program.end("status", "--daemon").code == 0)
            replica.catch_up()
            pid = (program.home / "cluster" / "postmaster.pid").read_text().splitlines()[0]
            os.kill(int(pid), signal.SIGQUIT)  # the primary stops at once
            time.sleep(3)  # a few polls and heartbeats meet a replica only
            assert daemon.poll() is None
            replica.promote()
            with psycopg.connect(replica.conninfo, autocommit=True) as owner:
                owner.execute("update atlas.sample set updated_at = clock_timestamp()")
                pending = (
                    "select from atlas.sample s join annotator.prediction p using (sample_id)"
                    " where p.is_current and p.sample_updated_at is distinct from s.updated_at"
                )
                wait_until(lambda: owner.execute(pending).fetchone() is None)
        finally:
            lines_of(daemon)
    assert daemon.returncode == 0
