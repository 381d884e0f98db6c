"""The daemon as a service manager runs it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from annotator.store.server.embedded import running_server
from tests.acceptance.conftest import forget_predictions, unanswered, wait_until


def test_two_daemons_share_the_work_and_stop_in_order(annotated):
    annotated.run("annotate")
    forget_predictions(annotated)
    pending = unanswered(annotated)
    assert pending > 0
    last_run = annotated.rows("select max(annotation_run_id) as n from annotation_run")[0]["n"]
    daemons = [annotated.start("serve", ANNOTATOR_BATCH_SIZE="8") for _ in range(2)]
    try:
        wait_until(lambda: unanswered(annotated) == 0)
        wait_until(
            lambda: len(annotated.run("status", "--json").out.split('"silent_seconds"')) - 1 == 2
        )
        assert annotated.run("status", "--daemon").code == 0
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGTERM)
        codes = [daemon.wait(60) for daemon in daemons]
        errors = [daemon.stderr.read() for daemon in daemons]
        for daemon in daemons:
            daemon.stdout.close()
            daemon.stderr.close()
    assert codes == [0, 0], errors
    assert not any("Traceback" in error for error in errors), errors
    assert annotated.run("status", "--daemon", code=1).code == 1
    done = annotated.rows(
        f"select sum(predicted)::int as n from annotation_run where annotation_run_id > {last_run}"
    )[0]["n"]
    assert done == pending  # together every sample once: none lost, none twice


def test_killed_in_the_middle_the_next_pass_finishes(annotated):
    annotated.run("annotate")
    forget_predictions(annotated)
    pending = unanswered(annotated)
    process = annotated.start("annotate", ANNOTATOR_BATCH_SIZE="4", ANNOTATOR_LEASE_SECONDS="2")
    wait_until(lambda: unanswered(annotated) < pending)
    process.kill()
    process.communicate()
    half = annotated.rows(
        "select p.prediction_id from prediction p"
        " where not exists (select from contribution c where c.prediction_id = p.prediction_id)"
    )
    assert half == []
    time.sleep(2.5)  # the lease of the killed worker runs out
    annotated.run("annotate")
    assert unanswered(annotated) == 0


def test_a_daemon_without_a_schema_needs_a_person(program):
    ended = program.run("serve", code=3)
    assert "annotator migrate" in ended.err
    assert "Traceback" not in ended.err


def report_folders(annotated):
    """Where the live releases' reports are said to be, ``None`` for one that has none yet."""
    cards = annotated.rows("select report from model_card where status = 'live'")
    return {card["report"] and Path(card["report"]).parent for card in cards}


def test_a_due_retraining_is_taken_by_one_daemon(annotated):
    before = annotated.rows("select count(*) as n from training_run")[0]["n"]
    daemons = [annotated.start("serve", ANNOTATOR_RETRAIN_CRON="* * * * *") for _ in range(2)]
    try:
        wait_until(
            lambda: annotated.rows("select count(*) as n from training_run")[0]["n"] >= before + 3,
            seconds=150,
        )
        wait_until(lambda: report_folders(annotated) == {annotated.home / "reports"})
    finally:
        for daemon in daemons:
            daemon.send_signal(signal.SIGTERM)
        for daemon in daemons:
            daemon.communicate(timeout=60)
    ticks = annotated.rows("select due_at, worker, outcome from tick where job = 'retrain'")
    ran = [tick for tick in ticks if tick["outcome"] != "before the first start"]
    runs = annotated.rows(
        f"select field, count(*) as n from training_run where run_id > {before} group by field"
    )
    assert ran
    for field in runs:  # each due time gave at most one run of a field
        assert field["n"] <= len(ran)


def test_a_lost_database_is_waited_out(program):
    program.run("migrate")
    with running_server(program.home) as conninfo:
        parts = conninfo_to_dict(conninfo)
        url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"

        def alive():
            return program.end("status", "--daemon", ANNOTATOR_DATABASE_URL=url).code == 0

        daemon = program.start("serve", ANNOTATOR_DATABASE_URL=url)
        try:
            wait_until(alive)
            pid = int((program.home / "cluster" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: program.end("status", ANNOTATOR_DATABASE_URL=url).code == 4)
            time.sleep(3)  # a few polls and heartbeats meet a dead database
            assert daemon.poll() is None
            with running_server(program.home):
                wait_until(alive)
                daemon.send_signal(signal.SIGTERM)
                _, errors = daemon.communicate(timeout=60)
        finally:
            daemon.kill()
            daemon.communicate()
    assert daemon.returncode == 0, errors
    assert "trying again" in errors
    assert "Traceback" not in errors
