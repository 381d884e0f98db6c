"""The length of names: ids of samples and datasets, names of features and terms, labels."""

from __future__ import annotations

LONGEST_NAME = 1000
"""Bytes in UTF-8. PostgreSQL indexes rows of up to 2,704 bytes, in which there may be two names."""


def length_problem(name: str, most: int = LONGEST_NAME) -> str:
    """Return why a name is too long, empty if it is not.

    Examples
    --------
    >>> length_problem("µ" * 600)
    'longer than 1,000 bytes (1,200): µµµµµµµµµµµµµµµµµµµµ…'
    >>> length_problem("GSM1")
    ''
    """
    size = len(name.encode(errors="replace"))
    return f"longer than {most:,} bytes ({size:,}): {name[:20]}…" if size > most else ""
