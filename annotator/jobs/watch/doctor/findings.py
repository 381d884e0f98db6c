"""Findings of the checks of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annotator.domain.values.reading import ValueUse

OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    subject
        Subject of the check: ``connection``, ``roles``, ``schema``, ...
    level
        ``ok``; ``warning`` if it works, but perhaps not for long or not fully;
        ``wrong`` if it does not work.
    found
        The state that was found, in a sentence.
    fix
        How to fix it; ``None`` if nothing has to be done.
    values
        For a finding about the values of a field: their numbers, and why some are not used.
    """

    subject: str
    level: str
    found: str
    fix: str | None = None
    values: ValueUse | None = None


def good(subject: str, found: str) -> Finding:
    """Return a finding of something that works."""
    return Finding(subject, OK, found)


def warning(subject: str, found: str, fix: str) -> Finding:
    """Return a finding that somebody should look into."""
    return Finding(subject, WARNING, found, fix)


def wrong(subject: str, found: str, fix: str) -> Finding:
    """Return a finding of something that does not work."""
    return Finding(subject, WRONG, found, fix)
