"""Contributions to the answer itself: the weighted sum of those of the model kinds.

The answer is a product of the kinds' calibrated probabilities, so its logit is a weighted
sum of what each kind's explanation adds up to: a logit of the network and of the linear
part, a share of the forest's votes, a margin of the boosted trees. Each kind's weight is
its share of the answer times its calibration.

Where the other samples of the dataset count, too, the features account for a part of the
logit and the other samples for the rest, which is a term of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

COMBINED = "combined"
WEIGHTED_SUM = "weighted_sum"


class ScoreExplainer(Protocol):
    """What explains the scores of one model kind."""

    def contributions(
        self, inputs: NDArray[np.float32], target_class: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the contributions to a class of each sample, ``(samples, features)``."""

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what contributions to these classes are counted from, ``(classes,)``."""


@dataclass(frozen=True, eq=False)
class KindExplainer:
    """What explains one model kind, and how its contributions are made."""

    method: str
    scores: ScoreExplainer


class AnswerExplainer:
    """Explains every model kind of a release, and the answer they make.

    Parameters
    ----------
    kinds
        Model kind to what explains it.
    factors
        Model kind to what its contributions are multiplied by in the logits of the answer;
        ``None`` for models whose answer is not a product, so that only the kinds are explained.
    """

    def __init__(
        self, kinds: Mapping[str, KindExplainer], factors: Mapping[str, float] | None
    ) -> None:
        self.kinds = dict(kinds)
        self.factors = None if factors is None else dict(factors)

    def contributions(
        self,
        inputs: NDArray[np.float32],
        targets: NDArray[np.int64],
        own_weights: NDArray[np.float64] | None = None,
    ) -> dict[str, tuple[str, NDArray[np.float64]]]:
        """Explain predictions.

        Parameters
        ----------
        inputs
            What the models saw, shape ``(samples, features)``, float32.
        targets
            The classes to explain for each sample, shape ``(samples, asked)``.
        own_weights
            What the sample's own logits are multiplied by where the other samples of its
            dataset count, ``(samples,)``; 1 by default.

        Returns
        -------
        dict
            :data:`COMBINED`, then each model kind, to the method and the signed score of
            every feature for each class asked about, shape ``(asked, samples, features)``,
            float64.
        """
        asked = targets.shape[1]
        # All classes at once: explaining few samples costs little less than many.
        repeated = np.concatenate([inputs] * asked)
        classes = targets.T.ravel()
        found = {
            kind: (
                each.method,
                each.scores.contributions(repeated, classes).reshape(asked, *inputs.shape),
            )
            for kind, each in self.kinds.items()
        }
        if self.factors is None:
            return found
        combined = np.zeros((asked, *inputs.shape))
        for kind, factor in self.factors.items():
            combined += factor * found[kind][1]
        if own_weights is not None:
            combined *= own_weights[None, :, None]
        return {COMBINED: (WEIGHTED_SUM, combined), **found}

    def references(self, classes: int) -> NDArray[np.float64]:
        """Return the logit of the answer that contributions are counted from, ``(classes,)``.

        Raises
        ------
        ValueError
            The answer of these models is not a product.
        """
        if self.factors is None:
            raise ValueError("the answer is not a product of the kinds' probabilities")
        every = np.arange(classes)
        found = np.zeros(classes)
        for kind, factor in self.factors.items():
            found += factor * self.kinds[kind].scores.references(every)
        return found


def centred_log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logarithms of probabilities less their mean over the classes, row by row."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))
