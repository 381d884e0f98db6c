"""Enrichment: over-representation of feature sets among the markers of a class.

The paper uses an external tool for this (section 3.4.2, figure 12); here it is the
usual one-sided hypergeometric test, with the correction of Benjamini and
Hochberg (1995, J. R. Stat. Soc. B 57:289-300).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control, hypergeom

from annotator.domain.explanations import ClassEnrichment
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.explain.feature_sets import FeatureSet

FindMembers = Callable[[Sequence[str], Sequence[str]], Collection[str]]
"""A function from the names in a set and all known features to the features in the set."""


def equal_names(names: Sequence[str], background: Sequence[str]) -> Collection[str]:
    """Return the features of the background whose names are exactly those of a set."""
    return set(background).intersection(names)


def expressed_features(
    expression: NDArray[np.floating], classes: Sequence[str], features: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the features that each class expresses more than most classes do.

    With an average profile as reference input, absent features contribute, too: a red
    cell is recognised by the absence of skin miRNAs. These are markers, but not evidence
    that skin sets belong to red cells. So a class is tested only with the features whose
    mean expression in it is above the median of the classes. This restricts both its
    markers and their background, since a class's own features are more often in
    well-known sets, whatever their contributions.

    Parameters
    ----------
    expression
        Mean expression, shape ``(classes, features)``.
    classes, features
        Names of the rows and columns.

    Returns
    -------
    dict
        The features of each class, in the order of ``features``.
    """
    above = expression > np.median(expression, axis=0)
    names = np.asarray(features, dtype=object)
    return {name: tuple(names[row]) for name, row in zip(classes, above, strict=True)}


def enrichments(
    source: str,
    sets: Sequence[FeatureSet],
    markers_by_class: Mapping[str, Sequence[str]],
    backgrounds: Mapping[str, Sequence[str]],
    members: FindMembers = equal_names,
) -> tuple[ClassEnrichment, ...]:
    """Test every set against the markers of every class.

    The p-value is the probability that at least as many of the class's markers would be
    in the set if the markers had been drawn at random from the class's background. Only
    those features of a set count that are in the background, since others could not
    have become markers of the class.

    A set without a feature in the background, and a class without markers, cannot
    be tested: their ``p_value`` and ``q_value`` are 1, and they do not count among the
    tests that the q-values are corrected for.

    Parameters
    ----------
    source
        The source of the sets.
    sets
        The sets; their names are unique within the source.
    markers_by_class
        The markers of each class, best first, all of them in the class's background.
    backgrounds
        The features that each class's markers are drawn from, without duplicates.
    members
        A function that returns the features of all backgrounds that are in a set, whatever
        namespace the set uses; called once per set. By default names must be equal.
        :mod:`annotator.learn.features.matching` knows the names of miRNAs; as this package
        does not import it, :mod:`annotator.jobs.retrain.enrichment` passes it in.

    Returns
    -------
    tuple of ClassEnrichment
        One per class and set, in the order of the classes, then of the sets.

    Raises
    ------
    InputError
        A class has no background, its background has a feature twice, or a marker is not
        in it.
    """
    for class_name, markers in markers_by_class.items():
        _check(class_name, markers, backgrounds.get(class_name, ()))
    everything = tuple(dict.fromkeys(chain.from_iterable(backgrounds.values())))
    found = [frozenset(members(each.features, everything)) for each in sets]
    shared = [
        [tuple(feature for feature in markers if feature in members_) for members_ in found]
        for markers in markers_by_class.values()
    ]
    table = (len(markers_by_class), len(sets))
    set_sizes = np.array(
        [
            [len(members_.intersection(backgrounds[name])) for members_ in found]
            for name in markers_by_class
        ],
        dtype=np.int64,
    ).reshape(table)
    overlaps = np.array([[len(each) for each in row] for row in shared], dtype=np.int64)
    marker_counts = np.array([len(each) for each in markers_by_class.values()], dtype=np.int64)
    sizes = np.array([len(backgrounds[name]) for name in markers_by_class], dtype=np.int64)
    p_values, q_values = _tested(overlaps.reshape(table), set_sizes, marker_counts, sizes)
    return tuple(
        ClassEnrichment(
            source=source,
            set_name=each.name,
            class_name=class_name,
            background=len(backgrounds[class_name]),
            set_size=int(set_sizes[row, column]),
            markers=len(markers),
            overlap=len(shared[row][column]),
            p_value=float(p_values[row, column]),
            q_value=float(q_values[row, column]),
            features=shared[row][column],
        )
        for row, (class_name, markers) in enumerate(markers_by_class.items())
        for column, each in enumerate(sets)
    )


def _check(class_name: str, markers: Sequence[str], background: Sequence[str]) -> None:
    known = set(background)
    if not known:
        raise InputError(
            f"the background of {class_name!r} is empty: give the features that its markers"
            " are drawn from"
        )
    if len(known) < len(background):
        raise InputError(
            f"the background of {class_name!r} names a feature twice: give each feature once"
        )
    unknown = [feature for feature in markers if feature not in known]
    if unknown:
        raise InputError(
            f"marker {unknown[0]!r} of {class_name!r} is not in its background"
            f" ({len(unknown)} such markers): give all features that could become markers"
        )


def _tested(
    overlaps: NDArray[np.int64],
    set_sizes: NDArray[np.int64],
    marker_counts: NDArray[np.int64],
    backgrounds: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return p-values and q-values, ``(classes, sets)``."""
    upper_tail = hypergeom.sf(overlaps - 1, backgrounds[:, None], set_sizes, marker_counts[:, None])
    p_values = np.clip(np.asarray(upper_tail, np.float64), 0.0, 1.0)
    q_values = np.ones_like(p_values)
    testable = (set_sizes > 0) & (marker_counts > 0)[:, None]
    if testable.any():
        q_values[testable] = false_discovery_control(p_values[testable], method="bh")
    return p_values, q_values
