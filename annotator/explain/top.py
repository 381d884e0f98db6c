"""The features with the largest contributions to a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.answers import ClassContributions
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ANSWERING = ("combined", "network")
"""Model kinds whose contributions are shown with an answer: the first that is available."""

ROWS_AT_ONCE = 32  # few enough for their scores to stay in the processor's cache


@lru_cache(maxsize=16)
def _places_by_name(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the place of each name in alphabetical order."""
    places = np.empty(len(names), dtype=np.int64)
    places[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    return places


def _top_columns(
    scores: NDArray[np.float32], names: tuple[str, ...], count: int
) -> NDArray[np.int64]:
    """Return the columns of each row's largest absolute scores in descending order, ties by name.

    If most columns are all zeros, they are left out first, because partitioning many equal
    values is slow.
    """
    used = np.flatnonzero(scores.any(axis=0))
    if len(used) > scores.shape[1] / 2:
        used = np.arange(scores.shape[1])
    places = _places_by_name(names)[used]
    count = min(count, len(used))
    found = np.empty((len(scores), count), dtype=np.int64)
    sizes = np.empty((len(scores), count), dtype=np.float32)
    for start in range(0, len(scores), ROWS_AT_ONCE):
        here = slice(start, start + ROWS_AT_ONCE)
        rows = scores[here]
        absolute = np.abs(rows if len(used) == scores.shape[1] else rows[:, used])
        found[here] = _largest(absolute, places, count)
        sizes[here] = np.take_along_axis(absolute, found[here], axis=1)
    order = np.lexsort((places[found], -sizes), axis=1)
    return used[np.take_along_axis(found, order, axis=1)]


def _largest(
    sizes: NDArray[np.float32], places: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return the columns of each row's largest sizes, in any order; places decide ties."""
    last = sizes.shape[1] - count
    is_candidate = sizes >= np.partition(sizes, last, axis=1)[:, last, None]
    row_of, columns = np.divmod(np.flatnonzero(is_candidate), sizes.shape[1])
    if len(columns) == len(sizes) * count:  # no row has more than it should
        return np.asarray(columns.reshape(len(sizes), count))
    candidates = np.bincount(row_of, minlength=len(sizes))
    starts = np.cumsum(candidates) - candidates
    order = np.lexsort((places[columns], -sizes[row_of, columns], row_of))
    return np.asarray(columns[order][starts[:, None] + np.arange(count)])


@dataclass(frozen=True, slots=True)
class Explained:
    """The prediction that contributions explain, and the method.

    Attributes
    ----------
    model_kind, method
        Such as ``network`` and ``deeplift``; ``combined`` for the combination.
    class_rank
        The rank of the class by probability: 1 the most probable, 2 the runner-up.
    """

    model_kind: str
    method: str
    class_rank: int


def top_contributions(
    explained: Explained,
    class_names: Sequence[str],
    values: NDArray[Any],
    feature_names: Sequence[str],
    expression_rpm: NDArray[Any],
    count: int,
) -> list[ClassContributions]:
    """Return each sample's largest contributions by absolute score.

    Parameters
    ----------
    explained
        The explained prediction, and the method.
    class_names
        The class that is explained for each sample, ``(samples,)``.
    values
        Signed contributions, shape ``(samples, features)``, float32.
    feature_names
        Names of the columns, unique.
    expression_rpm
        Expression in reads per million, shape ``(samples, features)``.
    count
        Maximum number of contributions per sample, at least 1.

    Returns
    -------
    list of ClassContributions
        One per sample. Ties are ordered by the feature's name; contributions of zero are
        left out.

    Raises
    ------
    InputError
        The shapes do not agree, ``count`` is below 1, or a score is not finite.
    """
    kind, method, class_rank = explained.model_kind, explained.method, explained.class_rank
    scores = np.asarray(values, np.float32)
    names = np.asarray(feature_names, dtype=object)
    if (
        scores.ndim != 2
        or scores.shape != (len(class_names), len(names))
        or expression_rpm.shape != scores.shape
    ):
        raise InputError(
            f"contributions {scores.shape}, expression {expression_rpm.shape}, {len(class_names)}"
            f" classes and {len(names)} feature names do not agree: give one row per sample and"
            " one column per feature"
        )
    if count < 1:
        raise InputError(f"{count} top contributions were asked for: ask for at least 1")
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(np.argmin(finite))} of the {kind} contributions has a value that is not"
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
            kind,
            method,
            class_name,
            class_rank,
            tuple(features[:some]),
            tuple(of_each[:some]),
            tuple(expression[:some]),
        )
        for class_name, some, features, of_each, expression in per_sample
    ]


def leading_columns(
    scores: NDArray[np.floating], feature_names: Sequence[str], count: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the features with the largest positive and negative contributions to one class.

    Parameters
    ----------
    scores
        Signed contributions to one class, shape ``(features,)``.
    feature_names
        Names of the features; ties are ordered by name.
    count
        Maximum number of features of either sign.

    Returns
    -------
    positive, negative : tuple of int
        Columns in descending order of absolute contribution, without contributions of zero.
    """
    order = sorted(np.flatnonzero(scores).tolist(), key=lambda i: (-scores[i], feature_names[i]))
    positive = [column for column in order if scores[column] > 0.0]
    negative = [column for column in order if scores[column] < 0.0]
    negative.sort(key=lambda i: (scores[i], feature_names[i]))
    return tuple(positive[:count]), tuple(negative[:count])


def leading_features(
    contributions: Mapping[str, ClassContributions], count: int = 5
) -> tuple[str, ...]:
    """Return the features that support one sample's answer most, in descending order.

    The contributions are those to the combination; if there are none, because it cannot
    be explained, those to the network, or else to the first model kind.

    Parameters
    ----------
    contributions
        The top contributions to a class of the sample by model kind, none of them zero.
    count
        Maximum number of features.

    Returns
    -------
    tuple of str
        Names of features with a contribution above 0; ties are ordered by name.
    """
    if not contributions:
        return ()
    kind = next((each for each in ANSWERING if each in contributions), next(iter(contributions)))
    top = contributions[kind]
    positive = sorted(
        (-score, feature)
        for feature, score in zip(top.features, top.scores, strict=True)
        if score > 0
    )
    return tuple(feature for _, feature in positive[:count])
