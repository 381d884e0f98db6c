"""The models of live releases, loaded once and kept while they are live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.explain.class_scores import class_leaves
from annotator.explain.deep_lift import DeepLift
from annotator.explain.trees import BoostingExplainer, ForestExplainer
from annotator.learn.field_model import FieldModel
from annotator.store.registry import LiveRelease, load_artefacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import psycopg
    from numpy.typing import NDArray

DEEP_LIFT = "deeplift"
TREE_SHAP = "tree_shap"
LINEAR = "coefficient"


@dataclass(frozen=True, eq=False)
class LiveModel:
    """A release's models and what explains them."""

    release: LiveRelease
    model: FieldModel
    deep_lift: DeepLift | None
    forest: ForestExplainer | None
    boosting: BoostingExplainer | None

    def contributions(
        self, inputs: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> Mapping[str, tuple[str, NDArray[np.float64]]]:
        """Explain predictions.

        Parameters
        ----------
        inputs
            What the models saw, shape ``(samples, features)``, float32.
        targets
            The classes to explain for each sample, shape ``(samples, asked)``.

        Returns
        -------
        Mapping
            Model kind to the method and the signed score of every feature for each
            class asked about, shape ``(asked, samples, features)``, float64. A kind that
            learned terms below the class is asked about the most probable of them. The
            kernel and the neighbours have no additive explanation and are left out.
        """
        model = self.model
        leaves = self._leaves(inputs, targets)

        def of_kind(
            kind: str, explain: Callable[[NDArray[np.int64]], NDArray[np.float64]]
        ) -> NDArray[np.float64]:
            outputs = leaves if leaves is not None and model.learns_leaves(kind) else targets
            return np.stack([explain(output) for output in outputs.T])

        explained: dict[str, tuple[str, NDArray[np.float64]]] = {}
        deep_lift, forest, boosting = self.deep_lift, self.forest, self.boosting
        linear = model.linear
        if deep_lift is not None:
            scores = of_kind("network", lambda output: deep_lift.contributions(inputs, output))
            explained["network"] = (DEEP_LIFT, scores)
        if forest is not None:
            scores = of_kind("forest", lambda output: forest.contributions(inputs, output)[0])
            explained["forest"] = (TREE_SHAP, scores)
        if boosting is not None:
            scores = of_kind("boosting", lambda output: boosting.contributions(inputs, output)[0])
            explained["boosting"] = (TREE_SHAP, scores)
        if linear is not None:
            scores = of_kind("linear", lambda output: linear.contributions(inputs, output))
            explained["linear"] = (LINEAR, scores)
        return explained

    def _leaves(
        self, inputs: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """Return the most probable leaf within each class asked about, as ``targets``."""
        probabilities = self.model.leaf_probabilities(inputs)
        if probabilities is None:
            return None
        leaf_of_class = class_leaves(probabilities, self.model.class_of_leaf)
        return np.take_along_axis(leaf_of_class, targets, axis=1)


class LiveModels:
    """Loads releases on first use and forgets them when they are retired."""

    def __init__(self) -> None:
        self._loaded: dict[int, LiveModel] = {}

    def load(self, connection: psycopg.Connection, release: LiveRelease) -> LiveModel:
        """Return a release's models; the artefacts are checked before they are parsed.

        Raises
        ------
        ArtefactError
            An artefact is damaged or not trusted.
        """
        if release.release_id not in self._loaded:
            model = FieldModel.from_artefacts(load_artefacts(connection, release.release_id))
            network, forest, boosting = model.network, model.forest, model.boosting
            self._loaded[release.release_id] = LiveModel(
                release,
                model,
                DeepLift(network.dense_layers()) if network is not None else None,
                ForestExplainer(forest.estimator, forest.feature_indices)
                if forest is not None
                else None,
                BoostingExplainer(boosting.booster) if boosting is not None else None,
            )
        return self._loaded[release.release_id]

    def keep_only(self, releases: Iterable[LiveRelease]) -> None:
        """Free the models of releases that are no longer live."""
        live = {release.release_id for release in releases}
        self._loaded = {
            release_id: loaded for release_id, loaded in self._loaded.items() if release_id in live
        }
