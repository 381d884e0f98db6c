"""Names of rows of count tables that are no RNA of the sample: summaries and spike-ins."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUMMARY = re.compile(
    r"__.*|\*|n_(?:unmapped|multimapping|nofeature|ambiguous)|unassigned_.*|unassigned|assigned|"
    r"(?:mi|t|pi|s)?rnas?[ _]?total|(?:grand|column|col|library|reads?)?[ _.]?(?:total|sum)s?|"
    r"total[ _.](?:reads?|counts?|mirnas?)|(?:un|not[ _.]?)(?:mapped|aligned)(?:[ _.]reads)?|"
    r"(?:not|too)[ _]?(?:unique|low[ _]?aqual)|no[ _]feature|ambiguous|alignment[ _]not[ _]unique|"
    r"multi[ _-]?mapp(?:ed|ing)|library[ _.]?size|(?:mapped|aligned)[ _.]?reads",
    re.IGNORECASE,
)
"""Sums and leftovers, as HTSeq, featureCounts, STAR, miRge and spreadsheets write them."""

_SPIKE_IN = re.compile(
    r"ERCC-\d+.*|UniSp\d+.*|spike[-_ ]?in.*|HK_.*|blank(?:[ _-]?\d+)?|"
    r"(?P<species>cel)-miR-(?:39|54|238|2)(?![0-9a-z]).*|(?P<plant>ath)-miR-159a(?![0-9a-z]).*",
    re.IGNORECASE,
)
"""Synthetic RNA that is added to samples, and control probes of arrays."""

_PREFIX = re.compile(r"([a-z]{3,4})-(?:mir|let|lin|bantam)", re.IGNORECASE)


def is_summary(name: str) -> bool:
    """Return whether a row is a sum or a leftover, such as ``__no_feature`` or ``Total``."""
    return _SUMMARY.fullmatch(name.strip()) is not None


def spike_ins(names: Sequence[str]) -> frozenset[str]:
    """Return the names that are spike-ins or control probes.

    MicroRNAs of another species are spike-ins only if they are few: where most microRNAs
    are of *C. elegans*, ``cel-miR-39-3p`` is one of the animal's own.
    """
    found = {name: match for name in names if (match := _SPIKE_IN.fullmatch(name.strip()))}
    foreign = {name for name, match in found.items() if match["species"] or match["plant"]}
    if foreign:
        own = _commonest_prefix(names)
        found = {
            name: match
            for name, match in found.items()
            if name not in foreign or (match["species"] or match["plant"]).lower() != own
        }
    return frozenset(found)


def _commonest_prefix(names: Sequence[str]) -> str:
    prefixes = Counter(match[1].lower() for name in names if (match := _PREFIX.match(name.strip())))
    (prefix, number), *others = prefixes.most_common(2)
    # A file with nothing but spike-ins of one species has no species of its own.
    return prefix if others or number > 5 else ""
