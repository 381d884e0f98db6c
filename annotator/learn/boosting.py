"""The gradient-boosting model kind (XGBoost); the paper has none.

The objective is ``multi:softprob`` for two classes too, so that predictions
and contributions have one form. The histograms of XGBoost are summed per
thread: bit-identical trees need the same number of threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ArtefactError

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import NDArray

    from annotator.learn.presets import BoostingOptions


@dataclass(frozen=True, eq=False)
class BoostingModel:
    """A trained booster on all of the field's features.

    Attributes
    ----------
    booster
        The ``xgboost.Booster``.
    """

    booster: xgboost.Booster

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        import xgboost

        single = self.booster.predict(xgboost.DMatrix(inputs)).astype(np.float64)
        return np.asarray(single / single.sum(axis=1, keepdims=True))

    def to_bytes(self) -> bytes:
        """Serialise the booster as UBJSON."""
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: BoostingOptions
    ) -> BoostingModel:
        """Read a booster and check it.

        Raises
        ------
        ArtefactError
            The bytes are no model of XGBoost, or one that does not fit the
            field's features and classes.
        """
        import xgboost

        # XGBoost aborts the process on some other first bytes.
        if not content.startswith(b"{L"):
            raise ArtefactError("boosting: damaged, not UBJSON; retrain the field")
        try:
            booster = xgboost.Booster({"nthread": 1})
            booster.load_model(bytearray(content))
            learner = json.loads(booster.save_config())["learner"]
            found = (
                booster.num_features(),
                int(learner["learner_model_param"]["num_class"]),
                learner["objective"]["name"],
                booster.num_boosted_rounds(),
            )
        except (xgboost.core.XGBoostError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ArtefactError(f"boosting: damaged, not readable: {reason}; retrain") from error
        expected = (features, classes, "multi:softprob", options.rounds)
        if found != expected:
            raise ArtefactError(
                f"boosting: features, classes, objective, rounds are {found}, not {expected};"
                " retrain the field"
            )
        return cls(booster)


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
    means = np.stack([inputs[class_index == each].mean(axis=0, dtype=np.float64) for each in present])
    size = sizes[present].astype(np.float64)
    grand = inputs.mean(axis=0, dtype=np.float64)
    between = size @ (means - grand) ** 2
    total = inputs.var(axis=0, dtype=np.float64) * len(class_index)
    # A monotone function of F that is finite where nothing varies within classes.
    ratio = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return np.sort(np.argsort(-ratio, kind="stable")[:count]).astype(np.int64)


def fit_boosting(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: BoostingOptions,
    seed: int,
    threads: int = 0,
) -> BoostingModel:
    """Train boosted trees.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index
        The class of each sample, ``(samples,)``.
    weights
        How much each sample counts, ``(samples,)``.
    classes
        Number of classes.
    options
        Rounds, depth and so on.
    seed
        Of row and column sampling.
    threads
        For XGBoost, 0 for one a core.

    Returns
    -------
    BoostingModel
    """
    import xgboost

    # XGBoost's time is that of its histograms over all features. A constant
    # column has one bin and is never split on, and keeps the others' numbers.
    chosen = telling_features(inputs, class_index, options.top_features)
    shown = np.zeros_like(inputs)
    shown[:, chosen] = inputs[:, chosen]
    data = xgboost.QuantileDMatrix(
        shown, class_index, weight=weights, max_bin=options.bins, nthread=threads or None
    )
    booster = xgboost.train(
        {
            "objective": "multi:softprob",
            "num_class": classes,
            "tree_method": "hist",
            "max_bin": options.bins,
            "max_depth": options.depth,
            "learning_rate": options.learning_rate,
            "subsample": options.row_share,
            "colsample_bytree": min(1.0, options.column_share),
            "min_child_weight": options.minimum_child_weight,
            "reg_lambda": options.l2,
            "seed": seed % 2**31,
            "nthread": threads,
            "verbosity": 0,
        },
        data,
        num_boost_round=options.rounds,
    )
    booster.set_param({"nthread": 1})
    return BoostingModel(booster)
