"""From curated values to the classes of a field.

A class needs enough samples from enough datasets, else it cannot be learned or
checked. A term of an ontology that has too few is merged upwards into its
nearest ancestor that has enough, as the paper merges tissues by BTO (section
2.1 and Table 2); a class of any other field that has too few is dropped.

Real ontologies have one root, and terms such as "whole body" above nearly every
label. A term is *too general* if it covers, as itself or as an ancestor, most of
the labelled samples and most of the labels, where a label with fewer samples than
a class needs counts in proportion. Two kinds of terms are not too general: a term
that most of the samples it covers are labelled with, and one of several groups in
a flat ontology, which is the parent of most of the labels it covers while other
labels have other parents. Nothing is merged into a term that is too general: it is
at most the class of the samples labelled with it, and no answer for others. A group
is a term directly below such terms, or a root.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FieldDefinition, LabelScheme, Level
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How values become classes.

    Attributes
    ----------
    minimum_samples, minimum_datasets
        What a class needs, in every scheme (paper: 9 or 15 samples).
    """

    minimum_samples: int = 9
    minimum_datasets: int = 2


@dataclass(frozen=True)
class LabelSet:
    """The classes of a field and what became of each curated value.

    Attributes
    ----------
    classes
        In the order of the models' columns: by name; intervals ascending.
    class_of
        Each value that is used, to its class.
    dropped
        Each value that is not used, to the reason.
    left_out
        Samples that were left out whatever their value, because a field that is
        known of them gives the class away.
    too_general
        Terms that are too general for others to be merged into, and to be an answer
        for samples of other classes.
    """

    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    dropped: Mapping[str, str]
    left_out: int = 0
    too_general: frozenset[str] = frozenset()


def _number_text(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def interval_names(limits: Sequence[float]) -> tuple[str, ...]:
    """Name the intervals between limits as the paper's Table 3: ``[0;65]``, ``(65;110]``."""
    return tuple(
        f"{'(' if position else '['}{_number_text(low)};{_number_text(high)}]"
        for position, (low, high) in enumerate(pairwise(limits))
    )


def interval_of(years: float, limits: Sequence[float]) -> str | None:
    """Return the interval that holds a number of years, ``None`` where none does.

    Every interval includes its upper limit; the first one its lower limit too.
    """
    if not limits[0] <= years <= limits[-1]:
        return None
    position = max(int(np.searchsorted(np.asarray(limits, float), years, side="left")) - 1, 0)
    return interval_names(limits)[position]


def lineages_of(
    classes: Sequence[str],
    ontology: Ontology,
    definition: FieldDefinition,
    general: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """Return each class's lineage: the class and, in an ontology field, its ancestors.

    Ancestors that are too general (:attr:`LabelSet.too_general`) are left out: "whole
    body" would be a safe answer for nearly every sample, and of no use for any.
    """
    if definition.scheme is not LabelScheme.ONTOLOGY:
        return {name: (name,) for name in classes}
    return {
        name: (name, *(term for term in ontology.ancestors(name) if term not in general))
        for name in classes
    }


@dataclass
class _Tally:
    """How many samples, of which datasets, carry a label."""

    samples: int = 0
    datasets: set[str] = field(default_factory=set)

    def add(self, other: _Tally) -> None:
        self.samples += other.samples
        self.datasets |= other.datasets

    def enough(self, options: LabelOptions) -> bool:
        return (
            self.samples >= options.minimum_samples
            and len(self.datasets) >= options.minimum_datasets
        )

    def shortage(self, options: LabelOptions) -> str:
        return (
            f"{self.samples} samples of {len(self.datasets)} datasets, a class needs"
            f" {options.minimum_samples} of {options.minimum_datasets}"
        )


def _tally(labels: Iterable[str], dataset_ids: Iterable[str]) -> dict[str, _Tally]:
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for label, dataset_id in zip(labels, dataset_ids, strict=True):
        tallies[label].add(_Tally(1, {dataset_id}))
    return dict(tallies)


def _depths(terms: Iterable[str], ontology: Ontology) -> dict[str, int]:
    """Return the longest way to a root for each term and its ancestors."""
    graph = {
        each: ontology.direct_parents(each) for term in terms for each in ontology.lineage(term)
    }
    depths: dict[str, int] = {}
    try:
        for term in TopologicalSorter(graph).static_order():
            depths[term] = max((depths[parent] + 1 for parent in graph[term]), default=0)
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise InputError(f"the ontology goes in a circle: {cycle}; remove one parent") from error
    return depths


def too_general(
    tallies: Mapping[str, _Tally], ontology: Ontology, options: LabelOptions
) -> dict[str, float]:
    """Find the terms that are too general for others to be merged into them.

    Parameters
    ----------
    tallies
        Samples and datasets of each label.
    ontology
        Its declared groups are never too general.
    options
        What a class needs.

    Returns
    -------
    dict
        Each such term to the share of the labelled samples that it covers.
    """
    before = ontology.without_groups
    # Counted in proportion, so that a tail of rare labels elsewhere hides no such term.
    weights = {label: min(each.samples, options.minimum_samples) for label, each in tallies.items()}
    lineages = {label: before.lineage(label) for label in tallies}
    samples, labels, as_parent = (defaultdict[str, int](int) for _ in range(3))
    for label, lineage in lineages.items():
        for term in lineage:
            samples[term] += tallies[label].samples
            labels[term] += weights[label]
        for term in before.direct_parents(label):
            as_parent[term] += weights[label]
    all_samples = sum(each.samples for each in tallies.values())
    all_labels = sum(weights.values())

    def is_one_of_flat_groups(term: str) -> bool:
        above = before.ancestors(term)
        below = labels[term] - weights.get(term, 0)
        return 2 * as_parent[term] > below and any(
            len(lineage) > 1 and term not in lineage and label not in above
            for label, lineage in lineages.items()
        )

    return {
        term: samples[term] / all_samples
        for term in sorted(samples)
        if 2 * samples[term] > all_samples
        and 2 * labels[term] > all_labels
        and not (term in tallies and 2 * tallies[term].samples > samples[term])
        and term not in ontology.groups
        and not is_one_of_flat_groups(term)
    }


def roll_up(
    tallies: Mapping[str, _Tally],
    ontology: Ontology,
    options: LabelOptions,
    general: Mapping[str, float],
) -> tuple[dict[str, str], dict[str, str]]:
    """Merge terms with too few samples into their nearest sufficient ancestors.

    Deepest terms first: a term that has enough, with what was merged into it,
    becomes a class; else all of it moves to its parent (of several, the one
    with most samples so far, ties by name). What still has too few where all
    parents are too general joins the nearest of its ancestors that did become a
    class and are not too general, and is dropped where there is none.

    Parameters
    ----------
    tallies
        Samples and datasets of each observed term.
    ontology
        Where terms can be merged to.
    options
        The thresholds.
    general
        What :func:`too_general` returned.

    Returns
    -------
    class_of, dropped : dict
        Observed term to its class, and to the reason where it has none.

    Raises
    ------
    InputError
        The ontology has a cycle.
    """
    depths = _depths(tallies, ontology)
    levels: dict[int, list[str]] = defaultdict(list)
    for term, depth in depths.items():
        levels[depth].append(term)
    pools: dict[str, _Tally] = defaultdict(_Tally)
    members: dict[str, list[str]] = defaultdict(list)
    for term, tally in tallies.items():
        pools[term].add(tally)
        members[term].append(term)
    class_of: dict[str, str] = {}
    stranded: dict[str, str] = {}
    for depth in sorted(levels, reverse=True):
        # All moves of a level are decided on the counts before any of them.
        moves: list[tuple[str, str]] = []
        for term in sorted(levels[depth]):
            if not members[term]:
                continue
            parents = [each for each in ontology.direct_parents(term) if each not in general]
            if pools[term].enough(options):
                class_of.update(dict.fromkeys(members[term], term))
            elif parents:
                moves.append((term, min(parents, key=lambda name: (-pools[name].samples, name))))
            else:
                shortage = f"{term!r} has {pools[term].shortage(options)}"
                reason = shortage + _only_general(term, ontology, general)
                stranded.update(dict.fromkeys(members[term], reason))
        for term, parent in moves:
            pools[parent].add(pools[term])
            members[parent].extend(members[term])
    classes = set(class_of.values()) - set(general)
    for term in list(stranded):
        nearest = next((each for each in ontology.ancestors(term) if each in classes), None)
        if nearest is not None:
            class_of[term] = nearest
            del stranded[term]
    return class_of, stranded


def _only_general(term: str, ontology: Ontology, general: Mapping[str, float]) -> str:
    """Name the nearest term that would be large enough if it were not too general."""
    nearest = next((each for each in ontology.ancestors(term) if each in general), None)
    if nearest is not None:
        return (
            f"; only {nearest!r}, which covers {100 * general[nearest]:.0f} % of the labelled"
            " samples, would be large enough"
        )
    if ontology.groups and not ontology.groups & set(ontology.lineage(term)):
        return "; it belongs to no group of the paper's Table 2 either"
    return ""


def _groups_of(term: str, ontology: Ontology, general: Mapping[str, float]) -> tuple[str, ...]:
    """Return the groups that a term belongs to, nearest first; itself where it has none."""
    return tuple(
        each
        for each in ontology.lineage(term)
        if each not in general and general.keys() >= set(ontology.direct_parents(each))
    ) or (term,)


def _term_classes(
    cohort: Cohort, ontology: Ontology, options: LabelOptions
) -> tuple[dict[str, str], dict[str, str], frozenset[str]]:
    """Return the class of each value, why values have none, and what is too general."""
    observed = _tally(cohort.values, cohort.dataset_ids)
    has_empty = observed.pop("", None) is not None
    _depths(observed, ontology.without_groups)  # groups on top may hide a cycle
    general = too_general(observed, ontology, options)
    starts: dict[str, tuple[str, ...]] = {value: (value,) for value in observed}
    if cohort.definition.level is Level.GROUP:
        starts = {value: _groups_of(value, ontology, general) for value in observed}
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for value, tally in observed.items():
        tallies[starts[value][0]].add(tally)
    merged, stranded = roll_up(tallies, ontology, options, general)
    classes = set(merged.values()) - set(general)
    class_of: dict[str, str] = {}
    dropped: dict[str, str] = {"": "no value"} if has_empty else {}
    for value, groups in starts.items():
        if groups[0] in merged:
            class_of[value] = merged[groups[0]]
            continue
        further = next((each for each in groups if each in classes), None)
        if further is not None:
            class_of[value] = further
        else:
            dropped[value] = stranded[groups[0]]
    return class_of, dropped, frozenset(general)


def _plain_classes(
    candidates: Sequence[str | None],
    cohort: Cohort,
    options: LabelOptions,
    reason: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """Keep the candidate classes that have enough; ``None`` is not a class at all."""
    tallies = _tally((name or "" for name in candidates), cohort.dataset_ids)
    class_of: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for value, name in zip(cohort.values.tolist(), candidates, strict=True):
        if name is None:
            dropped[value] = reason
        elif tallies[name].enough(options):
            class_of[value] = name
        else:
            dropped[value] = f"{name!r} has {tallies[name].shortage(options)}"
    return class_of, dropped


def _interval_candidates(cohort: Cohort, limits: Sequence[float]) -> list[str | None]:
    names = set(interval_names(limits))
    return [
        interval_of(number, limits) if np.isfinite(number) else (value if value in names else None)
        for value, number in zip(cohort.values.tolist(), cohort.numbers.tolist(), strict=True)
    ]


def _without_known(cohort: Cohort, rows: NDArray[np.bool_]) -> Cohort:
    """Return the labels and datasets of some samples; nothing else decides on classes."""
    return replace(
        cohort,
        dataset_ids=cohort.dataset_ids[rows],
        values=cohort.values[rows],
        numbers=cohort.numbers[rows],
        known={},
    )


def _left_out(cohort: Cohort, ontology: Ontology) -> NDArray[np.bool_]:
    """Say which samples have a known value that gives this field away."""
    result = np.zeros(len(cohort.values), dtype=np.bool_)
    for name, values in cohort.definition.left_out_where.items():
        telling = set(values)
        known = cohort.known.get(name, np.zeros(0, dtype=object)).tolist()
        gives_away = {value: bool(telling & set(ontology.lineage(value))) for value in set(known)}
        result |= np.array([gives_away[value] for value in known] or result, dtype=np.bool_)
    return result


def make_labels(
    cohort: Cohort, ontology: Ontology, options: LabelOptions
) -> tuple[LabelSet, NDArray[np.object_]]:
    """Turn the curated values of a cohort into classes.

    Parameters
    ----------
    cohort
        The samples with their values.
    ontology
        Used by a field of the ontology scheme only; see
        :func:`ontology_or_built_in`.
    options
        What a class needs.

    Returns
    -------
    label_set : LabelSet
        The classes and what became of each value. It does not depend on the
        order of the samples.
    labels : NDArray[object]
        Shape ``(samples,)``: each sample's class, ``""`` where it has none.

    Raises
    ------
    InputError
        The ontology has a cycle.
    """
    left_out = _left_out(cohort, ontology)
    if left_out.any():
        label_set, of_rest = make_labels(_without_known(cohort, ~left_out), ontology, options)
        every = np.full(len(left_out), "", dtype=object)
        every[~left_out] = of_rest
        return replace(label_set, left_out=int(left_out.sum())), every
    definition = cohort.definition
    general: frozenset[str] = frozenset()
    if definition.scheme is LabelScheme.ONTOLOGY:
        class_of, dropped, general = _term_classes(cohort, ontology, options)
        labels = [class_of.get(value, "") for value in cohort.values.tolist()]
        order = sorted(set(class_of.values()))
    else:
        if definition.scheme is LabelScheme.INTERVALS:
            names = interval_names(cohort.definition.limits)
            candidates = _interval_candidates(cohort, cohort.definition.limits)
            reason = f"not a number within {names[0]} to {names[-1]} nor one of these intervals"
        else:
            names = definition.vocabulary
            candidates = [value if value in names else None for value in cohort.values.tolist()]
            reason = f"not in the vocabulary: {', '.join(names)}"
        class_of, dropped = _plain_classes(candidates, cohort, options, reason)
        kept = set(class_of.values())
        labels = [name if name in kept else "" for name in candidates]
        order = [name for name in names if name in kept]
    label_set = LabelSet(
        tuple(order),
        dict(sorted(class_of.items())),
        dict(sorted(dropped.items())),
        too_general=general,
    )
    return label_set, np.array(labels, dtype=object)


def training_numbers(
    cohort: Cohort, label_set: LabelSet
) -> tuple[NDArray[np.float64] | None, tuple[float, ...]]:
    """Return the numbers behind the classes of a field of intervals, and their limits.

    Returns
    -------
    numbers : NDArray[float64] or None
        Shape ``(samples,)``, NaN for a sample of which only the interval is known; ``None``
        for a field without numbers, where no sample has one, or where an interval between
        others is no class.
    limits : tuple of float
        Of the classes, one more than there are classes; empty without numbers.
    """
    if cohort.definition.scheme is not LabelScheme.INTERVALS:
        return None, ()
    names = interval_names(cohort.definition.limits)
    used = [names.index(name) for name in label_set.classes]
    together = used == list(range(used[0], used[0] + len(used)))
    if not together or not np.isfinite(cohort.numbers).any():
        return None, ()
    return cohort.numbers, cohort.definition.limits[used[0] : used[-1] + 2]
