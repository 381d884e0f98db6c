"""The features that set each class apart (paper, section 2.3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.explanations import ClassMarker
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """How features support classes in models made without a part of the datasets.

    Attributes
    ----------
    features, classes
        Names of the model's own features and classes.
    scores
        Model kind to D1, shape ``(classes, features)``, float64.
    """

    features: tuple[str, ...]
    classes: tuple[str, ...]
    scores: Mapping[str, NDArray[np.float64]]

    @property
    def only(self) -> NDArray[np.float64]:
        """The scores where they are of one kind only."""
        (scores,) = self.scores.values()
        return scores


def class_markers(
    scores: NDArray[np.float64],
    kind_scores: Mapping[str, NDArray[np.float64]],
    held_out: Sequence[HeldOutScores],
    expression: NDArray[np.floating],
    feature_names: Sequence[str],
    class_names: Sequence[str],
    count: int,
) -> tuple[ClassMarker, ...]:
    """Return the features that support a class more than the others.

    Parameters
    ----------
    scores
        D1 of the answer, shape ``(classes, features)``; see
        :func:`~annotator.explain.class_scores.mean_differences`.
    kind_scores
        The same for each model kind; those of the network and the forest rank features,
        too. 0 where a forest never used a feature.
    held_out
        Scores of the answer, one kind only, for models made without a part of the datasets.
    expression
        Mean reads per million in each class, shape ``(classes, features)``.
    feature_names, class_names
        Of the columns and rows.
    count
        How many markers a class has at most, at least 1.

    Returns
    -------
    tuple of ClassMarker
        Class by class, rank by rank. Only features with a score above 0; ties are
        ordered by name. A class may have none.

    Raises
    ------
    InputError
        The shapes do not agree, or ``count`` is below 1.
    """
    shape = (len(class_names), len(feature_names))
    shapes = {np.shape(each) for each in (scores, *kind_scores.values(), expression)}
    if shapes != {shape}:
        raise InputError(
            f"scores and expression of shapes {sorted(shapes)} do not fit {shape[0]} classes"
            f" and {shape[1]} features: give one row a class and one column a feature"
        )
    if count < 1:
        raise InputError(f"{count} markers a class were asked for: ask for at least 1")
    names = np.asarray(feature_names, dtype=object)
    markers = []
    for row, class_name in enumerate(class_names):
        network_ranks, tree_ranks = (
            _ranks(kind_scores[kind][row], names) if kind in kind_scores else {}
            for kind in ("network", "forest")
        )
        others = _markers_of_others(held_out, class_name, count)
        for rank, column in enumerate(_best(scores[row], names)[:count], start=1):
            feature = str(names[column])
            markers.append(
                ClassMarker(
                    class_name=class_name,
                    rank=rank,
                    feature=feature,
                    score=float(scores[row, column]),
                    network_rank=network_ranks.get(feature),
                    tree_rank=tree_ranks.get(feature),
                    stability=_share(feature, others),
                    expression=tuple(float(value) for value in expression[:, column]),
                )
            )
    return tuple(markers)


def _descending(scores: NDArray[np.float64], names: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return all columns, the highest score first, ties by name."""
    by_name = np.argsort(names, kind="stable")
    return np.asarray(by_name[np.argsort(-scores[by_name], kind="stable")], dtype=np.int64)


def _best(scores: NDArray[np.float64], names: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the columns with a score above 0, the highest first."""
    order = _descending(scores, names)
    return order[scores[order] > 0]


def _ranks(scores: NDArray[np.float64], names: NDArray[np.object_]) -> dict[str, int]:
    """Return the places, from 1 on, of the features that were used at all."""
    order = _descending(scores, names)
    used = order[scores[order] != 0]
    return {str(names[column]): rank for rank, column in enumerate(used, start=1)}


def _markers_of_others(
    held_out: Sequence[HeldOutScores], class_name: str, count: int
) -> list[frozenset[str]]:
    """Return the markers of a class in each of the models that knew it."""
    found = []
    for model in held_out:
        if class_name in model.classes:
            names = np.asarray(model.features, dtype=object)
            best = _best(model.only[model.classes.index(class_name)], names)[:count]
            found.append(frozenset(str(name) for name in names[best]))
    return found


def _share(feature: str, markers: Sequence[frozenset[str]]) -> float | None:
    """Return the share of the models with the feature among their markers."""
    if not markers:
        return None
    return sum(feature in each for each in markers) / len(markers)
