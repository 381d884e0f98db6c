"""What a check of the set-up says."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, WRONG = "ok", "warning", "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    Attributes
    ----------
    subject
        What was looked at: ``connection``, ``roles``, ``schema``, ...
    level
        ``ok``; ``warning`` where it works but may not for long, or not fully;
        ``wrong`` where it does not work.
    found
        What is so, in a sentence.
    mend
        What to do about it; ``None`` where nothing needs doing.
    """

    subject: str
    level: str
    found: str
    mend: str | None = None


def good(subject: str, found: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(subject, OK, found)


def warning(subject: str, found: str, mend: str) -> Finding:
    """Return a finding that somebody should see to."""
    return Finding(subject, WARNING, found, mend)


def wrong(subject: str, found: str, mend: str) -> Finding:
    """Return a finding of what does not work."""
    return Finding(subject, WRONG, found, mend)
