"""The models of a release of one field, and its answers.

A :class:`FieldModel` holds the features, the model kinds, their calibration
and what is needed to say how far a sample is from what was learned.
:mod:`annotator.learn.release.files` stores it and reads it back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.explain.answer import AnswerExplainer
from annotator.learn.features.matrix import (
    AlignedProfiles,
    FittedFeatures,
    align_profiles,
    aligned_counts,
    reads_per_million,
)
from annotator.learn.models.network import NETWORK, NetworkModel
from annotator.learn.models.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles
    from annotator.learn.models.kind import KindModel
    from annotator.learn.models.preset import Preset
    from annotator.learn.selective.calibration import Calibration
    from annotator.learn.selective.novelty import Novelty
    from annotator.learn.selective.policy import Trust


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of samples, and what other samples contribute to the combined ones.

    Attributes
    ----------
    probabilities
        Each model kind and ``"combined"`` to ``(samples, classes)``.
    own_weights, others
        As in :class:`annotator.learn.selective.pooling.Pooled`; ``None`` where every sample stands
        alone.
    """

    probabilities: Mapping[str, NDArray[np.float64]]
    own_weights: NDArray[np.float64] | None = None
    others: NDArray[np.float64] | None = None

    def first(self, samples: int) -> Answers:
        """Return those of the first samples."""
        return Answers(
            {kind: p[:samples] for kind, p in self.probabilities.items()},
            None if self.own_weights is None else self.own_weights[:samples],
            None if self.others is None else self.others[:samples],
        )


@dataclass(frozen=True, eq=False)
class FieldModel:
    """The models of one field.

    Attributes
    ----------
    field
        Its name.
    classes
        The class of each column of the probabilities.
    fitted_features
        The features and their scaling.
    preset
        How the models were made.
    models
        Model kind to its fitted model.
    lineages
        Class to its lineage: the class and its ontology ancestors.
    usual_features
        The median number of the model's features that a training sample expresses.
    novelty_reference
        What is usual among the training samples.
    seed
        That everything random came from.
    calibration
        ``None``: probabilities are used as they are.
    trust
        When to answer, with which prediction set; ``None``: always, without a set.
    number_half_width
        For a field of intervals: the predicted number is given with an interval of so
        much on either side; ``None`` where numbers are not good enough to be given.
    """

    field: str
    classes: tuple[str, ...]
    fitted_features: FittedFeatures
    preset: Preset
    models: Mapping[str, KindModel]
    lineages: Mapping[str, tuple[str, ...]]
    usual_features: float
    novelty_reference: Novelty
    seed: int
    calibration: Calibration | None = None
    trust: Trust | None = None
    number_half_width: float | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The models' features, in the order of their inputs."""
        return self.fitted_features.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """The model kinds it has, in a fixed order."""
        return tuple(kind for kind in KINDS if kind in self.models)

    @property
    def weights(self) -> dict[str, float]:
        """The share of each model kind in the combined answer; they sum to one."""
        if self.calibration is None:
            return {kind: 1 / len(self.kinds) for kind in self.kinds}
        return dict(self.calibration.weights)

    @property
    def network(self) -> NetworkModel | None:
        """The network, where the preset has one."""
        model = self.models.get(NETWORK.name)
        return model if isinstance(model, NetworkModel) else None

    def explainer(self) -> AnswerExplainer:
        """Return what explains the model kinds and the answer they make.

        Raises
        ------
        ArtefactError
            A model cannot be explained: its parts do not fit one another.
        """
        features, classes = len(self.features), len(self.classes)
        return AnswerExplainer(
            {
                kind: KINDS[kind].explain(model, features, classes)
                for kind, model in self.models.items()
            },
            None if self.calibration is None else self.calibration.factors,
        )

    def inputs(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return the matrix that all models see, ``(samples, features)``, float32."""
        return self.fitted_features.transform(profiles)

    def expression(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return the model's features in reads per million, ``(samples, features)``."""
        return reads_per_million(profiles, self.features)

    def predict(
        self, profiles: Profiles, dataset_ids: NDArray[np.object_] | None = None
    ) -> Mapping[str, NDArray[np.float64]]:
        """Predict samples.

        Parameters
        ----------
        profiles
            May have other features, in another order: they are aligned by
            name, and absent ones count as 0 reads.
        dataset_ids
            The dataset of each sample: where the release pools, samples of one dataset
            speak for one another. Without it every sample stands alone.

        Returns
        -------
        dict
            Each model kind and ``"combined"`` to probabilities
            ``(samples, classes)``, float64, calibrated where the model has a
            calibration; else "combined" is the mean of the kinds.
        """
        return self.calibrated(self.predict_raw(profiles), dataset_ids)

    def predict_inputs(self, inputs: NDArray[np.float32]) -> Mapping[str, NDArray[np.float64]]:
        """Do as :meth:`predict`, from what :meth:`inputs` returned."""
        return self.calibrated(self.predict_raw_inputs(inputs))

    def calibrated(
        self,
        raw: Mapping[str, NDArray[np.float64]],
        dataset_ids: NDArray[np.object_] | None = None,
        contributing: NDArray[np.bool_] | None = None,
    ) -> Mapping[str, NDArray[np.float64]]:
        """Do as :meth:`predict`, from what :meth:`predict_raw` returned.

        ``contributing`` are those of :meth:`annotator.learn.selective.pooling.Pooling.apply`.
        """
        return self.answers(raw, dataset_ids, contributing).probabilities

    def answers(
        self,
        raw: Mapping[str, NDArray[np.float64]],
        dataset_ids: NDArray[np.object_] | None = None,
        contributing: NDArray[np.bool_] | None = None,
    ) -> Answers:
        """Do as :meth:`calibrated`, and return what the other samples contribute, too."""
        if self.calibration is None:
            return Answers({**raw, COMBINED: np.mean(list(raw.values()), axis=0)})
        calibrated, alone = self.calibration.apply(raw)
        if dataset_ids is None:
            return Answers({**calibrated, COMBINED: alone})
        pooled = self.calibration.pooling.pool(alone, dataset_ids, contributing)
        return Answers(
            {**calibrated, COMBINED: pooled.probabilities}, pooled.own_weights, pooled.others
        )

    @property
    def pools(self) -> bool:
        """Whether the other samples of a dataset count."""
        return self.calibration is not None and self.calibration.pooling.strength > 0

    def predict_raw(self, profiles: Profiles) -> dict[str, NDArray[np.float64]]:
        """Return each model kind's uncalibrated probabilities, without "combined"."""
        return self.predict_raw_inputs(self.inputs(profiles))

    def predict_raw_inputs(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Do as :meth:`predict_raw`, from what :meth:`inputs` returned."""
        with ThreadPoolExecutor(len(self.kinds)) as pool:  # NumPy lets them run side by side
            return dict(
                zip(
                    self.kinds,
                    pool.map(lambda kind: self.models[kind].predict(inputs), self.kinds),
                    strict=True,
                )
            )

    def numbers(self, inputs: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Return the predicted number of each sample, ``None`` where no kind predicts one."""
        for kind, model in self.models.items():
            predict = KINDS[kind].number
            found = None if predict is None else predict(model, inputs)
            if found is not None:
                return found
        return None

    def known_features(self, profiles: Profiles) -> NDArray[np.float64]:
        """Return how many of the model's features each sample expresses.

        Relative to the median among the training samples: 1 is usual, near 0
        is something else than was learned. Shape ``(samples,)``.
        """
        return self.known_share(expressed_features(profiles, self.features))

    def known_share(self, expressed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Do as :meth:`known_features`, from how many of the features each sample expresses."""
        return expressed / max(self.usual_features, 1.0)

    def aligned(self, profiles: Profiles) -> AlignedProfiles:
        """Align profiles with the model's features once, for all that is made from them.

        ``inputs``, ``expression``, ``known_features`` and ``novelty_scores`` each align by
        themselves; :meth:`aligned_inputs`, ``rpm`` itself, :meth:`known_share` and
        :meth:`aligned_novelty` return the same from what this returned.
        """
        return align_profiles(profiles, self.features)

    def aligned_inputs(self, aligned: AlignedProfiles) -> NDArray[np.float32]:
        """Do as :meth:`inputs`, from what :meth:`aligned` returned."""
        return self.fitted_features.inputs_of_rpm(aligned.rpm)

    def aligned_novelty(
        self, aligned: AlignedProfiles, raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Do as :meth:`novelty_scores`, from what :meth:`aligned` returned."""
        return self._novelty(_log_rpm(aligned.rpm), raw)

    def novelty_scores(
        self, profiles: Profiles, raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return how unlike the training samples each sample is, larger is more, ``(samples,)``.

        See :mod:`annotator.learn.selective.novelty`; ``raw`` is what :meth:`predict_raw` returned.
        """
        return self._novelty(log_rpm(profiles, self.features), raw)

    def _novelty(
        self, logarithms: NDArray[np.float32], raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        return self.novelty_reference.score(logarithms, np.mean(list(raw.values()), axis=0))


def log_rpm(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return log2(1 + reads per million) of the named features, ``(samples, features)``."""
    return _log_rpm(reads_per_million(profiles, names))


def _log_rpm(rpm: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.log2(1 + rpm), dtype=np.float32)


def expressed_features(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return how many of the named features each sample has reads of, ``(samples,)``."""
    return np.asarray(np.count_nonzero(aligned_counts(profiles, names), axis=1), dtype=np.float64)
