from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from annotator.jobs.annotate.batch_writer import BatchWriter

CONNECTION = object()
NAME: ContextVar[str] = ContextVar("name", default="none")


def test_batches_are_written_in_order_by_one_thread_on_the_writers_connection() -> None:
    written = []

    def write(number):
        return lambda connection: written.append(
            (number, connection is CONNECTION, threading.current_thread().name)
        )

    with BatchWriter(CONNECTION) as writer:
        for number in range(5):
            writer.write(write(number))
        writer.finish()
    assert [each[:2] for each in written] == [(number, True) for number in range(5)]
    assert len({each[2] for each in written}) == 1
    assert written[0][2] != threading.current_thread().name


def test_the_next_batch_waits_until_the_one_before_is_written() -> None:
    may_end, began, order = threading.Event(), threading.Event(), []

    def slow(_connection):
        began.set()
        may_end.wait(10)
        order.append("first")

    with BatchWriter(CONNECTION) as writer:
        writer.write(slow)
        assert began.wait(10)
        assert order == []  # whoever began it went on
        may_end.set()
        writer.write(lambda _connection: order.append("second"))
        writer.finish()
    assert order == ["first", "second"]


def test_what_writing_raised_is_raised_once_where_it_is_waited_for() -> None:
    def fail(_connection):
        raise ValueError("not written")

    with BatchWriter(CONNECTION) as writer:
        writer.write(fail)
        with pytest.raises(ValueError, match="not written"):
            writer.write(lambda _connection: None)
        writer.finish()


def test_a_batch_is_written_in_the_log_context_it_was_begun_in() -> None:
    seen = []
    with BatchWriter(CONNECTION) as writer:
        token = NAME.set("batch 1")
        writer.write(lambda _connection: seen.append(NAME.get()))
        NAME.reset(token)
        writer.finish()
    assert seen == ["batch 1"]


def test_leaving_waits_for_what_was_begun() -> None:
    written = []
    with BatchWriter(CONNECTION) as writer:
        writer.write(written.append)
    assert written == [CONNECTION]
