"""Writing one batch of a pass while the next one is predicted."""

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

    At most one batch is being written and none waits: whoever comes with the next one
    waits first. So a pass holds two batches at a time.

    Parameters
    ----------
    connection
        Used by nobody else.
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
        """Wait for the batch before, then begin to write this one, in the caller's log context.

        Raises
        ------
        Exception
            What writing the batch before raised.
        """
        self.finish()
        self._writing = self._thread.submit(copy_context().run, batch, self._connection)

    def finish(self) -> None:
        """Wait until what was begun is written, and raise what that raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
