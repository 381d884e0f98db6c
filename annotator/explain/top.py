"""The few features that matter most for a prediction."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain import Contribution
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def _top_columns(sizes: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the columns of one row's largest sizes, largest first, ties leftmost first.

    All columns that tie with the last one taken are sorted too, so that which of
    them is taken never depends on how the partition happens to fall.
    """
    if count < len(sizes):
        limit = np.partition(sizes, len(sizes) - count)[len(sizes) - count]
        candidates = np.flatnonzero((sizes >= limit) & (sizes > 0.0))
    else:
        candidates = np.flatnonzero(sizes > 0.0)
    order = np.argsort(-sizes[candidates], kind="stable")[:count]
    return candidates[order].astype(np.int64)


def top_contributions(
    kind: str,
    method: str,
    class_names: Sequence[str],
    class_rank: int,
    values: NDArray[Any],
    feature_names: Sequence[str],
    expression_rpm: NDArray[Any],
    count: int,
) -> list[tuple[Contribution, ...]]:
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
    list of tuple of Contribution
        One tuple a sample, ranks from 1 on. Ties are ordered by the feature's
        name; contributions of zero are left out.

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
    by_name = np.argsort(names, kind="stable")
    sizes = np.abs(scores[:, by_name])
    result = []
    for row, row_sizes in enumerate(sizes):
        columns = by_name[_top_columns(row_sizes, count)]
        result.append(
            tuple(
                Contribution(
                    model_kind=kind,
                    method=method,
                    class_name=class_names[row],
                    class_rank=class_rank,
                    rank=rank,
                    feature=str(names[column]),
                    score=float(scores[row, column]),
                    expression=float(expression_rpm[row, column]),
                )
                for rank, column in enumerate(columns, start=1)
            )
        )
    return result


def leading_features(
    contributions: Mapping[str, Sequence[Contribution]], count: int = 5
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
        Model kind to the top contributions of the sample.
    count
        How many to name at most.

    Returns
    -------
    tuple of str
        Feature names; ties are ordered by name.
    """
    shares: defaultdict[str, float] = defaultdict(float)
    for of_one_kind in contributions.values():
        total = sum(abs(item.score) for item in of_one_kind)
        if total > 0.0:
            for item in of_one_kind:
                shares[item.feature] += item.score / total
    positive = sorted((-share, feature) for feature, share in shares.items() if share > 0.0)
    return tuple(feature for _, feature in positive[:count])
