"""Names of rows of count tables: RNA, and what is no RNA of the sample (summaries, spike-ins)."""

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
    r"(?:cel-miR-(?:39|54|238)|ath-miR-159a|osa-miR-414)(?![0-9a-z]).*",
    re.IGNORECASE,
)
"""Synthetic RNA that is added to samples, and control probes of arrays."""

_PREFIX = re.compile(r"([a-z]{3,4})-(?:mir|let|lin|bantam)", re.IGNORECASE)


_RNA_LIKE = re.compile(
    r"(?:^|[^a-z])(?:mi-?r-?\d|let-?7|lin-?4|bantam|mimat\d|mi\d{7}|pir-|piwi|t-?rna|tsrna|trf|"
    r"rrna|snor[ad]|snrna|rny\d|y_?rna|vault|ens[a-z]*[gt]\d|urs[0-9a-f]{8})",
    re.IGNORECASE,
)


def looks_like_rna(name: str) -> bool:
    """Return whether a name is written like those of small RNAs and genes.

    Examples
    --------
    >>> looks_like_rna("hsa-miR-21-5p"), looks_like_rna("GSM123")
    (True, False)
    """
    return _RNA_LIKE.search(name) is not None


def is_summary(name: str) -> bool:
    """Return whether a row is a sum or a leftover, such as ``__no_feature`` or ``Total``."""
    return _SUMMARY.fullmatch(name.strip()) is not None


def spike_ins(names: Sequence[str]) -> frozenset[str]:
    """Return the names that are spike-ins or control probes.

    MicroRNAs of another species are spike-ins only if they are few: where most microRNAs
    are of *C. elegans*, ``cel-miR-39-3p`` is one of the animal's own.
    """
    found = {name for name in names if _SPIKE_IN.fullmatch(name.strip())}
    own = _commonest_prefix([name for name in names if name not in found])
    return frozenset(name for name in found if not own or _prefix(name) != own)


def _commonest_prefix(names: Sequence[str]) -> str:
    """Return the species that most microRNAs are of, such as ``hsa``; empty if there is none."""
    prefixes = Counter(filter(None, map(_prefix, names)))
    return prefixes.most_common(1)[0][0] if prefixes else ""


def _prefix(name: str) -> str:
    match = _PREFIX.match(name.strip())
    return match[1].lower() if match else ""
