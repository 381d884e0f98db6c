"""The models of a release of one field, and its answers.

A :class:`FieldModel` has the features, the fitted model kinds, their calibration
and the novelty reference. :mod:`annotator.learn.release.files` stores it and reads
it back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.domain.organisms import DEFAULT_ORGANISM
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
    from annotator.learn.selective.policy import SelectivePolicy


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities for samples, and the contributions of other samples to the combination.

    Attributes
    ----------
    probabilities
        The probabilities of each model kind and ``"combined"``, ``(samples, classes)``.
    own_weights, others
        As in :class:`annotator.learn.selective.pooling.Pooled`; ``None`` without pooling.
    """

    probabilities: Mapping[str, NDArray[np.float64]]
    own_weights: NDArray[np.float64] | None = None
    others: NDArray[np.float64] | None = None

    def first(self, samples: int) -> Answers:
        """Return the answers for the first samples."""
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
        The name of the field.
    classes
        The class of each column of the probabilities.
    fitted_features
        The features and their scaling.
    preset
        The options by which the models were made.
    models
        The fitted model of each model kind.
    lineages
        The lineage of each class: the class and its ontology ancestors.
    usual_features
        The median number of the model's features that a training sample expresses.
    novelty_reference
        The location of the training samples, which novelty is measured against.
    seed
        Seed of all random choices.
    calibration
        The calibration; with ``None`` probabilities are used as they are.
    policy
        The parameters of selective prediction; with ``None`` every sample gets an answer,
        without a prediction set.
    number_half_width
        For a field of intervals, the half-width of the interval around a predicted
        number; ``None`` if predicted numbers are not good enough to be shown.
    organism
        The organism of the training samples. Samples that are predicted are taken to be of
        it, too: feature names without a species are of this one.
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
    policy: SelectivePolicy | None = None
    number_half_width: float | None = None
    organism: str = DEFAULT_ORGANISM

    @property
    def features(self) -> tuple[str, ...]:
        """The models' features, in the order of their inputs."""
        return self.fitted_features.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """The model kinds of this model, in a fixed order."""
        return tuple(kind for kind in KINDS if kind in self.models)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each model kind in the combination; weights sum to one."""
        if self.calibration is None:
            return {kind: 1 / len(self.kinds) for kind in self.kinds}
        return dict(self.calibration.weights)

    @property
    def network(self) -> NetworkModel | None:
        """The network, ``None`` if the preset has none."""
        model = self.models.get(NETWORK.name)
        return model if isinstance(model, NetworkModel) else None

    def explainer(self) -> AnswerExplainer:
        """Return the explainer of the model kinds and of their combination.

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
        """Return the inputs of all models, ``(samples, features)``, float32."""
        return self.fitted_features.transform(self._own(profiles))

    def expression(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return the model's features in reads per million, ``(samples, features)``."""
        return reads_per_million(self._own(profiles), self.features)

    def _own(self, profiles: Profiles) -> Profiles:
        """Return profiles as those of the model's organism."""
        return replace(profiles, organism=self.organism)

    def predict(
        self, profiles: Profiles, dataset_ids: NDArray[np.object_] | None = None
    ) -> Mapping[str, NDArray[np.float64]]:
        """Predict samples.

        Parameters
        ----------
        profiles
            The samples. They may have other features, in another order: features are
            aligned by name, and absent ones count as 0 reads.
        dataset_ids
            The dataset of each sample, for releases that pool the samples of a dataset;
            without it nothing is pooled.

        Returns
        -------
        dict
            The probabilities of each model kind and ``"combined"``,
            ``(samples, classes)``, float64, calibrated if the model has a
            calibration; else "combined" is the mean of the kinds.
        """
        return self.calibrated(self.predict_raw(profiles), dataset_ids)

    def predict_inputs(self, inputs: NDArray[np.float32]) -> Mapping[str, NDArray[np.float64]]:
        """Predict as :meth:`predict` does, from the result of :meth:`inputs`."""
        return self.calibrated(self.predict_raw_inputs(inputs))

    def calibrated(
        self,
        raw: Mapping[str, NDArray[np.float64]],
        dataset_ids: NDArray[np.object_] | None = None,
        contributing: NDArray[np.bool_] | None = None,
    ) -> Mapping[str, NDArray[np.float64]]:
        """Predict as :meth:`predict` does, from the result of :meth:`predict_raw`.

        ``contributing`` is as for :meth:`annotator.learn.selective.pooling.Pooling.apply`.
        """
        return self.answers(raw, dataset_ids, contributing).probabilities

    def answers(
        self,
        raw: Mapping[str, NDArray[np.float64]],
        dataset_ids: NDArray[np.object_] | None = None,
        contributing: NDArray[np.bool_] | None = None,
    ) -> Answers:
        """Predict as :meth:`calibrated` does, with the contributions of other samples."""
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
        """Whether the release pools the samples of a dataset."""
        return self.calibration is not None and self.calibration.pooling.strength > 0

    def predict_raw(self, profiles: Profiles) -> dict[str, NDArray[np.float64]]:
        """Return each model kind's uncalibrated probabilities, without "combined"."""
        return self.predict_raw_inputs(self.inputs(profiles))

    def predict_raw_inputs(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Predict as :meth:`predict_raw` does, from the result of :meth:`inputs`."""
        with ThreadPoolExecutor(len(self.kinds)) as pool:  # NumPy releases the GIL
            return dict(
                zip(
                    self.kinds,
                    pool.map(lambda kind: self.models[kind].predict(inputs), self.kinds),
                    strict=True,
                )
            )

    def numbers(self, inputs: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Return the predicted number of each sample, ``None`` if there is none."""
        for kind, model in self.models.items():
            predict = KINDS[kind].number
            if predict is not None:
                return predict(model, inputs)
        return None

    def known_features(self, profiles: Profiles) -> NDArray[np.float64]:
        """Return the relative number of the model's features that each sample expresses.

        It is relative to the median among the training samples: 1 is usual, and near 0
        the sample is unlike those that the model learned from. Shape ``(samples,)``.
        """
        return self.known_ratio(expressed_features(self._own(profiles), self.features))

    def known_ratio(self, expressed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the result of :meth:`known_features` from the number of expressed features."""
        return expressed / max(self.usual_features, 1.0)

    def aligned(self, profiles: Profiles) -> AlignedProfiles:
        """Align profiles with the model's features once, for all further steps.

        ``inputs``, ``expression``, ``known_features`` and ``novelty_scores`` each align
        profiles themselves; :meth:`aligned_inputs`, ``rpm`` itself, :meth:`known_ratio` and
        :meth:`aligned_novelty` give the same from the result of this method.
        """
        return align_profiles(self._own(profiles), self.features)

    def aligned_inputs(self, aligned: AlignedProfiles) -> NDArray[np.float32]:
        """Return the result of :meth:`inputs` from that of :meth:`aligned`."""
        return self.fitted_features.inputs_of_rpm(aligned.rpm)

    def aligned_novelty(
        self, aligned: AlignedProfiles, raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the result of :meth:`novelty_scores` from that of :meth:`aligned`."""
        return self._novelty(_log_rpm(aligned.rpm), raw)

    def novelty_scores(
        self, profiles: Profiles, raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the raw novelty of each sample, larger for less similar ones, ``(samples,)``.

        See :mod:`annotator.learn.selective.novelty`; ``raw`` is the result of
        :meth:`predict_raw`.
        """
        return self._novelty(log_rpm(self._own(profiles), self.features), raw)

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
    """Return the number of named features with reads in each sample, ``(samples,)``."""
    return np.asarray(np.count_nonzero(aligned_counts(profiles, names), axis=1), dtype=np.float64)
