"""The errors of this project, one small tree.

::

    AnnotatorError
    ├── InputError           what a person gave is wrong: says which file, line, column   (exit 2)
    ├── SettingsError        a setting is wrong or missing                                (exit 2)
    ├── NeedsPersonError     the system is in a state that only a person can resolve      (exit 3)
    │   ├── SchemaError          the database is not at the schema this version needs
    │   ├── ArtefactError        a stored model is damaged or not trusted
    │   └── CohortError          there is not enough labelled data to learn from
    ├── RetryableError       may work when tried again                                    (exit 4)
    │   ├── DatabaseUnavailableError
    │   └── LeaseLostError       somebody else holds the work now
    └── SampleError          one sample cannot be used; the rest go on

The message is for a person: what happened, to what, and what to do.
"""

from __future__ import annotations


class AnnotatorError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code = 1


class InputError(AnnotatorError):
    """A file or an argument is wrong.

    Parameters
    ----------
    message
        What is wrong.
    source
        The file it is in, where there is one.
    line, column
        Where in the file, counted from 1; a column may also be named.
    """

    exit_code = 2

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


class SettingsError(AnnotatorError):
    """A setting has no usable value."""

    exit_code = 2


class NeedsPersonError(AnnotatorError):
    """Nothing the program can do by itself will help."""

    exit_code = 3


class SchemaError(NeedsPersonError):
    """The database is not at the schema that this version works with."""


class ArtefactError(NeedsPersonError):
    """A stored model is damaged, unknown or not trusted, and was not parsed."""


class CohortError(NeedsPersonError):
    """There are too few labelled samples, datasets or classes to learn from."""


class RetryableError(AnnotatorError):
    """The same call may succeed later."""

    exit_code = 4


class DatabaseUnavailableError(RetryableError):
    """The database cannot be reached, or the connection was lost."""


class LeaseLostError(RetryableError):
    """The lease on a batch ran out and the batch belongs to somebody else."""


class SampleError(AnnotatorError):
    """One sample cannot be used; it goes to quarantine with this reason.

    Parameters
    ----------
    code
        Short and fixed, for queries: ``no_counts``, ``too_few_reads``, ...
    reason
        One sentence for a curator.
    """

    def __init__(self, code: str, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(reason)
