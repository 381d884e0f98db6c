"""Predictions for held-out datasets, and what is computed from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

COMBINED = "combined"
"""The model kind of the combination of all model kinds of a release."""

CROSS_VALIDATION: Final = "cv"
"""Validation scheme: samples are assigned to folds at random."""
ONE_DATASET_OUT: Final = "one-dataset-out"
"""Validation scheme: whole datasets are held out."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One validation metric, with the numbers of samples and datasets behind it.

    Attributes
    ----------
    model_kind
        A model kind (:data:`annotator.learn.models.registry.KINDS`), ``combined`` or a baseline.
    name
        ``accuracy``, ``balanced_accuracy``, ``mean_over_datasets``,
        ``mean_over_classes``, ``class_accuracy``, ``class_precision``, ...
    class_name
        The class for a metric of one class, else ``None``.
    value
        The value of the metric.
    samples, datasets
        How many held-out samples and datasets it is computed from.
    """

    model_kind: str
    name: str
    class_name: str | None
    value: float
    samples: int
    datasets: int


TERM_METRICS = ("accuracy", "answered", "precision", "prediction_set_coverage")
"""Metrics that also exist as ``..._of_learned_terms`` and ``..._of_new_terms``: for samples
whose own term was in training, and for those of whose class only other terms were."""


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """Predictions for held-out samples.

    Attributes
    ----------
    sample_ids, dataset_ids, truth
        Shape ``(samples,)``, dtype object (str); ``truth`` is a class.
    folds
        The fold that each sample was held out in, int64.
    classes
        The class of each column.
    probabilities
        Per model kind (and ``"combined"``) an array ``(samples, classes)``,
        float64; the rows sum to one. A class that was not in training has 0.
    novelty
        Raw score of how unlike the training samples each sample is, ``(samples,)``.
    numbers
        For a field of intervals: the true number, the predicted one, and the mean of the
        training samples with the same known fields, ``(samples, 3)``.
    """

    sample_ids: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    truth: NDArray[np.object_]
    folds: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    novelty: NDArray[np.float64] | None = None
    numbers: NDArray[np.float64] | None = None

    @cached_property
    def truth_index(self) -> NDArray[np.int64]:
        """Column of the true class of each sample, ``(samples,)``."""
        import numpy as np

        column = {name: position for position, name in enumerate(self.classes)}
        return np.array([column[name] for name in self.truth.tolist()], dtype=np.int64)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> HeldOutPredictions:
        """Return the predictions for some of the samples, by row numbers or a mask."""
        return replace(
            self,
            sample_ids=self.sample_ids[rows],
            dataset_ids=self.dataset_ids[rows],
            truth=self.truth[rows],
            folds=self.folds[rows],
            probabilities={kind: p[rows] for kind, p in self.probabilities.items()},
            novelty=None if self.novelty is None else self.novelty[rows],
            numbers=None if self.numbers is None else self.numbers[rows],
        )

    def predicted(self, kind: str) -> NDArray[np.object_]:
        """Return the most probable class of each sample, the first of equals, ``(samples,)``."""
        import numpy as np

        names = np.array(self.classes, dtype=object)
        return np.asarray(names[self.probabilities[kind].argmax(axis=1)])

    def correct(self, kind: str) -> NDArray[np.bool_]:
        """Return whether the most probable class of each sample is true, ``(samples,)``."""
        import numpy as np

        return np.asarray(self.predicted(kind) == self.truth, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of a curve, with the number of samples it is computed from."""

    x: float
    y: float
    samples: int


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a validation.

    Attributes
    ----------
    name
        ``reliability`` (x: mean confidence of a bin, y: its accuracy) or
        ``risk_coverage`` (x: share of samples answered, y: share of the answers
        that are wrong).
    model_kind
        The model kind whose probabilities it is computed from.
    points
        The points, in ascending x.
    """

    name: str
    model_kind: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class LabelSuspicion:
    """One existing label that is contradicted by models fitted without its dataset."""

    sample_id: str
    label: str
    predicted: str
    suspicion: float
    rank: int
    evidence: Mapping[str, Any]
