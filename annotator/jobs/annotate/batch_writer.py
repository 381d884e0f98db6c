"""Write one batch of a pass while the next one is predicted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import psycopg


class BatchWriter:
    """Writes batches one after the other, in a thread and on a connection of its own.

    At most one batch is being written and none is queued: :meth:`write` first waits for the
    previous batch. A pass therefore holds at most two batches.

    Parameters
    ----------
    connection
        Connection that no other thread uses.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="annotator-writer")
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def write(self, batch: Callable[[psycopg.Connection], None]) -> None:
        """Wait for the previous batch, then start to write this one in the caller's log context.

        Raises
        ------
        Exception
            The exception that writing the previous batch raised.
        """
        self.finish()
        self._writing = self._thread.submit(copy_context().run, batch, self._connection)

    def finish(self) -> None:
        """Wait for the current batch; raise the exception that writing it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
