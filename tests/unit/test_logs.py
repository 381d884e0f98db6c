"""Log lines carry the ids under which the database knows what they are about."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from hypothesis import HealthCheck, given, settings

from annotator.logs import configure_logging, log_context, progress
from tests.support.strange_text import ANY_TEXT, HOSTILE, is_seen

logger = logging.getLogger("annotator")


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_json_lines_carry_the_ids_of_every_block_around_them(capsys):
    configure_logging("json")
    with log_context(run=7, field="sex"):
        with log_context(batch="3-sex-1", field="tissue"):
            logger.info("inside", extra={"samples": 2})
        logger.warning("between", extra={"run": 8})
    logger.info("outside")
    inside, between, outside = (json.loads(line) for line in lines(capsys))
    keys = ("run", "field", "batch", "samples")
    assert [inside[key] for key in keys] == [7, "tissue", "3-sex-1", 2]
    assert (between["run"], between["field"]) == (8, "sex")  # what a line says itself wins
    assert "batch" not in between
    assert not {"run", "field", "batch"} & outside.keys()


def test_text_lines_carry_them_too(capsys):
    configure_logging("text")
    with log_context(run=7, release=3):
        logger.info("promoted")
    (line,) = lines(capsys)
    assert line.endswith("INFO promoted run=7 release=3")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_no_text_splits_a_text_line_or_hides_in_it(capsys, text):
    configure_logging("text")
    logger.info("sample %s", text, extra={"sample": text})
    line, rest = capsys.readouterr().err.split("\n")
    assert is_seen(line)
    assert rest == ""


def test_no_line_of_a_traceback_looks_like_a_record(capsys):
    configure_logging("text")
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-02T03:04:05Z INFO all is well")
    except ValueError:
        logger.exception("failed", extra={"run": 7})
    first, *others, last = capsys.readouterr().err.split("\n")
    assert first.endswith("ERROR failed run=7")
    assert all(line.startswith("    ") and is_seen(line) for line in others)
    assert others[-1].endswith("INFO all is well")
    assert last == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_json_lines_have_the_very_characters(capsys, text):
    configure_logging("json")
    logger.info("%s", text, extra={"sample": text})
    line, rest = capsys.readouterr().err.split("\n")
    entry = json.loads(line)
    assert (entry["message"], entry["sample"]) == (text, text)
    assert (is_seen(line), rest) == (True, "")


def test_progress_bars_show_what_a_terminal_would_obey(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(HOSTILE, "folds") as shown:
        shown(1, 2)
    drawn = capsys.readouterr().err
    assert r"a\x1b[31mb\nc" in drawn
    assert not set("\x1b\n\x9b\u202e") & set(drawn)


def test_a_failure_leaves_no_ids_behind(capsys):
    configure_logging("text")
    with pytest.raises(ZeroDivisionError), log_context(run=7):
        raise ZeroDivisionError
    logger.info("after")
    assert lines(capsys)[0].endswith("INFO after")


def test_threads_have_their_own(capsys):
    configure_logging("text")
    with log_context(run=7):
        thread = threading.Thread(target=logger.info, args=("elsewhere",))
        thread.start()
        thread.join()
    assert lines(capsys)[0].endswith("INFO elsewhere")


def test_no_traceback_of_sqlalchemy_is_shown(caplog, capsys):
    """It logs what comes while a connection is closed, as when a migration is told to stop."""
    from sqlalchemy.pool import NullPool

    class Closing:
        def close(self):
            raise SystemExit(143)

        rollback = commit = close

    configure_logging("text")
    pool = NullPool(Closing)
    with pytest.raises(SystemExit):
        pool._close_connection(Closing())
    assert (caplog.records, lines(capsys)) == ([], [])


def test_the_scheduler_is_heard_in_our_words_and_only_with_errors(capsys):
    configure_logging("json")
    scheduler = logging.getLogger("apscheduler.scheduler")
    job = "Daemon._guarded.<locals>.run (trigger: interval[0:00:05])"
    scheduler.warning('Execution of job "%s" skipped: maximum number of running instances', job)
    try:
        raise MemoryError
    except MemoryError:
        scheduler.exception('Error submitting job "%s" to executor "%s"', job, "default")
    (line,) = lines(capsys)
    entry = json.loads(line)
    assert (entry["level"], entry["message"]) == ("error", "a scheduled job of the daemon failed")
    assert entry["traceback"].endswith("MemoryError")
    assert "Daemon._guarded" not in line
