"""Which given sets of features are over-represented among the markers of a class.

The paper does this by an outside tool (section 3.4.2, figure 12); here it is the
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
"""From the names of a set and known features to those of the features that are meant."""


def equal_names(names: Sequence[str], background: Sequence[str]) -> Collection[str]:
    """Return the features of the background that a set names just as they are named there."""
    return set(background).intersection(names)


def expressed_features(
    expression: NDArray[np.floating], classes: Sequence[str], features: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the features that a class has rather than lacks.

    A network whose reference input is an average profile lets absence speak as well:
    a red cell is told by the miRNAs of skin that it does not have. These are markers,
    but no evidence that sets of skin belong to red cells. So a class is tested with the
    features whose mean expression in it is above the median of the classes: both its
    markers and what they are drawn from, since a class's own features are more often
    in well-known sets whatever the network made of them.

    Parameters
    ----------
    expression
        Mean expression, shape ``(classes, features)``.
    classes, features
        Names of its rows and columns.

    Returns
    -------
    dict
        Every class to its features, in their order.
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

    The p-value is the probability that as many of the class's markers, or more,
    would be in the set if the markers had been drawn from the class's background blindly.
    A set counts with those of its features that are in that background: what could not
    become a marker of the class says nothing.

    A set without a feature in the background, and a class without markers, cannot
    be tested: they have ``p_value`` and ``q_value`` 1 and do not count among the
    tests that the q-values are corrected for.

    Parameters
    ----------
    source
        Where the sets come from.
    sets
        Names unique within the source.
    markers_by_class
        Class to its markers, best first, all of them in the class's background.
    backgrounds
        Class to the features that its markers come from, unique.
    members
        Says which features of all backgrounds a set has, whatever namespace its names
        are of; called once a set. By default names have to be equal. The names of
        miRNAs are known to :mod:`annotator.learn.features.matching`, which this package
        does not import, so :mod:`annotator.jobs.retrain.enrichment` passes them in.

    Returns
    -------
    tuple of ClassEnrichment
        One for each class and set, in the order of the classes, then of the sets.

    Raises
    ------
    InputError
        A class has no background or one that names a feature twice, or a marker is not
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
            " could come from"
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
