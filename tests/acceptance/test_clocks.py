"""Daemons on hosts whose clocks are wrong, as real processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from annotator.domain.schedule import parse_schedule
from annotator.store.server.embedded import running_server

COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.fixture(scope="module")
def wrong_clock(tmp_path_factory):
    """A library that makes the wall clock of a process wrong."""
    if COMPILER is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux to give a process another clock")
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = Path(__file__).parent / "shifted_clock.c"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


def shifted(library, hours):
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(3600 * hours), "TZ": "Europe/Berlin"}


def test_the_clock_of_a_process_can_be_wrong(wrong_clock):
    code = "import time; print(time.time())"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=shifted(wrong_clock, 1),
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(said.stdout) - time.time() == pytest.approx(3600, abs=60)


def test_hosts_an_hour_off_retrain_once_when_the_database_says_so(annotated, wrong_clock):
    # TensorFlow's threads wait by the wall clock, and would an hour: all is annotated already.
    with (
        running_server(annotated.home) as conninfo,  # whose clock is right
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        now = connection.execute("select clock_timestamp()").fetchone()[0]
        cron = f"{(now - timedelta(minutes=30)).minute} * * * *"
        # By the host ahead it would be due in half an hour, by the one behind an hour ago.
        due = parse_schedule(cron).last(now)
        connection.execute(
            "insert into annotator.tick (job, due_at, worker, outcome)"
            " values ('retrain', %s, 'long gone', 'exit code 0')",
            (due - timedelta(days=3),),
        )
        runs = connection.execute("select count(*) from annotator.training_run").fetchone()[0]
        daemons = [
            annotated.start("serve", ANNOTATOR_RETRAIN_CRON=cron, **shifted(wrong_clock, hours))
            for hours in (1, -1)
        ]
        try:
            deadline = time.monotonic() + 200
            ended = None
            while ended is None and time.monotonic() < deadline:
                time.sleep(0.5)
                ended = connection.execute(
                    "select outcome from annotator.tick where due_at = %s and outcome is not null",
                    (due,),
                ).fetchone()
            time.sleep(3)  # the other daemon asks again
        finally:
            for one in daemons:
                one.send_signal(signal.SIGTERM)
            try:
                logs = [one.communicate(timeout=60)[1] for one in daemons]
            finally:
                for one in daemons:
                    one.kill()
        assert ended == ("exit code 0",), logs
        ticks = connection.execute(
            "select due_at from annotator.tick where worker <> 'long gone'"
        ).fetchall()
        done = connection.execute(
            "select field, count(*) from annotator.training_run where run_id > %s"
            " group by field order by field",
            (runs,),
        ).fetchall()
    assert ticks == [(due,)]
    assert done == [("age", 1), ("sex", 1), ("tissue", 1)]
    assert [one.returncode for one in daemons] == [0, 0], logs
