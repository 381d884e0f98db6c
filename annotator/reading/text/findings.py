"""Collect the errors of a file, so that all of them can be fixed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

SHOWN = 20
MOST = 100_000
"""After so many errors a reader gives up, because this is not the file that was meant."""


class Findings:
    """Errors of one file: the first ones, and how many there are.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors: list[InputError] = []
        self.found = 0

    def add(
        self,
        message: str,
        line: int | None = None,
        column: int | str | None = None,
        *,
        path: Path | None = None,
    ) -> None:
        """Add an error at a place of the file, or of another file that belongs to it.

        Raises
        ------
        InputError
            There are too many errors to go on.
        """
        self.found += 1
        if len(self._errors) < SHOWN:
            self._errors.append(
                InputError(message, source=str(path or self._path), line=line, column=column)
            )
        if self.found >= MOST:
            self.raise_all()

    def raise_all(self) -> None:
        """Raise the errors, if there are any.

        Raises
        ------
        InputError
            The first error, with the others in ``findings``.
        """
        if self.found:
            raise InputError.together(self._errors, self.found)
