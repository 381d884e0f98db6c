"""The words that mean that a value is missing: the only list of them.

``migrations/schema/functions/missing_words.sql`` is filled with it whenever views and functions
are created again, so files, views and models agree on what a missing value is.
"""

from __future__ import annotations

MISSING_WORDS = (
    *("NA", "NaN", "NaT", "null", "none", "nil", "n/d", "unk", "tbd", "to be determined"),
    *("unknown", "unspecified", "undetermined", "undefined", "undisclosed", "unavailable"),
    *("unassigned", "unrecorded", "unreported", "blank", "missing", "missing value"),
    *("missing data", "no data", "no value", "no information", "not known", "not given"),
    *("not applicable", "not available", "not collected", "not determined", "not provided"),
    *("not recorded", "not reported", "not specified", "not stated", "not defined"),
    *("not assigned", "not assessed", "not disclosed", "restricted access"),
    # Terms of the INSDC for missing values.
    *("not applicable: control sample", "not applicable: sample group"),
    *("missing: control sample", "missing: sample group", "missing: synthetic construct"),
    *("missing: lab stock", "missing: third party data", "missing: endangered species"),
    *("missing: human-identifiable", "missing: data agreement established pre-2023"),
    *("missing: not applicable", "missing: not collected", "missing: not provided"),
    "missing: restricted access",
)
"""Words for a missing value, as people write them; see :func:`plain_word`."""

IGNORED = " \t\n\r\v\f\u00a0_-\u2010\u2011\u2012\u2013\u2014\u2212./\\?:;,*#|~\"'()[]{}<>"
"""Characters that make no difference to a word for a missing value."""

_PLAIN = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} | {
    ord(character): None for character in IGNORED
}


def plain_word(text: str) -> str:
    """Return a text without capitals, spaces and punctuation, as SQL's ``plain_word`` does.

    Examples
    --------
    >>> plain_word(" Not_Applicable "), plain_word("N/A"), plain_word("--")
    ('notapplicable', 'na', '')
    """
    return text.translate(_PLAIN)


PLAIN_MISSING_WORDS = frozenset(map(plain_word, ("", *MISSING_WORDS)))
"""The words as :func:`plain_word` returns them; blanks and dashes are the empty word."""


def is_missing(text: str) -> bool:
    """Return whether a text means that the value is missing.

    Letter case, spaces, underscores and punctuation make no difference, and a text of nothing
    else (such as ``-``, ``.`` or ``?``) is missing, too.

    Examples
    --------
    >>> is_missing("Missing: control sample"), is_missing("<NA>"), is_missing("nasal mucosa")
    (True, True, False)
    """
    return plain_word(text) in PLAIN_MISSING_WORDS
