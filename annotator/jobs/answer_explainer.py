"""What explains the models of a release, and the answer they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.explain.answer import AnswerExplainer, KindExplainer
from annotator.explain.deep_lift import DeepLift
from annotator.explain.trees import boosting_explainer, forest_explainer

if TYPE_CHECKING:
    from annotator.learn.release.field_model import FieldModel

DEEP_LIFT = "deeplift"
TREE_SHAP = "tree_shap"
LINEAR = "coefficient"


def answer_explainer(model: FieldModel) -> AnswerExplainer:
    """Return what explains the models of a field and their combination.

    Raises
    ------
    ArtefactError
        A model cannot be explained: its parts do not fit one another.
    """
    kinds: dict[str, KindExplainer] = {}
    features, two = len(model.features), len(model.classes) == 2
    network, forest, boosting, linear = model.network, model.forest, model.boosting, model.linear
    if network is not None:
        kinds["network"] = KindExplainer(
            DEEP_LIFT, DeepLift(network.dense_layers(), network.wide), opposite=two
        )
    if forest is not None:
        kinds["forest"] = KindExplainer(
            TREE_SHAP, forest_explainer(forest.trees, features), opposite=two
        )
    if boosting is not None:  # each class has trees of its own
        kinds["boosting"] = KindExplainer(
            TREE_SHAP, boosting_explainer(boosting.trees, boosting.start, features)
        )
    if linear is not None:
        method = LINEAR if linear.units is None else DEEP_LIFT
        kinds["linear"] = KindExplainer(method, DeepLift(linear.dense_layers()), opposite=two)
    factors = None if model.calibration is None else model.calibration.factors
    return AnswerExplainer(kinds, factors)
