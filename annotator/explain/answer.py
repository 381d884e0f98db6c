"""Contributions to the combination, as weighted sums of those to the model kinds.

The combination is a product of the kinds' calibrated probabilities, so its logit is a
weighted sum of the kinds' scores, which their explanations add up to: log-probabilities up
to a constant (logits, margins) or shares of votes. Each
kind's factor is its weight in the combination times its slope and the sharpness.

With pooling, contributions are also multiplied by the sample's own weight; the other samples
in the dataset account for the rest of the logit, which is a term of its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.explain.deep_lift import DeepLift
from annotator.gpu import product_on, tensorflow_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.gpu import Device, Product

WEIGHTED_SUM = "weighted_sum"


class ScoreExplainer(Protocol):
    """An explainer of the scores of one model kind."""

    def contributions(
        self, inputs: NDArray[np.float32], target_class: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the contributions to one class per sample, ``(samples, features)``."""

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the reference scores of these classes, ``(classes,)``.

        Contributions are counted from them.
        """


@dataclass(frozen=True, eq=False)
class KindExplainer:
    """The explainer of one model kind, and the method that it uses.

    Attributes
    ----------
    method
        The name of the method, for readers.
    explainer
        The explainer of the scores of a class.
    opposite
        Whether there are two classes whose contributions differ only in sign.
    """

    method: str
    explainer: ScoreExplainer
    opposite: bool = False

    def of_classes(
        self, inputs: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return contributions to several classes per sample.

        Parameters
        ----------
        inputs
            Shape ``(samples, features)``, float32.
        targets
            The requested classes of each sample, shape ``(samples, asked)``.

        Returns
        -------
        NDArray[float32]
            Shape ``(asked, samples, features)``.
        """
        asked = targets.shape[1]
        if self.opposite:
            of_first = self.explainer.contributions(inputs, np.zeros(len(inputs), np.int64))
            return of_first * (1 - 2 * targets.T[:, :, None]).astype(np.float32)
        # All classes at once: explaining few samples costs little less than many.
        found = self.explainer.contributions(np.concatenate([inputs] * asked), targets.T.ravel())
        return found.reshape(asked, *inputs.shape)


class AnswerExplainer:
    """An explainer of every model kind of a release, and of their combination.

    Parameters
    ----------
    kinds
        The explainer of each model kind.
    factors
        The factor of each model kind's contributions in the logits of the combination;
        ``None`` if the combination is not a product, so that only the kinds are explained.
    """

    def __init__(
        self, kinds: Mapping[str, KindExplainer], factors: Mapping[str, float] | None
    ) -> None:
        self.kinds = dict(kinds)
        self.factors = None if factors is None else dict(factors)

    def multiplying_by(self, product: Product) -> AnswerExplainer:
        """Return the same with another function for the products of matrices of networks."""
        kinds = {
            name: replace(kind, explainer=kind.explainer.multiplying_by(product))
            if isinstance(kind.explainer, DeepLift)
            else kind
            for name, kind in self.kinds.items()
        }
        return AnswerExplainer(kinds, self.factors)

    def contributions(
        self,
        inputs: NDArray[np.float32],
        targets: NDArray[np.int64],
        own_weights: NDArray[np.float64] | None = None,
    ) -> dict[str, tuple[str, NDArray[np.float32]]]:
        """Explain predictions.

        Parameters
        ----------
        inputs
            The inputs of the models, shape ``(samples, features)``, float32.
        targets
            The classes to explain for each sample, shape ``(samples, asked)``.
        own_weights
            The factors of the samples' own logits in pooling, ``(samples,)``; 1 by default.

        Returns
        -------
        dict
            Method and contributions, for :data:`COMBINED` and then for each model kind.
            Contributions are signed, of shape ``(asked, samples, features)``, float32.
        """

        def explain(each: KindExplainer) -> tuple[str, NDArray[np.float32]]:
            return each.method, each.of_classes(inputs, targets)

        with ThreadPoolExecutor(len(self.kinds)) as pool:  # NumPy releases the GIL
            found = dict(zip(self.kinds, pool.map(explain, self.kinds.values()), strict=True))
        if self.factors is None:
            return found
        combined = np.zeros((targets.shape[1], *inputs.shape), dtype=np.float32)
        for kind, factor in self.factors.items():
            combined += np.float32(factor) * found[kind][1]
        if own_weights is not None:
            combined *= own_weights.astype(np.float32)[None, :, None]
        return {COMBINED: (WEIGHTED_SUM, combined), **found}

    def references(self, classes: int) -> NDArray[np.float64]:
        """Return the combination's logits from which contributions are counted, ``(classes,)``.

        Raises
        ------
        ValueError
            The combination of these models is not a product.
        """
        if self.factors is None:
            raise ValueError("the combination is not a product of the kinds' probabilities")
        every = np.arange(classes)
        found = np.zeros(classes)
        for kind, factor in self.factors.items():
            found += factor * self.kinds[kind].explainer.references(every)
        return found


def explainer_on(device: Device, explainer: AnswerExplainer) -> AnswerExplainer:
    """Return an explainer whose networks are explained on a device that is there."""
    if device == "cpu":
        return explainer
    return explainer.multiplying_by(product_on(tensorflow_device(device)))
