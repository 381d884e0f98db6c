"""Why the models of a release say what they say: worked out when the release is made.

Nothing of it decides whether the release goes live.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain import ReleaseExplanations
from annotator.errors import AnnotatorError
from annotator.explain.class_scores import forest_mean_differences, mean_differences
from annotator.explain.deep_lift import DeepLift
from annotator.explain.markers import HeldOutScores, class_markers
from annotator.explain.sample_map import sample_map
from annotator.explain.similarity import class_similarities
from annotator.jobs.enrichment import TABLE4, reference_sets, release_enrichments
from annotator.learn.field_model import log_rpm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain import Profiles
    from annotator.explain.feature_sets import FeatureSet
    from annotator.learn.field_model import FieldModel
    from annotator.settings import Settings

OF_TISSUES = "tissue"  # the field that the paper's Table 4 is about
CHECKED_SAMPLES = 16
LARGEST_DIFFERENCE = 1e-4
"""Of our DeepLIFT scores from the package's, as a share of the largest score."""
FOREST_SAMPLES = 50
"""Samples of a class at most that a forest is asked about: its scores take long."""


@dataclass(frozen=True, slots=True)
class ExplanationOptions:
    """What of a release is explained, and how far.

    Attributes
    ----------
    marker_count
        Markers of a class at most.
    similarity_samples
        Samples of a class at most that similarities are found from.
    feature_sets
        Source to its sets, which are looked for among the markers.
    hashes
        Source to the SHA-256 of its file.
    """

    marker_count: int
    similarity_samples: int
    feature_sets: Mapping[str, tuple[FeatureSet, ...]]
    hashes: Mapping[str, str]

    def as_configuration(self) -> dict[str, Any]:
        """Return what a release's explanations depend on, as plain data."""
        return {
            "marker_count": self.marker_count,
            "similarity_samples": self.similarity_samples,
            "feature_sets": dict(self.hashes),
        }


def explanation_options(settings: Settings, field: str) -> ExplanationOptions:
    """Return what of a release of a field is explained; reads the files of sets.

    Raises
    ------
    InputError
        A file of sets cannot be read.
    SettingsError
        Two files have the same name.
    """
    sets = dict(reference_sets(settings.feature_sets))
    if field != OF_TISSUES:
        del sets[TABLE4]
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in settings.feature_sets
    }
    return ExplanationOptions(settings.marker_count, settings.similarity_samples, sets, hashes)


def held_out_scores(
    model: FieldModel, profiles: Profiles, labels: NDArray[np.object_]
) -> HeldOutScores | None:
    """Return what sets classes apart for the network of a fold, ``None`` without one.

    Parameters
    ----------
    model
        Made without the fold's datasets.
    profiles, labels
        Its training samples and their classes, ``(samples,)``.
    """
    if model.network is None:
        return None
    scores = _network_scores(model, model.inputs(profiles), _class_index(model, labels))
    return HeldOutScores(model.features, model.classes, scores)


def explain_release(
    model: FieldModel,
    profiles: Profiles,
    labels: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    held_out: Sequence[HeldOutScores | None],
    options: ExplanationOptions,
    seed: int,
    threads: int,
) -> ReleaseExplanations:
    """Work out the markers, similarities, enrichments and the map of a release.

    Parameters
    ----------
    model
        Fitted on everything.
    profiles, labels, dataset_ids
        The training samples, and class and dataset of each, ``(samples,)``.
    held_out
        From :func:`held_out_scores` for every fold.
    options
        What, and how far.
    seed
        Of what is drawn at random.
    threads
        Threads of a sum; the same everywhere, as its last bits depend on it.

    Returns
    -------
    ReleaseExplanations
        Without a network only the map.

    Raises
    ------
    AnnotatorError
        Our DeepLIFT scores are not those of the package.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads):
        mapped = sample_map(
            log_rpm(profiles, model.features), profiles.sample_ids, dataset_ids, labels, seed
        )
        if model.network is None:
            return ReleaseExplanations(sample_map=mapped)
        inputs, class_index = model.inputs(profiles), _class_index(model, labels)
        expression = _mean_expression(model, profiles, class_index)
        _check_deep_lift(model, inputs)
        markers = class_markers(
            _network_scores(model, inputs, class_index),
            _forest_scores(model, inputs, class_index, seed),
            [scores for scores in held_out if scores is not None],
            expression,
            model.features,
            model.classes,
            options.marker_count,
        )
        return ReleaseExplanations(
            markers=markers,
            similarities=class_similarities(
                model.network.dense_layers(),
                inputs,
                class_index,
                model.classes,
                _class_of_output(model),
                options.similarity_samples,
                seed,
            ),
            enrichments=release_enrichments(
                options.feature_sets, markers, model.classes, model.features, expression
            ),
            sample_map=mapped,
        )


def _class_index(model: FieldModel, labels: NDArray[np.object_]) -> NDArray[np.int64]:
    column = {name: position for position, name in enumerate(model.classes)}
    return np.array([column[label] for label in labels.tolist()], dtype=np.int64)


def _class_of_output(model: FieldModel) -> Sequence[int]:
    """Return the class of each output of the network."""
    if model.learns_leaves("network"):
        return model.class_of_leaf
    return range(len(model.classes))


def _network_scores(
    model: FieldModel, inputs: NDArray[np.float32], class_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    assert model.network is not None
    return mean_differences(
        model.network.dense_layers(),
        inputs,
        class_index,
        _class_of_output(model),
        len(model.classes),
    )


def _forest_scores(
    model: FieldModel,
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    seed: int,
) -> NDArray[np.float64] | None:
    if model.forest is None or model.learns_leaves("forest"):
        return None
    return forest_mean_differences(
        model.forest.estimator,
        model.forest.feature_indices,
        inputs,
        class_index,
        len(model.classes),
        len(model.features),
        samples_per_class=FOREST_SAMPLES,
        seed=seed,
    )


def _mean_expression(
    model: FieldModel, profiles: Profiles, class_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return mean reads per million of each class, ``(classes, features)``."""
    expression = model.expression(profiles)
    return np.stack(
        [
            expression[class_index == place].mean(axis=0, dtype=np.float64)
            for place in range(len(model.classes))
        ]
    )


def _check_deep_lift(model: FieldModel, inputs: NDArray[np.float32]) -> None:
    """Compare our scores with those of the package that the paper used, for some samples."""
    from annotator.explain.deep_lift_library import package_difference

    assert model.network is not None
    layers = model.network.dense_layers()
    rows = np.linspace(0, len(inputs) - 1, min(CHECKED_SAMPLES, len(inputs))).astype(np.int64)
    largest = float(np.abs(DeepLift(layers).all_classes(inputs[rows])).max())
    difference = package_difference(layers, inputs[rows])
    if not difference <= LARGEST_DIFFERENCE * largest:
        raise AnnotatorError(
            f"{model.field}: DeepLIFT scores of the network are up to {difference:.3g} away from"
            f" those of the deeplift package, the largest being {largest:.3g}; another version of"
            " NumPy or TensorFlow may mend it, and the release was not made"
        )
