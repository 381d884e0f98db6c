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

    _Explain = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]

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
        model, asked = self.model, targets.shape[1]
        leaves = self._leaves(inputs, targets)
        # All classes at once: explaining few samples costs little less than many.
        repeated = np.concatenate([inputs] * asked)
        explained: dict[str, tuple[str, NDArray[np.float64]]] = {}
        for kind, (method, explain) in self._explainers().items():
            outputs = leaves if leaves is not None and model.learns_leaves(kind) else targets
            scores = explain(repeated, outputs.T.ravel())
            explained[kind] = method, scores.reshape(asked, *inputs.shape)
        return explained

    def _explainers(self) -> dict[str, tuple[str, _Explain]]:
        """Return, for each kind that has one, its method and what gives the scores."""
        deep_lift, forest, boosting = self.deep_lift, self.forest, self.boosting
        found: dict[str, tuple[str, _Explain]] = {}
        if deep_lift is not None:
            found["network"] = DEEP_LIFT, deep_lift.contributions
        if forest is not None:
            found["forest"] = TREE_SHAP, lambda *asked: forest.contributions(*asked)[0]
        if boosting is not None:
            found["boosting"] = TREE_SHAP, lambda *asked: boosting.contributions(*asked)[0]
        if self.model.linear is not None:
            found["linear"] = LINEAR, self.model.linear.contributions
        return found

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
