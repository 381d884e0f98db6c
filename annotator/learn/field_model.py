"""All that a release of one field predicts with, and how it is stored.

A :class:`FieldModel` holds the features, the model kinds, their calibration
and what is needed to say how far a sample is from what was learned. It becomes
a handful of artefacts and comes back from them with identical predictions;
nothing in them can run code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import FIELDS, Artefact, Profiles
from annotator.errors import ArtefactError, CohortError
from annotator.learn.artefacts import (
    JSON_TYPE,
    SAFETENSORS_TYPE,
    by_name,
    read_tensors,
    write_json,
    write_tensors,
)
from annotator.learn.boosting import BoostingModel
from annotator.learn.features import (
    FittedFeatures,
    aligned_counts,
    fit_features,
    reads_per_million,
)
from annotator.learn.forest import ForestModel
from annotator.learn.kinds import KINDS, KindModel, kinds_of
from annotator.learn.model_json import (
    CALIBRATION_FILE,
    FORMAT,
    MODEL_FILE,
    read_calibration,
    read_description,
)
from annotator.learn.network import NetworkModel
from annotator.learn.novelty import QUANTILES, Novelty, fit_novelty
from annotator.learn.presets import Preset, configuration
from annotator.learn.weights import balanced_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.learn.calibration import Calibration

COMBINED = "combined"
FEATURES_FILE = "features.safetensors"


@dataclass(frozen=True, eq=False)
class FieldModel:
    """The models of one field.

    Attributes
    ----------
    field
        A key of :data:`annotator.domain.FIELDS`.
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

    @property
    def features(self) -> tuple[str, ...]:
        """The models' features, in the order of their inputs."""
        return self.fitted_features.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """The model kinds it has, in a fixed order."""
        return tuple(kind for kind in KINDS if kind in self.models)

    @property
    def network(self) -> NetworkModel | None:
        """The network, where the preset has one."""
        model = self.models.get("network")
        return model if isinstance(model, NetworkModel) else None

    @property
    def forest(self) -> ForestModel | None:
        """The random forest, where the preset has one."""
        model = self.models.get("forest")
        return model if isinstance(model, ForestModel) else None

    @property
    def boosting(self) -> BoostingModel | None:
        """The boosted trees, where the preset has them."""
        model = self.models.get("boosting")
        return model if isinstance(model, BoostingModel) else None

    def with_calibration(self, calibration: Calibration | None) -> FieldModel:
        """Return the same models with another calibration."""
        return replace(self, calibration=calibration)

    def inputs(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return the matrix that all models see, ``(samples, features)``, float32."""
        return self.fitted_features.transform(profiles)

    def expression(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return the model's features in reads per million, ``(samples, features)``."""
        return reads_per_million(profiles, self.features)

    def predict(self, profiles: Profiles) -> dict[str, NDArray[np.float64]]:
        """Predict samples.

        Parameters
        ----------
        profiles
            May have other features, in another order: they are aligned by
            name, and absent ones count as 0 reads.

        Returns
        -------
        dict
            Each model kind and ``"combined"`` to probabilities
            ``(samples, classes)``, float64, calibrated where the model has a
            calibration; else "combined" is the mean of the kinds.
        """
        return self.predict_inputs(self.inputs(profiles))

    def predict_inputs(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Do as :meth:`predict`, from what :meth:`inputs` returned."""
        raw = self.predict_raw_inputs(inputs)
        if self.calibration is None:
            return {**raw, COMBINED: np.mean(list(raw.values()), axis=0)}
        calibrated, combined = self.calibration.apply(raw)
        return {**calibrated, COMBINED: combined}

    def predict_raw(self, profiles: Profiles) -> dict[str, NDArray[np.float64]]:
        """Return each model kind's uncalibrated probabilities, without "combined"."""
        return self.predict_raw_inputs(self.inputs(profiles))

    def predict_raw_inputs(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Do as :meth:`predict_raw`, from what :meth:`inputs` returned."""
        return {kind: self.models[kind].predict(inputs) for kind in self.kinds}

    def known_features(self, profiles: Profiles) -> NDArray[np.float64]:
        """Return how many of the model's features each sample expresses.

        Relative to the median among the training samples: 1 is usual, near 0
        is something else than was learned. Shape ``(samples,)``.
        """
        return expressed_features(profiles, self.features) / max(self.usual_features, 1.0)

    def novelty(self, profiles: Profiles) -> NDArray[np.float64]:
        """Return how unlike the training samples each sample is, in [0, 1], ``(samples,)``.

        See :mod:`annotator.learn.novelty`.
        """
        return self.novelty_reference.quantile(_log_rpm(profiles, self.features))

    def to_artefacts(self) -> tuple[Artefact, ...]:
        """Serialise the models; :meth:`from_artefacts` reads them back."""
        description = {
            "format": FORMAT,
            "field": self.field,
            "classes": list(self.classes),
            "features": list(self.features),
            "lineages": {name: list(lineage) for name, lineage in self.lineages.items()},
            "configuration": configuration(self.preset),
            "usual_features": self.usual_features,
            "seed": self.seed,
        }
        arrays = {
            "offset": self.fitted_features.offset,
            "scale": self.fitted_features.scale,
            "centroids": self.novelty_reference.centroids,
            "distances": self.novelty_reference.distances,
        }
        artefacts = [
            Artefact(MODEL_FILE, JSON_TYPE, write_json(description)),
            Artefact(FEATURES_FILE, SAFETENSORS_TYPE, write_tensors(arrays)),
        ]
        if self.calibration is not None:
            content = write_json(self.calibration.to_json())
            artefacts.append(Artefact(CALIBRATION_FILE, JSON_TYPE, content))
        for kind in self.kinds:
            content = self.models[kind].to_bytes()
            artefacts.append(Artefact(KINDS[kind].artefact, KINDS[kind].media_type, content))
        return tuple(artefacts)

    @classmethod
    def from_artefacts(cls, artefacts: Sequence[Artefact]) -> FieldModel:
        """Read a model back.

        Parameters
        ----------
        artefacts
            All artefacts of a release, their hashes already checked.

        Raises
        ------
        ArtefactError
            An artefact is missing, unknown, damaged, or does not fit the others.
        """
        kind_files = {kind.artefact for kind in KINDS.values()}
        optional = kind_files | {CALIBRATION_FILE}
        contents = by_name(artefacts, {MODEL_FILE, FEATURES_FILE}, optional)
        described = read_description(contents[MODEL_FILE])
        preset: Preset = described["preset"]
        classes, features = described["classes"], described["features"]
        options = kinds_of(preset)
        stored = {kind for kind in KINDS if KINDS[kind].artefact in contents}
        if stored != set(options):
            odd = sorted(stored ^ set(options))[0]
            raise ArtefactError(
                f"the model kind {odd!r} is stored or configured, not both; retrain the field"
            )
        shapes: dict[str, tuple[int, ...]] = {
            "offset": (len(features),),
            "scale": (len(features),),
            "centroids": (len(classes), len(features)),
            "distances": (QUANTILES,),
        }
        arrays = read_tensors(contents[FEATURES_FILE], shapes, FEATURES_FILE)
        models = {
            kind: KINDS[kind].read(
                contents[KINDS[kind].artefact], len(features), len(classes), option
            )
            for kind, option in options.items()
        }
        return cls(
            field=described["field"],
            classes=classes,
            fitted_features=FittedFeatures(
                features, preset.features, arrays["offset"], arrays["scale"]
            ),
            preset=preset,
            models=models,
            lineages=described["lineages"],
            usual_features=described["usual_features"],
            novelty_reference=Novelty(arrays["centroids"], arrays["distances"]),
            seed=described["seed"],
            calibration=read_calibration(contents.get(CALIBRATION_FILE), set(options)),
        )


def _log_rpm(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float32]:
    return np.asarray(np.log2(1 + reads_per_million(profiles, names)), dtype=np.float32)


def expressed_features(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return how many of the named features each sample has reads of, ``(samples,)``."""
    return np.asarray(np.count_nonzero(aligned_counts(profiles, names), axis=1), dtype=np.float64)


def _class_index(
    labels: NDArray[np.object_], classes: Sequence[str], field: str
) -> NDArray[np.int64]:
    """Return the column of each label; every class must have a sample."""
    if len(classes) < 2:
        raise CohortError(
            f"{field}: {len(classes)} classes are left, at least 2 are needed;"
            " curate more samples or lower the minimum per class"
        )
    column = {name: position for position, name in enumerate(classes)}
    unknown = sorted(set(labels.tolist()) - column.keys())
    if unknown:
        raise CohortError(f"{field}: label {unknown[0]!r} is none of the classes to learn")
    index = np.array([column[label] for label in labels.tolist()], dtype=np.int64)
    empty = np.flatnonzero(np.bincount(index, minlength=len(classes)) == 0)
    if len(empty):
        raise CohortError(f"{field}: class {classes[empty[0]]!r} has no training sample")
    return index


def fit_field_model(
    profiles: Profiles,
    labels: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    classes: Sequence[str],
    field: str,
    preset: Preset,
    seed: int,
    calibration: Calibration | None = None,
    *,
    lineages: Mapping[str, tuple[str, ...]] | None = None,
    threads: int = 0,
) -> FieldModel:
    """Fit features and every model kind of a preset on training samples.

    Nothing but these samples is looked at.

    Parameters
    ----------
    profiles
        Raw counts of the training samples.
    labels, dataset_ids
        Class and dataset of each, ``(samples,)``, dtype object (str).
    classes
        All classes, in the order of the columns; each has a sample.
    field
        Decides which feature kinds are used.
    preset
        Every hyper-parameter.
    seed
        Of everything random: the same data, preset, seed and number of threads
        give identical models (:mod:`annotator.learn.network` says where that ends).
    calibration
        Fitted elsewhere on held-out predictions.
    lineages
        Class to lineage; each class by itself where not given.
    threads
        That fitting may use, 0 for one a core.

    Returns
    -------
    FieldModel

    Raises
    ------
    CohortError
        Fewer than two classes, a class without samples, or no usable feature.
    """
    index = _class_index(labels, classes, field)
    fitted = fit_features(profiles, preset.features, FIELDS[field].feature_kinds)
    inputs = fitted.transform(profiles)
    weights = balanced_weights(index, dataset_ids, preset.balance_classes, preset.balance_datasets)
    options = kinds_of(preset)
    # A kind's seed does not depend on which other kinds there are.
    seeds = dict(zip(KINDS, np.random.SeedSequence(seed).generate_state(len(KINDS)), strict=True))
    models = {
        kind: KINDS[kind].fit(
            inputs, index, weights, len(classes), option, int(seeds[kind]) % 2**31, threads
        )
        for kind, option in options.items()
    }
    return FieldModel(
        field=field,
        classes=tuple(classes),
        fitted_features=fitted,
        preset=preset,
        models=models,
        lineages=dict(lineages) if lineages is not None else {name: (name,) for name in classes},
        usual_features=float(np.median(expressed_features(profiles, fitted.names))),
        novelty_reference=fit_novelty(
            _log_rpm(profiles, fitted.names), index, dataset_ids, len(classes)
        ),
        seed=seed,
        calibration=calibration,
    )
