"""Numbers, lists and names in messages."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Thing = TypeVar("Thing")

# Joiners shape the letters beside them in the scripts from Hebrew on, and join emoji.
_JOINED = "\u0590-\u1fff\u2190-\U0010ffff"
_JOINERS = "\u200c\u200d"
_STRAY_JOINER = re.compile(f"(?<![{_JOINED}])[{_JOINERS}]|[{_JOINERS}](?![{_JOINED}])")
_BLANK_LETTERS = "\u034f\u115f\u1160\u3164\uffa0"


def visible(text: str) -> str:
    r"""Return text of which everything is seen, and nothing is obeyed by terminals or browsers.

    Control characters such as line breaks, characters that change the direction of text,
    others without a shape, and code points without a meaning are written as Python escapes.
    Spaces stay; so do joiners within emoji and words of scripts that need them. Backslashes
    stay, too: where the difference matters, read the original as CSV or JSON.

    Examples
    --------
    >>> print(visible("a\x1b[2Jb\nc"), visible("\u202eliver"), visible("naïve 肝"))
    a\x1b[2Jb\nc \u202eliver naïve 肝
    """
    if text.isascii() and text.isprintable():
        return text
    seen = (letter if _is_seen(letter) else _escaped(letter) for letter in text)
    return _STRAY_JOINER.sub(lambda found: _escaped(found[0]), "".join(seen))


def _is_seen(letter: str) -> bool:
    if letter.isprintable():
        return letter not in _BLANK_LETTERS
    return letter in _JOINERS or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return ascii(letter)[1:-1]


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
