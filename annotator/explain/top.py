"""The few features that matter most for a prediction."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain import ClassContributions
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ROWS_AT_ONCE = 8  # so that what is chosen from stays in the processor's cache


@lru_cache(maxsize=16)
def _places_by_name(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the place of each name in the alphabet."""
    places = np.empty(len(names), dtype=np.int64)
    places[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return places


def _top_columns(
    scores: NDArray[np.float64], names: tuple[str, ...], count: int
) -> NDArray[np.int64]:
    """Return the columns of each row's loudest scores, loudest first, ties by name.

    Columns of zeros are left out first: partitions of many equal values are slow.
    """
    used = np.flatnonzero(scores.any(axis=0))
    places = _places_by_name(names)[used]
    count = min(count, len(used))
    found = [np.zeros((0, count), np.int64)]
    for start in range(0, len(scores), ROWS_AT_ONCE):
        rows = scores[start : start + ROWS_AT_ONCE]
        sizes = np.abs(rows if len(used) == scores.shape[1] else rows[:, used])
        found.append(used[_loudest(sizes, places, count)])
    return np.concatenate(found)


def _loudest(
    sizes: NDArray[np.float64], places: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return the columns of each row's largest sizes, largest first, ties by place.

    Which of the columns that tie with the last one are taken never depends on how
    the partition happens to fall.
    """
    found = np.argpartition(sizes, sizes.shape[1] - count, axis=1)[:, sizes.shape[1] - count :]
    limits = np.take_along_axis(sizes, found, axis=1).min(axis=1, keepdims=True)
    for row in np.flatnonzero(np.count_nonzero(sizes >= limits, axis=1) > count):
        candidates = np.flatnonzero(sizes[row] >= limits[row])
        order = np.lexsort((places[candidates], -sizes[row, candidates]))
        found[row] = candidates[order[:count]]
    order = np.lexsort((places[found], -np.take_along_axis(sizes, found, axis=1)), axis=1)
    return np.take_along_axis(found, order, axis=1)


def top_contributions(
    kind: str,
    method: str,
    class_names: Sequence[str],
    class_rank: int,
    values: NDArray[Any],
    feature_names: Sequence[str],
    expression_rpm: NDArray[Any],
    count: int,
) -> list[ClassContributions]:
    """Return each sample's largest contributions by absolute score.

    Parameters
    ----------
    kind
        Model kind, ``network``, ``forest`` or ``boosting``.
    method
        How the scores were made, such as ``deeplift`` or ``tree_shap``.
    class_names, class_rank
        The class that each sample's scores are of, ``(samples,)``, and how probable it
        was for the sample: 1 the winner, 2 the runner-up.
    values
        Signed contributions, shape ``(samples, features)``.
    feature_names
        Names of the columns, unique.
    expression_rpm
        Expression in reads per million, shape ``(samples, features)``.
    count
        How many to return for a sample at most, at least 1.

    Returns
    -------
    list of ClassContributions
        One a sample. Ties are ordered by the feature's name; contributions of zero are
        left out.

    Raises
    ------
    InputError
        The shapes do not agree, ``count`` is below 1, or a score is not finite.
    """
    scores = np.asarray(values, np.float64)
    names = np.asarray(feature_names, dtype=object)
    if (
        scores.ndim != 2
        or scores.shape != (len(class_names), len(names))
        or expression_rpm.shape != scores.shape
    ):
        raise InputError(
            f"contributions {scores.shape}, expression {expression_rpm.shape}, {len(class_names)}"
            f" classes and {len(names)} feature names do not agree: give one row a sample and one"
            " column a feature"
        )
    if count < 1:
        raise InputError(f"{count} top contributions were asked for: ask for at least 1")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(np.argmin(finite))} of the {kind} contributions holds a value that is not"
            " finite: leave such samples out"
        )
    if not scores.any():
        return [ClassContributions(kind, method, c, class_rank, (), (), ()) for c in class_names]
    columns = _top_columns(scores, tuple(feature_names), count)
    largest = np.take_along_axis(scores, columns, axis=1)
    per_sample = zip(
        class_names,
        np.count_nonzero(largest, axis=1).tolist(),  # zeros come last
        names[columns].tolist(),
        largest.tolist(),
        np.take_along_axis(expression_rpm, columns, axis=1).tolist(),
        strict=True,
    )
    return [
        ClassContributions(
            kind, method, class_name, class_rank, *(tuple(each[:some]) for each in of_features)
        )
        for class_name, some, *of_features in per_sample
    ]


def leading_columns(
    scores: NDArray[np.float64], feature_names: Sequence[str], count: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the features that speak most for and most against one class.

    Parameters
    ----------
    scores
        Signed contributions to one class, shape ``(features,)``.
    feature_names
        Their names; ties are ordered by name.
    count
        How many at most on either side.

    Returns
    -------
    speak_for, speak_against : tuple of int
        Columns, strongest first; none of a score of zero.
    """
    order = sorted(np.flatnonzero(scores).tolist(), key=lambda i: (-scores[i], feature_names[i]))
    speak_for = [column for column in order if scores[column] > 0.0]
    against = [column for column in order if scores[column] < 0.0]
    against.sort(key=lambda i: (scores[i], feature_names[i]))
    return tuple(speak_for[:count]), tuple(against[:count])


def leading_features(
    contributions: Mapping[str, ClassContributions], count: int = 5
) -> tuple[str, ...]:
    """Return the features that speak for one sample's prediction, strongest first.

    Scores of different model kinds have different units, so each is taken as a
    share of its kind's sum of absolute scores. The signed shares of a feature
    are added over the kinds, and only features whose sum is positive are named:
    what one kind holds for the class and another as firmly against it leads
    nowhere.

    Parameters
    ----------
    contributions
        Model kind to the top contributions to a class of the sample, none of them zero.
    count
        How many to name at most.

    Returns
    -------
    tuple of str
        Feature names; ties are ordered by name.
    """
    shares: defaultdict[str, float] = defaultdict(float)
    for of_one_kind in contributions.values():
        total = sum(map(abs, of_one_kind.scores))
        for feature, score in zip(of_one_kind.features, of_one_kind.scores, strict=True):
            shares[feature] += score / total
    positive = sorted((-share, feature) for feature, share in shares.items() if share > 0.0)
    return tuple(feature for _, feature in positive[:count])
