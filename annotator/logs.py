"""Log lines for a service manager, and progress for a person at a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annotator.domain.wording import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SCHEDULER = "apscheduler"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_context: ContextVar[Mapping[str, Any]] = ContextVar("log_context", default=_NOTHING)
_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


@contextmanager
def log_context(**keys: object) -> Iterator[None]:
    """Add keys to every log line in the block, besides those of enclosing blocks.

    Parameters
    ----------
    keys
        ``run`` (of training), ``annotation_run``, ``release``, ``batch`` and ``field``
        identify the matching rows in the database. Keys of the line itself take precedence.
    """
    token = _context.set({**_context.get(), **keys})
    try:
        yield
    finally:
        _context.reset(token)


def _add_context(record: logging.LogRecord) -> bool:
    for key, value in _context.get().items():
        record.__dict__.setdefault(key, value)
    return True


def _reword_scheduler(record: logging.LogRecord) -> bool:
    """Replace the messages of the scheduler's errors by our own, but keep the traceback."""
    if record.name.startswith(SCHEDULER):
        record.msg, record.args = "a scheduled job of the daemon failed", None
    return True


class _TextFormatter(logging.Formatter):
    """One line per record; those of a traceback are indented, so that none looks like a record."""

    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        pairs = (f" {key}={value!r}" for key, value in _extras(record).items())
        return visible("".join((super().formatMessage(record), *pairs)))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {visible(line)}" for line in super().formatException(ei).split("\n"))


class _JsonFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str).replace("\x7f", "\\u007f")


def configure_logging(log_format: str, level: int = logging.INFO) -> None:
    """Send this project's log lines to standard error.

    Parameters
    ----------
    log_format
        ``text`` for ``time level message key=value`` lines, ``json`` for one
        object per line. Extra fields of a record become keys.
    level
        Lowest level that is shown.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_add_context)
    handler.addFilter(_reword_scheduler)
    if log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(
            _TextFormatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        )
    # The daemon itself reports jobs that take longer than their interval. SQLAlchemy logs
    # a traceback of its own if a migration is interrupted.
    others = ((SCHEDULER, logging.ERROR), ("sqlalchemy", logging.CRITICAL))
    for name, lowest in (("annotator", level), *others):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(lowest)
        logger.propagate = False


def silent(done: int, total: int) -> None:
    """Show no progress."""


@contextmanager
def progress(description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of long work.

    This is a progress bar on a terminal, and otherwise a log line after each tenth.

    Parameters
    ----------
    description, unit
        Description of the work, and the name of the units that are counted.

    Yields
    ------
    Callable[[int, int], None]
        To be called with the numbers of finished units and of all units.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=visible(description), unit=f" {unit}", total=None, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            yield show
        return
    logger = logging.getLogger("annotator")
    tenth = -1

    def log(done: int, total: int) -> None:
        nonlocal tenth
        reached = 10 * done // max(total, 1)
        if reached > tenth:
            tenth = reached
            logger.info("%s: %d of %d %s", description, done, total, unit)

    yield log
