"""From curated values to the classes of a field.

A class needs enough samples from enough datasets, or else it cannot be learned or
validated. An ontology term with too few is merged into its nearest ancestor with
enough, as the paper merges tissues by BTO (section 2.1 and Table 2); a class of any
other field with too few is dropped. Different spellings of a term are one class
(:mod:`annotator.learn.labels.spelling`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FieldDefinition, LabelScheme
from annotator.domain.terms import label_key
from annotator.domain.values.intervals import interval_names
from annotator.domain.values.reading import ValueReader, describe
from annotator.learn.labels.roll_up import LabelOptions, tally_of, term_classes
from annotator.learn.labels.spelling import spelled_alike, spellings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology


@dataclass(frozen=True)
class LabelSet:
    """The classes of a field, and the class of each curated value or why it has none.

    Attributes
    ----------
    classes
        The classes in the order of the models' columns: terms by name, categories as in the
        vocabulary, intervals ascending.
    class_of
        The class of each value that is used.
    dropped
        The reason for each value that is not used.
    left_out
        Number of samples that were left out whatever their value, because a known field
        gives the class away.
    too_general
        Terms that are too general for others to be merged into them, and for an answer
        for samples of other classes.
    """

    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    dropped: Mapping[str, str]
    left_out: int = 0
    too_general: frozenset[str] = frozenset()


def lineages_of(
    classes: Sequence[str],
    ontology: Ontology,
    definition: FieldDefinition,
    general: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """Return each class's lineage: the class and, in an ontology field, its ancestors.

    Ancestors that are too general (:attr:`LabelSet.too_general`) are left out: "whole
    body" would be a safe answer for nearly every sample, but a useless one.
    """
    if definition.scheme is not LabelScheme.ONTOLOGY:
        return {name: (name,) for name in classes}
    return {
        name: (name, *(term for term in ontology.ancestors(name) if term not in general))
        for name in classes
    }


def _plain_classes(
    cohort: Cohort, options: LabelOptions
) -> tuple[list[str | None], dict[str, str], dict[str, str]]:
    """Return the candidate class of each sample, and the classes with enough samples."""
    reader = ValueReader(cohort.definition)
    values = cohort.values.tolist()
    found = [
        reader.class_of(value, number)
        for value, number in zip(values, cohort.numbers.tolist(), strict=True)
    ]
    tallies = tally_of((name or "" for name, _ in found), cohort.dataset_ids)
    class_of: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for value, (name, problem) in zip(values, found, strict=True):
        if problem is not None:
            dropped[value] = describe(problem, cohort.definition)
        elif name is not None and tallies[name].enough(options):
            class_of[value] = name
        elif name is not None:
            dropped[value] = f"{name!r} has {tallies[name].shortage(options)}"
    return [name for name, _ in found], class_of, dropped


def _without_known(cohort: Cohort, rows: NDArray[np.bool_]) -> Cohort:
    """Return some samples without known fields, on which classes do not depend."""
    return replace(
        cohort,
        dataset_ids=cohort.dataset_ids[rows],
        values=cohort.values[rows],
        numbers=cohort.numbers[rows],
        known={},
    )


def _left_out(cohort: Cohort, ontology: Ontology) -> NDArray[np.bool_]:
    """Return whether each sample has a known value that gives this field away."""
    result = np.zeros(len(cohort.values), dtype=np.bool_)
    for name, values in cohort.definition.left_out_where.items():
        excluded = {label_key(ontology.term_of(value) or value) for value in values}
        known = cohort.known.get(name, np.zeros(0, dtype=object)).tolist()
        gives_away = {
            value: not excluded.isdisjoint(
                map(label_key, ontology.lineage(ontology.term_of(value) or value))
            )
            for value in set(known)
        }
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
        The ontology, used only by a field of the ontology scheme; see
        :func:`~annotator.learn.labels.ontology.ontology_or_built_in`.
    options
        The requirements for a class.

    Returns
    -------
    label_set : LabelSet
        The classes, and the class of each value or why it has none. It does not depend
        on the order of the samples.
    labels : NDArray[object]
        Shape ``(samples,)``: each sample's class, ``""`` if it has none.

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
        spelling = spellings(cohort.values.tolist(), ontology)
        named = replace(cohort, values=spelled_alike(cohort.values, ontology))
        of_term, without, general = term_classes(named, ontology, options)
        class_of = {value: of_term[term] for value, term in spelling.items() if term in of_term}
        dropped = {value: without[term] for value, term in spelling.items() if term in without}
        labels = [class_of.get(value, "") for value in cohort.values.tolist()]
        order = sorted(set(class_of.values()))
    else:
        is_intervals = definition.scheme is LabelScheme.INTERVALS
        names = interval_names(definition.limits) if is_intervals else definition.vocabulary
        candidates, class_of, dropped = _plain_classes(cohort, options)
        kept = set(class_of.values())
        labels = [name if name is not None and name in kept else "" for name in candidates]
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
        for a field without numbers, if no sample has a number, or if an interval between
        others is not a class.
    limits : tuple of float
        The limits of the classes, one more than there are classes; empty without numbers.
    """
    if cohort.definition.scheme is not LabelScheme.INTERVALS:
        return None, ()
    names = interval_names(cohort.definition.limits)
    used = [names.index(name) for name in label_set.classes]
    together = used == list(range(used[0], used[0] + len(used)))
    if not together or not np.isfinite(cohort.numbers).any():
        return None, ()
    return cohort.numbers, cohort.definition.limits[used[0] : used[-1] + 2]


def class_index(values: NDArray[np.object_], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the column of each class name.

    Parameters
    ----------
    values
        Class names, shape ``(samples,)``; all are among ``classes``.
    classes
        The classes in the order of the columns.
    """
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place[value] for value in values.tolist()], dtype=np.int64)
