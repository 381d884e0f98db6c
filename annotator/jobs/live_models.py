"""The models of live releases, loaded once and kept while they are live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.explain.deep_lift import DeepLift
from annotator.explain.trees import ForestExplainer, boosting_contributions
from annotator.learn.field_model import FieldModel
from annotator.store.registry import LiveRelease, load_artefacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    import numpy as np
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

    def contributions(
        self, inputs: NDArray[np.float32], target_class: NDArray[np.int64]
    ) -> Mapping[str, tuple[str, NDArray[np.float64]]]:
        """Explain predictions.

        Parameters
        ----------
        inputs
            What the models saw, shape ``(samples, features)``, float32.
        target_class
            The class to explain for each sample, shape ``(samples,)``.

        Returns
        -------
        Mapping
            Model kind to the method and the signed score of every feature,
            shape ``(samples, features)``, float64. A kind that learned terms below the
            class is asked about the most probable of them. The kernel and the
            neighbours have no additive explanation and are left out.
        """
        model = self.model
        leaves = model.leaves_within(inputs, target_class)

        def target(kind: str) -> NDArray[np.int64]:
            return leaves if model.learns_leaves(kind) else target_class

        explained: dict[str, tuple[str, NDArray[np.float64]]] = {}
        if self.deep_lift is not None:
            scores = self.deep_lift.contributions(inputs, target("network"))
            explained["network"] = (DEEP_LIFT, scores)
        if self.forest is not None:
            scores, _ = self.forest.contributions(inputs, target("forest"))
            explained["forest"] = (TREE_SHAP, scores)
        if model.boosting is not None:
            scores, _ = boosting_contributions(model.boosting.booster, inputs, target("boosting"))
            explained["boosting"] = (TREE_SHAP, scores)
        if model.linear is not None:
            scores = model.linear.contributions(inputs, target("linear"))
            explained["linear"] = (LINEAR, scores)
        return explained


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
            network, forest = model.network, model.forest
            self._loaded[release.release_id] = LiveModel(
                release,
                model,
                DeepLift(network.dense_layers()) if network is not None else None,
                ForestExplainer(forest.estimator, forest.feature_indices)
                if forest is not None
                else None,
            )
        return self._loaded[release.release_id]

    def keep_only(self, releases: Iterable[LiveRelease]) -> None:
        """Free the models of releases that are no longer live."""
        live = {release.release_id for release in releases}
        for release_id in [loaded for loaded in self._loaded if loaded not in live]:
            gone = self._loaded.pop(release_id)
            if gone.deep_lift is not None:
                gone.deep_lift.close()

    def __enter__(self) -> LiveModels:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.keep_only(())
