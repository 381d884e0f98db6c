"""Which given sets of features are over-represented among the markers of a class.

The paper does this by an outside tool (section 3.4.2, figure 12); here it is the
usual one-sided hypergeometric test, with the correction of Benjamini and
Hochberg (1995, J. R. Stat. Soc. B 57:289-300).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import false_discovery_control, hypergeom

from annotator.domain import ClassEnrichment, ClassMarker
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.explain.feature_sets import FeatureSet

FindMembers = Callable[[Sequence[str], Sequence[str]], Collection[str]]
"""From the names of a set and the background to those of the background that are meant."""


def equal_names(names: Sequence[str], background: Sequence[str]) -> Collection[str]:
    """Return the features of the background that a set names just as they are named there."""
    return set(background).intersection(names)


def expressed_markers(
    markers: Iterable[ClassMarker], classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the markers that a class has rather than lacks.

    A network whose reference input is an average profile lets absence speak as well:
    a red cell is told by the miRNAs of skin that it does not have. These are markers,
    but no evidence that sets of skin belong to red cells. So a marker is kept where
    its mean expression in the class is above the median of the classes.

    Parameters
    ----------
    markers
        Of all classes, with the mean expression in each class.
    classes
        In the order of that expression.

    Returns
    -------
    dict
        Every class to its markers, best first.
    """
    place = {name: number for number, name in enumerate(classes)}
    kept: dict[str, list[str]] = {name: [] for name in classes}
    for marker in sorted(markers, key=lambda marker: marker.rank):
        if marker.expression[place[marker.class_name]] > np.median(marker.expression):
            kept[marker.class_name].append(marker.feature)
    return {name: tuple(features) for name, features in kept.items()}


def enrichments(
    source: str,
    sets: Sequence[FeatureSet],
    markers_by_class: Mapping[str, Sequence[str]],
    background: Sequence[str],
    members: FindMembers = equal_names,
) -> tuple[ClassEnrichment, ...]:
    """Test every set against the markers of every class.

    The p-value is the probability that as many of the class's markers, or more,
    would be in the set if the markers had been drawn from the background blindly.
    A set counts with those of its features that are in the background: what the
    models could not use could not become a marker.

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
        Class to its markers, best first, all of them in the background.
    background
        Features that the models could use, unique.
    members
        Says which features of the background a set has, whatever namespace its names
        are of; called once a set. By default names have to be equal. The names of
        miRNAs are known to :mod:`annotator.learn.feature_names`, which this package
        does not import, so :mod:`annotator.jobs.enrichment` passes them in.

    Returns
    -------
    tuple of ClassEnrichment
        One for each class and set, in the order of the classes, then of the sets.

    Raises
    ------
    InputError
        The background is empty or names a feature twice, or a marker is not in it.
    """
    _check(markers_by_class, background)
    found = [frozenset(members(each.features, background)) for each in sets]
    shared = [
        [tuple(feature for feature in markers if feature in members_) for members_ in found]
        for markers in markers_by_class.values()
    ]
    set_sizes = np.array([len(each) for each in found], dtype=np.int64)
    marker_counts = np.array([len(each) for each in markers_by_class.values()], dtype=np.int64)
    overlaps = np.array([[len(each) for each in row] for row in shared], dtype=np.int64)
    p_values, q_values = _tested(
        overlaps.reshape(len(marker_counts), len(set_sizes)),
        set_sizes,
        marker_counts,
        len(background),
    )
    return tuple(
        ClassEnrichment(
            source=source,
            set_name=each.name,
            class_name=class_name,
            background=len(background),
            set_size=len(found[column]),
            markers=len(markers),
            overlap=len(shared[row][column]),
            p_value=float(p_values[row, column]),
            q_value=float(q_values[row, column]),
            features=shared[row][column],
        )
        for row, (class_name, markers) in enumerate(markers_by_class.items())
        for column, each in enumerate(sets)
    )


def _check(markers_by_class: Mapping[str, Sequence[str]], background: Sequence[str]) -> None:
    known = set(background)
    if not known:
        raise InputError("the background is empty: give the features that the models could use")
    if len(known) < len(background):
        raise InputError("the background names a feature twice: give each feature once")
    for class_name, markers in markers_by_class.items():
        unknown = [feature for feature in markers if feature not in known]
        if unknown:
            raise InputError(
                f"marker {unknown[0]!r} of {class_name!r} is not in the background"
                f" ({len(unknown)} such markers): give all features that the models could use"
            )


def _tested(
    overlaps: NDArray[np.int64],
    set_sizes: NDArray[np.int64],
    marker_counts: NDArray[np.int64],
    background: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return p-values and q-values, ``(classes, sets)``."""
    upper_tail = hypergeom.sf(overlaps - 1, background, set_sizes[None, :], marker_counts[:, None])
    p_values = np.clip(np.asarray(upper_tail, np.float64), 0.0, 1.0)
    q_values = np.ones_like(p_values)
    testable = (set_sizes > 0)[None, :] & (marker_counts > 0)[:, None]
    if testable.any():
        q_values[testable] = false_discovery_control(p_values[testable], method="bh")
    return p_values, q_values
