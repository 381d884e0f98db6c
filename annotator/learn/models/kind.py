"""The definition of a model kind: one value, so that the program can loop over all kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from annotator.domain.held_out import COMBINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.explain.answer import KindExplainer
    from annotator.gpu import Device


class KindModel(Protocol):
    """The interface of every fitted model."""

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one.

        Several threads may call this at once. Probabilities below 1e-300 count as 1e-300, and
        contributions then no longer add up; a class to which all kinds give exactly 0 counts as
        not learned. Calibration changes the scale of scores by at most exp(±4) and prefers 1
        (10 for votes).
        """

    def to_bytes(self) -> bytes:
        """Serialise the model in a format that cannot run code."""


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """The data on which models of every kind are fitted, and which none may change.

    Attributes
    ----------
    inputs
        Shape ``(samples, features)``, float32, finite.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``, int64.
    compared_index
        The dataset again, but -1 for a sample that is left out when datasets are compared
        (:func:`annotator.learn.models.contradicted_labels.compared_index`), if a kind of
        the preset compares them (:attr:`ModelKind.compares_datasets`).
    weights
        The weight of each sample, ``(samples,)``, float64, mean 1.
    classes
        Number of classes, each with a sample.
    numbers
        For a field of intervals, the number of each sample, ``(samples,)``, NaN if only
        its interval is known; ``None`` for other fields, or if no number is known.
    limits
        The limits of the classes' intervals, ``classes + 1`` of them; given with ``numbers``.
    device
        The device that networks are trained on, ``cpu`` or ``gpu``.
    fitted
        Models of other kinds already fitted on the same part (:attr:`ModelKind.after`).
    """

    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]
    dataset_index: NDArray[np.int64]
    compared_index: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: int
    numbers: NDArray[np.float64] | None = None
    limits: tuple[float, ...] = ()
    device: Device = "cpu"
    fitted: Mapping[str, KindModel] = field(default_factory=dict)


LARGEST_SCORE = 1e30
"""Scores up to this, and what is computed from them, fit in single precision."""


def _no_problem(options: Any, kinds: Mapping[str, Any]) -> None:
    """Accept any options."""


RESERVED = frozenset(
    {COMBINED, "majority", "known_fields", "logistic_regression"}
    | {"name", "kinds", "base", "features", "balance_classes", "balance_datasets", "calibrate"}
    | {"training_samples"}
)
"""Names of baselines and of other keys of presets, which no kind can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKind:
    """One model kind.

    Attributes
    ----------
    name
        The name of the kind in presets, metrics, tables and files of releases, which keep it.
    unit
        The unit of its contributions, for readers.
    options
        The frozen dataclass of its hyper-parameters: plain values that msgspec converts, with
        limits as annotations (``Annotated[float, Meta(ge=0)]``). Presets need not name
        those with defaults. They are read from the release, too: limit every one.
    fit
        Function from ``(part, options, seed, threads)`` to a model; 0 threads for one per
        core. Uses ``part.weights``; equal arguments give an equal model.
    read
        Function from ``(content, number of features, number of classes, options)`` to a model;
        raises :class:`~annotator.errors.ArtefactError`.
    explain
        Function from ``(model, number of features, number of classes)`` to an exact explainer:
        its contributions and its ``references`` add up to the scores described under
        :attr:`votes`, except for a number that is the same for all classes of a sample.
        Contributions above 0 support the class: centre those of a feature over the classes where
        that is cheap (boosted trees do not). No array may have samples x classes x features
        elements. A feature whose input is 0 contributes 0, because class similarity removes
        features by setting them to 0; of trees, ``references`` are the mean of the training
        samples instead. Several threads may ask at once. If scores are linear in the inputs,
        :class:`~annotator.explain.deep_lift.DeepLift` of one layer explains all samples at
        once, and markers are computed from all of them instead of some of each class
        (``tests/support/made_up_kind.py`` is a small example of another kind). Contributions to
        two classes that differ only in sign are computed once
        (:attr:`~annotator.explain.answer.KindExplainer.opposite`);
        :mod:`annotator.explain.checks` checks the arguments.
    votes
        Whether its scores are shares of votes, which sum to 1 over the classes; else they are
        log-probabilities. Contributions to votes must sum to 0 over the classes, because markers
        rely on it.
    family
        Kinds of one family share one weight in the combination.
    after
        Kinds that are fitted before it and that it builds on, if the preset has them.
    compares_datasets
        Function of ``options``: whether it uses :attr:`TrainingPart.compared_index`.
    check
        Function of ``(options, kinds of the preset)``; raises ValueError if they do not fit.
    number
        Function from ``(model, inputs)`` to the predicted numbers, ``(samples,)``, or
        ``None`` if the model predicts none; absent for kinds that never do. Only the first kind
        of a preset that has it is asked.
    largest_score
        Function from ``(model, largest)`` to a limit of the absolute scores of any sample;
        ``largest``, ``(features,)``, is the largest absolute value of each input. A release
        above :data:`LARGEST_SCORE` is refused. Leave it out only if :attr:`read` bounds the
        scores, as for votes.
    """

    name: str
    unit: str
    options: type
    fit: Callable[[TrainingPart, Any, int, int], KindModel]
    read: Callable[[bytes, int, int, Any], KindModel]
    explain: Callable[[Any, int, int], KindExplainer]
    votes: bool = False
    family: str = ""
    after: tuple[str, ...] = ()
    compares_datasets: Callable[[Any], bool] = lambda _options: False
    check: Callable[[Any, Mapping[str, Any]], None] = _no_problem
    number: Callable[[Any, NDArray[np.float32]], NDArray[np.float64] | None] | None = None
    largest_score: Callable[[Any, NDArray[np.float32]], float] = lambda _model, _largest: 0.0

    def __post_init__(self) -> None:
        """Refuse a reserved name; raises ValueError."""
        if self.name in RESERVED:
            raise ValueError(f"no model kind can be named {self.name}")

    @property
    def artefact(self) -> str:
        """The name of the safetensors file with the model in a release."""
        return f"{self.name}.safetensors"
