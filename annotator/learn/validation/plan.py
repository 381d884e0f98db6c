"""The plan by which the models of a field are made and validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.learn.labels.roll_up import LabelOptions

if TYPE_CHECKING:
    from annotator.learn.models.preset import Preset
    from annotator.learn.selective.policy import SelectiveOptions


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The options by which the models of a field are made and validated.

    Its plain form can be stored.

    Attributes
    ----------
    preset
        All hyper-parameters.
    labels
        The requirements for a class.
    seed
        Seed of all random choices: the same seed gives the same predictions, on any backend
        and with any number of workers.
    selective
        The requirements for answers; with ``None``, selective prediction is not measured.
    """

    preset: Preset
    labels: LabelOptions = LabelOptions()
    seed: int = 0
    selective: SelectiveOptions | None = None
