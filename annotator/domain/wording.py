"""Numbers and lists in messages."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Thing = TypeVar("Thing")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with the words that follow it.

    Examples
    --------
    >>> counted(1, "row"), counted(1204, "row"), counted(2, "class")
    ('1 row', '1,204 rows', '2 classes')
    >>> counted(2, "sample has", "samples have")
    '2 samples have'
    """
    plural = many or (f"{one}es" if one.endswith(("s", "x")) else f"{one}s")
    return f"{number:,} {one if number == 1 else plural}"


def some(
    things: Collection[Thing],
    show: Callable[[Thing], str] = str,
    *,
    most: int = 5,
    joint: str = ", ",
) -> str:
    """Return the first things of a list, and how many there are besides.

    Parameters
    ----------
    things
        All of them.
    show
        How one is written; called for those that are shown.
    most
        Number of things that are shown.
    joint
        What stands between them.

    Examples
    --------
    >>> some("ab"), some("abcdefg"), some("abc", repr, most=1)
    ('a, b', 'a, b, c, d, e and 2 more', "'a' and 2 more")
    """
    rest = f" and {len(things) - most} more" if len(things) > most else ""
    return joint.join(map(show, islice(things, most))) + rest
