"""The gradient-boosting model kind (XGBoost), which the paper does not use.

The objective is ``multi:softprob`` for two classes too, so that predictions and
contributions have one form. Training uses one thread, for two reasons. XGBoost sums
its histograms per thread, so one thread makes trees bit-identical on every machine.
And with the data of an atlas the threads mostly wait for one another, most of all
when folds already share the cores.

XGBoost only grows the trees; a release keeps their arrays (:mod:`annotator.learn.models.trees`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta
from scipy.special import softmax

from annotator.explain.answer import KindExplainer
from annotator.explain.trees import TREE_SHAP, boosting_explainer
from annotator.learn.models.kind import ModelKind
from annotator.learn.models.trees import GrownTree, Trees, level_by_level, read_trees, write_trees

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import NDArray

    from annotator.learn.models.kind import TrainingPart


@dataclass(frozen=True, slots=True)
class BoostingOptions:
    """Gradient-boosted trees on histograms, softmax objective.

    Attributes
    ----------
    rounds, depth, learning_rate
        Number of boosting rounds, depth of the trees and learning rate; each round grows
        one tree per class.
    top_features
        Number of features that trees may use: those with the greatest ratio of variance
        between classes to variance within them (F statistic).
    row_share, column_share
        Share of samples and of features that each tree sees.
    minimum_child_weight, l2
        Regularisation of leaves.
    bins
        Histogram bins per feature.
    """

    rounds: Annotated[int, Meta(ge=1)]
    depth: Annotated[int, Meta(ge=1)]
    learning_rate: Annotated[float, Meta(gt=0, le=1)]
    top_features: Annotated[int, Meta(ge=1)]
    row_share: Annotated[float, Meta(gt=0, le=1)]
    column_share: Annotated[float, Meta(gt=0, le=1)]
    minimum_child_weight: Annotated[float, Meta(ge=0)]
    l2: Annotated[float, Meta(ge=0)]
    bins: Annotated[int, Meta(ge=2)]


@dataclass(frozen=True, eq=False)
class BoostingModel:
    """Boosted trees on all of the field's features.

    Attributes
    ----------
    trees
        One tree per class in each round, the classes in their order; a leaf has one
        value, which is added to the margin of the class.
    start
        The initial margin of each class, float32, ``(classes,)``.
    """

    trees: Trees
    start: NDArray[np.float32]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        added = self.trees.values[self.trees.leaves(inputs), 0].astype(np.float64)
        margins = self.start + added.reshape(len(inputs), -1, len(self.start)).sum(axis=1)
        return np.asarray(softmax(margins, axis=1))

    def to_bytes(self) -> bytes:
        """Serialise the trees as safetensors."""
        return write_trees(self.trees, {"start": self.start})

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: BoostingOptions
    ) -> BoostingModel:
        """Read boosted trees and check them.

        Raises
        ------
        ArtefactError
            The bytes are damaged, or the trees do not fit the field's features and
            classes.
        """
        trees, arrays = read_trees(
            content,
            "boosting",
            trees=classes * options.rounds,
            features=features,
            outputs=1,
            further={"start": (classes,)},
        )
        return cls(trees, arrays["start"])


def telling_features(
    inputs: NDArray[np.float32], class_index: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Return the columns with the greatest F statistic between classes, ascending.

    Returns
    -------
    NDArray[int64]
        Shape ``(at most count,)``.
    """
    sizes = np.bincount(class_index)
    present = np.flatnonzero(sizes)
    means = np.stack(
        [inputs[class_index == each].mean(axis=0, dtype=np.float64) for each in present]
    )
    size = sizes[present].astype(np.float64)
    grand = inputs.mean(axis=0, dtype=np.float64)
    between = size @ (means - grand) ** 2
    total = inputs.var(axis=0, dtype=np.float64) * len(class_index)
    # A monotone function of F that is finite where nothing varies within classes.
    ratio = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return np.sort(np.argsort(-ratio, kind="stable")[:count]).astype(np.int64)


def fit_boosting(
    part: TrainingPart,
    options: BoostingOptions,
    seed: int,
    threads: int = 0,  # noqa: ARG001 - every kind is fitted with the same arguments
) -> BoostingModel:
    """Train boosted trees.

    Parameters
    ----------
    part
        The training samples.
    options
        The hyper-parameters.
    seed
        Seed of row and column sampling.
    threads
        Not used: training always uses one thread.

    Returns
    -------
    BoostingModel
    """
    import xgboost

    # XGBoost spends its time on the histograms of all features. A constant column
    # has one bin and is never split on, but keeps the numbering of the others.
    chosen = telling_features(part.inputs, part.class_index, options.top_features)
    shown = np.zeros_like(part.inputs)
    shown[:, chosen] = part.inputs[:, chosen]
    data = xgboost.QuantileDMatrix(
        shown, part.class_index, weight=part.weights, max_bin=options.bins, nthread=1
    )
    booster = xgboost.train(
        {
            "objective": "multi:softprob",
            "num_class": part.classes,
            "tree_method": "hist",
            "max_bin": options.bins,
            "max_depth": options.depth,
            "learning_rate": options.learning_rate,
            "subsample": options.row_share,
            "colsample_bytree": min(1.0, options.column_share),
            "min_child_weight": options.minimum_child_weight,
            "reg_lambda": options.l2,
            "seed": seed % 2**31,
            "nthread": 1,
            "verbosity": 0,
        },
        data,
        num_boost_round=options.rounds,
    )
    return model_of_booster(booster, part.classes)


def model_of_booster(booster: xgboost.Booster, classes: int) -> BoostingModel:
    """Convert a ``multi:softprob`` booster into a model."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    start = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32)
    grown = [_grown(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    return BoostingModel(
        level_by_level(grown), np.ascontiguousarray(np.broadcast_to(start, classes))
    )


def _grown(tree: dict[str, Any]) -> GrownTree:
    # For leaves, XGBoost stores the value in place of the condition.
    conditions = np.array(tree["split_conditions"], np.float32)
    return GrownTree(
        left=np.array(tree["left_children"], np.int64),
        right=np.array(tree["right_children"], np.int64),
        feature=np.array(tree["split_indices"], np.int64),
        # XGBoost sends values below the condition to the left, but not equal values.
        threshold=np.nextafter(conditions, np.float32(-np.inf)),
        weight=np.array(tree["sum_hessian"], np.float32),
        values=conditions[:, None],
    )


def _explain(model: BoostingModel, features: int, classes: int) -> KindExplainer:  # noqa: ARG001
    # Each class has trees of its own, so contributions to two classes are not opposite.
    return KindExplainer(TREE_SHAP, boosting_explainer(model.trees, model.start, features))


def _largest_score(model: BoostingModel, inputs: NDArray[np.float32]) -> float:  # noqa: ARG001
    return float(np.abs(model.trees.values, dtype=np.float64).sum() + np.abs(model.start).max())


BOOSTING = ModelKind(
    name="boosting",
    unit="margin",
    options=BoostingOptions,
    fit=fit_boosting,
    read=BoostingModel.from_bytes,
    explain=_explain,
    largest_score=_largest_score,
    family="trees",
)
