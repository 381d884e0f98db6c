"""The gradient-boosting model kind (XGBoost); the paper has none.

The objective is ``multi:softprob`` for two classes too, so that predictions
and contributions have one form. Training uses one thread: XGBoost sums its
histograms per thread, so that this makes trees bit-identical on every machine,
and at the size of an atlas its threads mostly wait for one another, badly so
where folds already share the cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ArtefactError

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import NDArray

    from annotator.learn.options import BoostingOptions


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

        from annotator.learn.booster_file import checked_booster

        try:
            checked = checked_booster(content, features, classes, options.rounds)
        except ValueError as error:
            raise ArtefactError(f"boosting: damaged: {error}; retrain the field") from error
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(checked))
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
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: BoostingOptions,
    seed: int,
    threads: int = 0,  # noqa: ARG001 - every kind is fitted with the same arguments
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
        Not used, see above.

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
        shown, class_index, weight=weights, max_bin=options.bins, nthread=1
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
            "nthread": 1,
            "verbosity": 0,
        },
        data,
        num_boost_round=options.rounds,
    )
    booster.set_param({"nthread": 1})
    return BoostingModel(booster)
