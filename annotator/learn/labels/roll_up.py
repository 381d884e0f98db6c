"""Merging of ontology terms with too few samples into classes.

Real ontologies have one root, and terms such as "whole body" above nearly every
label. A term is *too general* if it covers, as itself or as an ancestor, most of
the labelled samples and most of the labels, where a label with fewer samples than
a class needs counts in proportion. Two kinds of terms are not too general: a term
that is itself the label of most of the samples it covers, and one of several groups
in a flat ontology, which is the parent of most of the labels it covers while other
labels have other parents. No term is merged into one that is too general: it can
only be the class of the samples labelled with it, and not an answer for others. A
group is a root, or a term directly below terms that are too general.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from annotator.domain.fields import Level
from annotator.domain.wording import counted
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """The requirements for a class.

    Attributes
    ----------
    minimum_samples, minimum_datasets
        Minimum numbers per class, in every scheme (paper: 9 or 15 samples).
    """

    minimum_samples: int = 9
    minimum_datasets: int = 2


@dataclass
class Tally:
    """The number of samples with a label, and their datasets."""

    samples: int = 0
    datasets: set[str] = field(default_factory=set)

    def add(self, other: Tally) -> None:
        """Add those of another label."""
        self.samples += other.samples
        self.datasets |= other.datasets

    def enough(self, options: LabelOptions) -> bool:
        """Return whether the samples and datasets are enough for a class."""
        return (
            self.samples >= options.minimum_samples
            and len(self.datasets) >= options.minimum_datasets
        )

    def shortage(self, options: LabelOptions) -> str:
        """Return in words how the samples and datasets fall short of a class."""
        return (
            f"{counted(self.samples, 'sample')} of {counted(len(self.datasets), 'dataset')};"
            f" a class needs {options.minimum_samples} of {options.minimum_datasets}"
        )


def tally_of(labels: Iterable[str], dataset_ids: Iterable[str]) -> dict[str, Tally]:
    """Count the samples and datasets of each label."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for label, dataset_id in zip(labels, dataset_ids, strict=True):
        tallies[label].add(Tally(1, {dataset_id}))
    return dict(tallies)


def _depths(terms: Iterable[str], ontology: Ontology) -> dict[str, int]:
    """Return the longest path to a root for each term and its ancestors."""
    graph = {
        each: ontology.direct_parents(each) for term in terms for each in ontology.lineage(term)
    }
    depths: dict[str, int] = {}
    try:
        for term in TopologicalSorter(graph).static_order():
            depths[term] = max((depths[parent] + 1 for parent in graph[term]), default=0)
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise InputError(f"the ontology has a cycle: {cycle}; remove one parent") from error
    return depths


def too_general(
    tallies: Mapping[str, Tally], ontology: Ontology, options: LabelOptions
) -> dict[str, float]:
    """Find the terms that are too general for others to be merged into them.

    Parameters
    ----------
    tallies
        Samples and datasets of each label.
    ontology
        The ontology; its declared groups are never too general.
    options
        The requirements for a class.

    Returns
    -------
    dict
        For each such term, the share of the labelled samples that it covers.
    """
    before = ontology.without_groups
    # Counted in proportion, so that many rare labels elsewhere do not hide such a term.
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
    tallies: Mapping[str, Tally],
    ontology: Ontology,
    options: LabelOptions,
    general: Mapping[str, float],
) -> tuple[dict[str, str], dict[str, str]]:
    """Merge terms with too few samples into their nearest sufficient ancestors.

    Deepest terms come first. A term that has enough samples, including those merged
    into it, becomes a class; else all of them move to its parent (of several, the one
    with the most samples so far, ties by name). If a term has too few and all its
    parents are too general, it joins the nearest of its ancestors that did become
    a class and is not too general; if there is none, it is dropped.

    Parameters
    ----------
    tallies
        Samples and datasets of each observed term.
    ontology
        The ontology, along which terms are merged.
    options
        The requirements for a class.
    general
        The result of :func:`too_general`.

    Returns
    -------
    class_of, dropped : dict
        The class of each observed term, or the reason why it has none.

    Raises
    ------
    InputError
        The ontology has a cycle.
    """
    depths = _depths(tallies, ontology)
    levels: dict[int, list[str]] = defaultdict(list)
    for term, depth in depths.items():
        levels[depth].append(term)
    pools: dict[str, Tally] = defaultdict(Tally)
    members: dict[str, list[str]] = defaultdict(list)
    for term, tally in tallies.items():
        pools[term].add(tally)
        members[term].append(term)
    class_of: dict[str, str] = {}
    stranded: dict[str, str] = {}
    for depth in sorted(levels, reverse=True):
        # All moves of a level are decided on the counts before the first of them.
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
    """Return the end of a reason: the nearest term that is large enough, but too general."""
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
    """Return the groups that a term belongs to, nearest first; the term itself if none."""
    return tuple(
        each
        for each in ontology.lineage(term)
        if each not in general and general.keys() >= set(ontology.direct_parents(each))
    ) or (term,)


def term_classes(
    cohort: Cohort, ontology: Ontology, options: LabelOptions
) -> tuple[dict[str, str], dict[str, str], frozenset[str]]:
    """Return the class of each value, the reasons of those without, and too general terms."""
    observed = tally_of(cohort.values, cohort.dataset_ids)
    has_empty = observed.pop("", None) is not None
    _depths(observed, ontology.without_groups)  # groups on top may hide a cycle
    general = too_general(observed, ontology, options)
    starts: dict[str, tuple[str, ...]] = {value: (value,) for value in observed}
    if cohort.definition.level is Level.GROUP:
        starts = {value: _groups_of(value, ontology, general) for value in observed}
    tallies: dict[str, Tally] = defaultdict(Tally)
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
