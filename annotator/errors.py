"""The exceptions of this project, in one small tree.

::

    AnnotatorError
    ├── InputError           a file or argument is wrong; with its file, line and column  (exit 2)
    ├── SettingsError        a setting is wrong or missing                                (exit 2)
    ├── NeedsPersonError     a person has to resolve the state of the system              (exit 3)
    │   ├── SchemaError          the database does not have the schema this version needs
    │   ├── ArtefactError        a stored model is damaged or cannot be trusted
    │   │   └── NewerReleaseError    a newer version made it
    │   ├── CohortError          there are not enough labelled data to learn from
    │   └── ReadOnlyError        the database is a replica, or read-only by default
    ├── RetryableError       the same call may succeed later                              (exit 4)
    │   ├── DatabaseUnavailableError
    │   └── LeaseLostError       another process holds the work now
    └── SampleError          one sample cannot be used; the others are processed

Messages are written for people: they state what happened, to what, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class AnnotatorError(Exception):
    """Base class of all errors that this project raises deliberately."""

    exit_code = 1


class InputError(AnnotatorError):
    """A file or an argument is wrong.

    Parameters
    ----------
    message
        Description of the error.
    source
        The file with the error, if any.
    line, column
        Position in the file, counted from 1; a column can also be given by name.

    Attributes
    ----------
    findings
        One line per error if several were found together, the first ones only.
    found
        Number of errors that were found.
    """

    exit_code = 2
    findings: tuple[str, ...] = ()
    found: int = 1

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        line: int | None = None,
        column: int | str | None = None,
    ) -> None:
        self.source, self.line, self.column = source, line, column
        place = [source] if source is not None else []
        if line is not None:
            place.append(f"line {line}")
        if column is not None:
            place.append(f"column {column}")
        super().__init__(f"{', '.join(place)}: {message}" if place else message)

    @classmethod
    def together(cls, errors: Sequence[InputError], found: int) -> InputError:
        """Return the first of several errors, which lists the others.

        Parameters
        ----------
        errors
            The first errors, at least one.
        found
            Number of errors, also of those that are not listed.
        """
        first = errors[0]
        first.findings, first.found = tuple(map(str, errors)), found
        return first


class SettingsError(AnnotatorError):
    """A setting has no usable value."""

    exit_code = 2


class NeedsPersonError(AnnotatorError):
    """The system is in a state that only a person can resolve."""

    exit_code = 3


class SchemaError(NeedsPersonError):
    """The database does not have the schema that this version needs."""


class ArtefactError(NeedsPersonError):
    """A stored model is damaged, unknown or cannot be trusted, and was not parsed."""


class NewerReleaseError(ArtefactError):
    """A release was made by a version with a format or model kind that this one lacks."""


class CohortError(NeedsPersonError):
    """There are too few labelled samples, datasets or classes to learn from."""


class ReadOnlyError(NeedsPersonError):
    """The database accepts no changes; a daemon waits, because a replica may be promoted."""


class RetryableError(AnnotatorError):
    """The same call may succeed later."""

    exit_code = 4


class DatabaseUnavailableError(RetryableError):
    """The database cannot be reached, or the connection was lost."""


class LeaseLostError(RetryableError):
    """The lease on a batch expired, and another worker holds the batch."""


class SampleError(AnnotatorError):
    """One sample cannot be used; it is quarantined with this reason.

    Parameters
    ----------
    code
        Short, fixed code for queries: ``no_counts``, ``too_few_reads``, ...
    reason
        One sentence for a curator.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason)
