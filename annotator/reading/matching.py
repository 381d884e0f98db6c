"""Match the samples of COUNTS with the lines of SAMPLES, also where programs changed the ids."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING

from annotator.domain.wording import counted, some
from annotator.reading.text.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from annotator.domain.imports import SampleRecord

_MOST_COMPARED = 5_000
_SUFFIX = re.compile(
    r"(?:[._](?:mature|hairpin|trimmed|sorted|cutadapt|collapsed|counts?|mirna|bam|sam|cram|"
    r"fastq|fq|fasta|fa|gz|bz2|txt|tsv|csv|out)|_S\d+(?:_ME)?_L\d{3}(?:_R[12])?(?:_001)?"
    r"|_S\d+_R[12](?:_001)?|_L\d{3}(?:_R[12])?(?:_001)?|_R[12](?:_001)?|"
    r"\.?Aligned\.sortedByCoord)+$",
    re.IGNORECASE,
)
_NOT_IN_R = re.compile(r"[^\w.]")


class Which(StrEnum):
    """The samples to import if COUNTS and SAMPLES do not have the same ones."""

    SAME = "same"
    COMMON = "common"
    ALL = "all"


@dataclass(frozen=True)
class Matched:
    """Samples to import.

    Attributes
    ----------
    samples
        Records, in the order of SAMPLES.
    id_of
        The id in SAMPLES for each sample of COUNTS that is imported.
    notes
        Rules that were applied, and samples that are left out or have no counts.
    """

    samples: tuple[SampleRecord, ...]
    id_of: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Rule:
    """A way in which programs change ids: equal keys are the same sample."""

    description: str
    counts_key: Callable[[str], str]
    samples_key: Callable[[str], str]


def _same(text: str) -> str:
    return text


def _base(text: str) -> str:
    return re.split(r"[/\\]", text)[-1]


def _bare(text: str) -> str:
    """Return an id without folders and what programs append to names of files."""
    return _SUFFIX.sub("", _base(text)) or text


def _as_r(text: str) -> str:
    """Return an id as R's make.names writes it."""
    name = _NOT_IN_R.sub(".", text)
    return name if re.match(r"[A-Za-z]|\.(?!\d)", name) else f"X{name}"


def loose_key(text: str) -> str:
    """Return what is left of an id after all that programs change."""
    name = _NOT_IN_R.sub(".", _bare(text)).casefold()
    return name[1:] if re.match(r"x[\d._]", name) else name


_RULES = (
    _Rule("R put an X in front of ids", lambda one: one.removeprefix("X"), _same),
    _Rule("R put dots for other characters, and an X in front of digits", _same, _as_r),
    _Rule("letter case", str.casefold, str.casefold),
    _Rule("folders in front of ids", _base, _base),
    _Rule("what programs append to the names of files", _bare, _bare),
    _Rule("letter case, folders, what programs append, and R's names", loose_key, loose_key),
)


def match_samples(
    counts_ids: Sequence[str],
    samples: Sequence[SampleRecord],
    counts_path: Path,
    samples_path: Path,
    *,
    which: Which = Which.SAME,
    require_counts: bool = True,
) -> Matched:
    """Match the samples of a COUNTS and a SAMPLES file.

    Parameters
    ----------
    counts_ids
        Sample ids of COUNTS.
    samples
        Records of SAMPLES.
    counts_path, samples_path
        The files, for messages.
    which
        The samples to import if they are not the same: with ``SAME`` none, which is an
        error; with ``COMMON`` those of both files; with ``ALL`` also those without counts.
        With the latter two, ids that differ by one unambiguous rule are the same.
    require_counts
        Whether every sample must have counts.

    Returns
    -------
    Matched

    Raises
    ------
    InputError
        A sample of COUNTS has no line in SAMPLES, or the other way round, and ``which``
        does not allow it, or the files have no sample in common.
    """
    known = {sample.sample_id for sample in samples}
    unknown = [one for one in counts_ids if one not in known]
    if not unknown and (not require_counts or len(counts_ids) == len(samples)):
        return Matched(tuple(samples), {one: one for one in counts_ids})
    with_counts = set(counts_ids)
    uncounted = [one.sample_id for one in samples if one.sample_id not in with_counts]
    rule, by_rule = _best_rule(unknown, uncounted)
    found = {one: one for one in counts_ids if one in known}
    if which is Which.SAME:
        findings = Findings(counts_path)
        hints = _Hints(by_rule, uncounted)
        _add_summary(findings, unknown, f"no line in {samples_path}", hints, rule, by_rule)
        if require_counts:
            taken = set(by_rule.values())
            left = [one for one in uncounted if one not in taken]
            _add_uncounted(findings, left, counts_path, samples_path)
        findings.raise_all()
        return Matched(tuple(samples), found)
    notes = []
    if by_rule:
        pairs = some(by_rule.items(), lambda pair: f"{pair[0]!r} is {pair[1]!r}")
        notes.append(f"{counted(len(by_rule), 'id')} of COUNTS matched by a rule ({rule}): {pairs}")
        found = {
            one: found.get(one) or by_rule[one]
            for one in counts_ids
            if one in found or one in by_rule
        }
    return _taken(counts_ids, samples, found, (counts_path, samples_path), which, notes)


def _taken(
    counts_ids: Sequence[str],
    samples: Sequence[SampleRecord],
    found: Mapping[str, str],
    paths: tuple[Path, Path],
    which: Which,
    notes: list[str],
) -> Matched:
    findings = Findings(paths[0])
    left_out = [one for one in counts_ids if one not in found]
    if not found:
        findings.add(f"no sample has a line in {paths[1]}; COUNTS has {some(counts_ids, repr)}")
    elif left_out and which is Which.ALL:
        findings.add(
            f"{_have(left_out)} no line in {paths[1]} and therefore no dataset:"
            f" {some(left_out, repr)}; add {_them(left_out)} there, or leave {_them(left_out)} out"
            " with --samples common"
        )
    findings.raise_all()
    if left_out:
        notes.append(
            f"{counted(len(left_out), 'sample')} of COUNTS without a line in SAMPLES left out:"
            f" {some(left_out, repr)}"
        )
    with_counts = set(found.values())
    without = [one.sample_id for one in samples if one.sample_id not in with_counts]
    if without:
        how = "left out" if which is Which.COMMON else "stored"
        notes.append(
            f"{counted(len(without), 'sample')} of SAMPLES without counts {how}:"
            f" {some(without, repr)}"
        )
    if which is Which.COMMON:
        samples = [one for one in samples if one.sample_id in with_counts]
    return Matched(tuple(samples), found, tuple(notes))


# --- rules --------------------------------------------------------------------------------------


def _best_rule(unknown: Sequence[str], free: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the first rule that explains most ids, and the ids that it makes equal."""
    best: tuple[str, dict[str, str]] = "", {}
    if not unknown or not free:
        return best
    for rule in (*_RULES, *_constant_parts(unknown)):
        pairs = _pairs_by(rule, unknown, free)
        if len(pairs) > len(best[1]):
            best = rule.description, pairs
    return best


def _pairs_by(rule: _Rule, unknown: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """Return ids with equal keys; none if a key has two ids, as the rule is ambiguous then."""
    of_key = Counter(map(rule.samples_key, free))
    sample_of = {rule.samples_key(one): one for one in free}
    pairs = {one: sample_of[key] for one in unknown if (key := rule.counts_key(one)) in sample_of}
    ambiguous = len(set(pairs.values())) < len(pairs) or any(
        of_key[rule.samples_key(one)] > 1 for one in pairs.values()
    )
    return {} if ambiguous else pairs


def _constant_parts(unknown: Sequence[str]) -> list[_Rule]:
    """Return rules that remove what all ids begin or end with."""
    if len(unknown) < 2:
        return []
    start = _common_start(unknown)
    end = _common_start([one[::-1] for one in unknown])[::-1]
    rules = []
    # Ids such as S1 and S2 begin with the same letter: shorter parts are tried as well.
    for size in range(len(start), 0, -1):
        part = start[:size]
        rules.append(_Rule(f"{part!r} in front of ids", _without_start(part), _same))
    for size in range(len(end), 0, -1):
        part = end[-size:]
        rules.append(_Rule(f"{part!r} at the end of ids", _without_end(part), _same))
    return rules


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    same = next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), None
    )
    return first[:same]


def _without_start(part: str) -> Callable[[str], str]:
    return lambda one: one.removeprefix(part)


def _without_end(part: str) -> Callable[[str], str]:
    return lambda one: one.removesuffix(part)


# --- messages -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Hints:
    by_rule: Mapping[str, str]
    free: Sequence[str]

    def nearest(self, one: str) -> str:
        close = [self.by_rule[one]] if one in self.by_rule else []
        if not close and len(self.free) <= _MOST_COMPARED:
            close = get_close_matches(one, self.free, n=1)
        return f" (is it {close[0]!r}?)" if close else ""


def _add_summary(
    findings: Findings,
    unknown: Sequence[str],
    problem: str,
    hints: _Hints,
    rule: str,
    by_rule: Mapping[str, str],
) -> None:
    if not unknown:
        return
    listed = some(unknown, lambda one: f"{one!r}{hints.nearest(one)}")
    fix = "add the lines, or take only the samples of both files with --samples common"
    if len(by_rule) == len(unknown):
        who = "it differs" if len(unknown) == 1 else "all of them differ"
        fix = f"{who} by one rule ({rule}), which --samples common applies"
    findings.add(f"{_have(unknown)} {problem}: {listed}; {fix}")


def _add_uncounted(
    findings: Findings, uncounted: Sequence[str], counts_path: Path, samples_path: Path
) -> None:
    if not uncounted:
        return
    them = _them(uncounted)
    findings.add(
        f"{_have(uncounted)} no counts in {counts_path}: {some(uncounted, repr)}; leave {them} out"
        f" with --samples common, or store {them} without counts with --samples all",
        path=samples_path,
    )


def _have(samples: Sequence[str]) -> str:
    return counted(len(samples), "sample has", "samples have")


def _them(samples: Sequence[str]) -> str:
    return "it" if len(samples) == 1 else "them"
