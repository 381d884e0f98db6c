"""How the models of a field are made and validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.learn.labels.roll_up import LabelOptions

if TYPE_CHECKING:
    from annotator.learn.models.preset import Preset
    from annotator.learn.selective.policy import TrustOptions


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """How the models of a field are made and validated; its plain form can be stored.

    Attributes
    ----------
    preset
        Every hyper-parameter.
    labels
        What a class needs.
    seed
        Of everything random: the same seed gives the same predictions, on any backend
        and any number of workers.
    selective
        What is asked of the answers; ``None``: it is not measured when samples would be
        answered and how right the answers are.
    """

    preset: Preset
    labels: LabelOptions = LabelOptions()
    seed: int = 0
    selective: TrustOptions | None = None
