"""The errors in a file, reported all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MOST_FINDINGS = 20
"""Maximum number of errors in a file that are reported one by one."""


class Findings:
    """The errors that were found in a file.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors: list[InputError] = []
        self._count = 0

    def add(self, message: str, line: int | None = None, column: int | str | None = None) -> None:
        """Add an error, with its place if it has one."""
        self._count += 1
        if self._count <= MOST_FINDINGS:
            self._errors.append(
                InputError(message, source=str(self._path), line=line, column=column)
            )

    def refuse(self) -> None:
        """Refuse the file if there are errors.

        Raises
        ------
        InputError
            The first error; the others, at most :data:`MOST_FINDINGS` in all, and their number
            are in ``further``.
        """
        if not self._errors:
            return
        first, *others = self._errors
        further = [str(each) for each in others]
        if self._count > 1:
            more = self._count - len(self._errors)
            unlisted = f"; {more} are not listed" if more else ""
            further.append(f"{self._path}: {self._count} errors in all{unlisted}")
        first.further = tuple(further)
        raise first
