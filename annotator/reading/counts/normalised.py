"""Distinguish counts of reads from normalised and scaled values, and from logarithms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_WORDS = frozenset(
    {"rpm", "cpm", "tpm", "rpkm", "fpkm", "rpkms", "logcpm", "logtpm", "logrpm", "log2", "log10"}
    | {"vst", "rlog", "tmm", "rle", "norm", "normalized", "normalised", "normalizedcounts"}
    | {"readspermillion", "libraryrpm", "scaled", "zscore"}
)
_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+(?:2|10)?|[A-Z]+|\d+")
_MILLION, _EQUAL = 1e6, 1e-4
_SUMS_OF_SHARES = {1.0: "1", 100.0: "100 (per cent)", 1e3: "1,000", _MILLION: "a million"}
_HIGHEST_LOGARITHM = 32.0
_PARTS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12)  # a read that fits k places counts 1/k in each
_WRITTEN = 0.0051  # error of two decimal places
_NEAR_BY_CHANCE = 0.37  # share of numbers that are so near to a part of a read
_TESTED = 200  # samples
_FEW = 20  # values


@dataclass
class TableValues:
    """Properties of the values of a table that show their origin.

    Attributes
    ----------
    totals
        Sum of all rows per sample.
    rna_totals
        Sum of the rows that are RNA per sample.
    stored
        Number of non-zero values per sample, or an upper limit.
    reads, summary_reads, spike_reads
        Sums over all samples: of RNA and spike-ins and sums, of sums, of spike-ins.
    fractional
        Number of values with a fraction.
    largest_change
        Largest difference of a value from the nearest whole number.
    rounded
        Sum of the rows that are RNA, of all samples, after rounding to whole numbers.
    highest
        The highest value.
    shown
        Different values of the first samples.
    scaled, testable
        Of the first samples: those whose values are all multiples of one number that is
        neither whole nor one part of a whole, and those that could be tested.
    """

    totals: NDArray[np.float64]
    rna_totals: NDArray[np.float64]
    stored: NDArray[np.int64]
    reads: float = 0.0
    summary_reads: float = 0.0
    spike_reads: float = 0.0
    fractional: int = 0
    largest_change: float = 0.0
    rounded: float = 0.0
    highest: float = 0.0
    shown: list[NDArray[np.float64]] = field(default_factory=list)
    scaled: int = 0
    testable: int = 0

    @classmethod
    def of_whole_totals(cls, totals: NDArray[np.float64], features: int) -> TableValues:
        """Return what is known of a table of whole numbers from its sums alone."""
        stored = np.full(totals.size, features, dtype=np.int64)
        return cls(totals, totals, stored, reads=float(totals.sum()))

    @classmethod
    def of_batches(cls, batches: Iterable[csr_matrix], roles: NDArray[np.int8]) -> TableValues:
        """Collect what is known of a table from its values.

        Parameters
        ----------
        batches
            Counts, shape ``(samples, features)`` each.
        roles
            Per feature: 0 for an RNA, 1 for a sum or leftover, 2 for a spike-in.
        """
        values = cls(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64))
        for counts in batches:
            values._add(counts, roles)
        return values

    @property
    def is_whole(self) -> bool:
        """Whether no value has a fraction."""
        return self.fractional == 0

    @property
    def are_parts_of_reads(self) -> bool:
        """Whether most fractions are simple, as those of reads that fit several places are."""
        simple = self._simple_fractions()
        return bool(simple.size) and float(simple.mean()) >= 0.5

    @property
    def are_clearly_parts_of_reads(self) -> bool:
        """Whether so many fractions are simple that it is not by chance."""
        simple = self._simple_fractions()
        chance = simple.size * _NEAR_BY_CHANCE
        needed = chance + 2 * np.sqrt(chance * (1 - _NEAR_BY_CHANCE))
        return self.are_parts_of_reads and bool(simple.sum() >= min(needed, simple.size))

    def _simple_fractions(self) -> NDArray[np.bool_]:
        values = self.fractions()
        simple = np.zeros(values.size, dtype=bool)
        for parts in _PARTS:
            simple |= np.abs(values - np.rint(values * parts) / parts) <= _WRITTEN
        return simple

    @property
    def are_logarithms(self) -> bool:
        """Whether values are logarithms: of whole numbers plus one, or as small and uneven."""
        if self.highest > _HIGHEST_LOGARITHM:
            return False
        fractions, shown = self.fractions(), np.unique(np.concatenate(self.shown))
        for base in (2.0, np.e, 10.0):
            numbers = base**fractions - 1
            small = numbers <= _FEW
            error = np.abs(numbers - np.rint(numbers))[small]
            near = error <= _WRITTEN * np.log(base) * (numbers[small] + 1)
            if near.size >= 4 and near.mean() > 0.9 and numbers[small].min() > 0.5:
                return True
        uneven = fractions.size > shown.size / 2 and not self.are_parts_of_reads
        return shown.size >= 4 and uneven

    def fractions(self) -> NDArray[np.float64]:
        """Return different values with a fraction, ascending."""
        values = np.unique(np.concatenate([np.zeros(0), *self.shown]))
        return np.asarray(values[values != np.rint(values)])

    def notes(self, evidence: str | None) -> list[str]:
        """Return what has to be known about values that are taken as counts."""
        notes = []
        if self.fractional:
            notes.append(
                f"{counted(self.fractional, 'count')} with fractions rounded to whole reads, by at"
                f" most {self.largest_change:.2g}{self._lost()}"
            )
        totals = self.rna_totals
        if totals.size > 1 and self.is_whole and totals[0] > 0 and (totals == totals[0]).all():
            notes.append(f"all samples have {totals[0]:,.0f} reads: they seem to be rarefied")
        if evidence is not None:
            notes.append(f"{evidence}, but the values look like counts")
        return notes

    def _lost(self) -> str:
        """Return how rounding changes the sum of all counts, if by 5 reads and 1 % or more."""
        before = float(self.rna_totals.sum())
        if abs(self.rounded - before) < max(before / 100, 5):
            return ""
        return f", which changes their sum from {before:,.1f} to {self.rounded:,.0f} reads"

    def _add(self, counts: csr_matrix, roles: NDArray[np.int8]) -> None:
        data = counts.data.astype(np.float64)
        samples = counts.shape[0]
        row = np.repeat(np.arange(samples), np.diff(counts.indptr))
        role = roles[counts.indices]
        rna = np.bincount(row, weights=data * (role == 0), minlength=samples)
        self.totals = np.append(self.totals, np.bincount(row, weights=data, minlength=samples))
        self.rna_totals = np.append(self.rna_totals, rna)
        self.stored = np.append(self.stored, np.diff(counts.indptr))
        self.reads += float(data.sum())
        self.summary_reads += float(data[role == 1].sum())
        self.spike_reads += float(data[role == 2].sum())
        is_rna = role == 0
        change = np.abs(data - np.rint(data)) * is_rna
        fractional = change > 0
        self.fractional += int(np.count_nonzero(fractional))
        self.largest_change = max(self.largest_change, float(change.max(initial=0)))
        self.rounded += float(np.rint(data[is_rna]).sum())
        self.highest = max(self.highest, float((data * is_rna).max(initial=0)))
        if fractional.any() and len(self.shown) * samples < _TESTED:
            self.shown.append(np.unique(data[is_rna].round(4)))
            for one in range(min(samples, _TESTED)):
                at = slice(counts.indptr[one], counts.indptr[one + 1])
                scaled = has_odd_unit(data[at][is_rna[at]])
                self.testable += scaled is not None
                self.scaled += scaled is True


def normalised_reason(values: TableValues, evidence: str | None) -> str | None:
    """Return why a table does not have counts of reads, ``None`` if it may have them.

    Parameters
    ----------
    values
        What its values show.
    evidence
        The name of the file or of columns, if it shows that the values are normalised.
    """
    for totals in (values.totals, values.rna_totals):
        reason = _reason_in_sums(values, totals[totals > 0], evidence)
        if reason is not None:
            return reason
    if values.is_whole:
        return None
    if values.are_logarithms:
        return f"no value is above {values.highest:.3g} and many have fractions, as logarithms do"
    if values.scaled * 2 > values.testable:
        return (
            "the values of a sample are multiples of one number that is not 1: counts divided by"
            " a factor"
        )
    if evidence is not None and not values.are_clearly_parts_of_reads:
        return f"{evidence}, and the values have fractions"
    return None


def _reason_in_sums(
    values: TableValues, totals: NDArray[np.float64], evidence: str | None
) -> str | None:
    if not totals.size:
        return None
    # Rounded values deviate from their sum like a random walk.
    rounding = 2 + 5 * np.sqrt(values.stored.max(initial=0) / 12) if values.is_whole else 0.0
    for total, words in _SUMS_OF_SHARES.items():
        if values.is_whole and total != _MILLION:
            continue
        if (np.abs(totals - total) > rounding + total * _EQUAL).any():
            continue
        several = totals.size > 1 or (total == _MILLION and not values.is_whole)
        if several or evidence is not None:
            return f"each sample adds up to {words}"
    if values.is_whole or totals.size < 2 or values.are_parts_of_reads:
        return None
    if values.stored.sum() >= _FEW and np.ptp(totals) <= _EQUAL * totals.max():
        return f"all samples add up to the same number, {totals[0]:,.6g}, with fractions"
    return None


def has_odd_unit(values: NDArray[np.float64]) -> bool | None:
    """Return whether values are multiples of a number that reads cannot be counted in.

    Parameters
    ----------
    values
        The non-zero values of a sample.

    Returns
    -------
    bool or None
        False if the number is whole (1, or 2 where mates are counted) or one part of a
        whole (reads that fit several places) or if there is none; ``None`` if there are too
        few values.
    """
    distinct = np.unique(values.round(4))
    distinct = distinct[distinct > 0]
    if distinct.size < 6:
        return None
    for parts in (1, 2, 3):
        unit = _refined_unit(distinct, float(distinct[0]) / parts)
        if unit is not None:
            inverse = 1 / unit
            if unit > 1:
                return bool(abs(unit - round(unit)) > 2e-3)
            return bool(abs(inverse - round(inverse)) > 2e-3 * inverse)
    return False


def _refined_unit(distinct: NDArray[np.float64], unit: float) -> float | None:
    """Return the number that all small values are multiples of, found by least squares."""
    tested = 0
    for limit in (4, 16, 64, 256):
        part = distinct[distinct <= unit * limit]
        multiples = np.rint(part / unit)
        if (np.abs(part / unit - multiples) > 0.03).any():
            return None
        unit = float((part * multiples).sum() / (multiples**2).sum())
        tested = int(np.count_nonzero(multiples > 1))
    return unit if tested >= 5 else None


def name_evidence(file_name: str, sample_ids: Sequence[str]) -> str | None:
    """Return the word in a name that stands for normalised values, as part of a sentence."""
    word = next((one for one in _words(file_name) if one in _WORDS), None)
    if word is not None:
        return f"the name of the file has {word!r}"
    common = (
        set.intersection(*(set(_words(one)) for one in sample_ids[:_TESTED]))
        if sample_ids
        else set()
    )
    word = next((one for one in sorted(common) if one in _WORDS), None)
    return f"the names of the columns have {word!r}" if word is not None else None


def _words(text: str) -> list[str]:
    return [word.lower() for word in (*_WORD.findall(text), *re.split(r"[^A-Za-z0-9]+", text))]
