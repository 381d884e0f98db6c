"""What a model kind is: one value that the rest of the program loops over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.explain.answer import KindExplainer


class KindModel(Protocol):
    """What every fitted model can do."""

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""

    def to_bytes(self) -> bytes:
        """Serialise the model in a format that cannot run code."""


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """What models of every kind are fitted on.

    Attributes
    ----------
    inputs
        Shape ``(samples, features)``, float32, finite.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``, int64.
    compared_index
        The dataset again, -1 for a sample that is left aside when datasets are compared
        (:func:`annotator.learn.models.contradicted_labels.compared_index`).
    weights
        How much each sample counts, ``(samples,)``, float64.
    classes
        Number of classes, each with a sample.
    numbers
        The number of each sample for a field of intervals, ``(samples,)``, NaN where
        only its interval is known; ``None`` for another field, or where none is known.
    limits
        Limits of the classes' intervals, ``classes + 1`` of them, with ``numbers``.
    fitted
        Kinds that were fitted before on the same part (:attr:`ModelKind.after`).
    """

    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]
    dataset_index: NDArray[np.int64]
    compared_index: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: int
    numbers: NDArray[np.float64] | None = None
    limits: tuple[float, ...] = ()
    fitted: Mapping[str, KindModel] = field(default_factory=dict)


def _no_problem(options: Any, kinds: Mapping[str, Any]) -> None:
    """Accept any options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKind:
    """One model kind.

    Attributes
    ----------
    name
        In presets, metrics, tables and files.
    title, unit
        For readers: the kind, and what its contributions count.
    options
        The dataclass of its hyper-parameters.
    fit
        ``(part, options, seed, threads)`` to a model; 0 threads for one per core.
    read
        ``(content, features, classes, options)`` to a model; raises
        :class:`~annotator.errors.ArtefactError`.
    explain
        ``(model, features, classes)`` to what explains its predictions exactly: its
        contributions add up to what :attr:`votes` says the scores are.
    votes
        Whether its scores are shares of votes; else they are log-probabilities.
    family
        Kinds of one family share one part of the answer.
    after
        Kinds that it builds on, where the preset has them.
    check
        ``(options, kinds of the preset)``; raises ValueError where they do not fit.
    number
        ``(model, inputs)`` to the predicted numbers, ``(samples,)``, ``None`` where the
        model predicts none; absent for kinds that never do.
    """

    name: str
    title: str
    unit: str
    options: type
    fit: Callable[[TrainingPart, Any, int, int], KindModel]
    read: Callable[[bytes, int, int, Any], KindModel]
    explain: Callable[[Any, int, int], KindExplainer]
    votes: bool = False
    family: str = ""
    after: tuple[str, ...] = ()
    check: Callable[[Any, Mapping[str, Any]], None] = _no_problem
    number: Callable[[Any, NDArray[np.float32]], NDArray[np.float64] | None] | None = None

    @property
    def artefact(self) -> str:
        """The file that holds the model in a release, safetensors."""
        return f"{self.name}.safetensors"
