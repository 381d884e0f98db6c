"""Explain the models of a release, when the release is made.

Explanations do not affect whether the release goes live.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.explanations import ReleaseExplanations
from annotator.domain.held_out import COMBINED
from annotator.errors import AnnotatorError
from annotator.explain.deep_lift import DeepLift
from annotator.explain.markers import HeldOutScores, class_markers
from annotator.explain.sample_map import sample_map
from annotator.jobs.retrain.enrichment import TABLE4, reference_sets, release_enrichments
from annotator.jobs.retrain.explanation_tasks import release_similarities, scores_of_kinds
from annotator.learn.labels.classes import class_index
from annotator.learn.models.network import NETWORK
from annotator.learn.release.field_model import log_rpm
from annotator.learn.running.parallel import IN_THIS_PROCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles
    from annotator.explain.answer import AnswerExplainer
    from annotator.explain.feature_sets import FeatureSet
    from annotator.learn.release.field_model import FieldModel
    from annotator.learn.running.parallel import Parallelism
    from annotator.learn.validation.validate import Labelled
    from annotator.settings import Settings

OF_TISSUES = "tissue"  # the field that the paper's Table 4 is about
CHECKED_SAMPLES = 16
LARGEST_DIFFERENCE = 1e-4
"""Maximum difference from the package's DeepLIFT scores, as a share of the largest score."""
TREE_SAMPLES = 50
"""Maximum number of samples per class whose tree contributions are computed."""

TREE_SAMPLES_OF_FOLD = 10
"""Maximum number of such samples per class for the models of a fold."""


@dataclass(frozen=True, slots=True)
class ExplanationOptions:
    """The extent of the explanations of a release.

    Attributes
    ----------
    marker_count
        Maximum number of markers per class.
    similarity_samples
        Maximum number of samples per class used to compute class similarity.
    feature_sets
        Source to its sets, which are tested for enrichment among the markers.
    hashes
        Source to the SHA-256 of its file.
    """

    marker_count: int
    similarity_samples: int
    feature_sets: Mapping[str, tuple[FeatureSet, ...]]
    hashes: Mapping[str, str]

    def as_configuration(self) -> dict[str, Any]:
        """Return the options that a release's explanations depend on, as plain data."""
        return {
            "marker_count": self.marker_count,
            "similarity_samples": self.similarity_samples,
            "feature_sets": dict(self.hashes),
        }


def explanation_options(settings: Settings, field: str) -> ExplanationOptions:
    """Return the options for explaining a release of a field; reads the files of sets.

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
) -> HeldOutScores:
    """Return the marker scores of the models of a fold.

    Parameters
    ----------
    model
        Model fitted without the fold's datasets.
    profiles, labels
        Its training samples and their classes, ``(samples,)``.
    """
    index = class_index(labels, model.classes)
    inputs = model.inputs(profiles)
    scores = scores_of_kinds(model, inputs, index, TREE_SAMPLES_OF_FOLD, IN_THIS_PROCESS)
    return HeldOutScores(model.features, model.classes, scores)


def explain_release(
    model: FieldModel,
    labelled: Labelled,
    held_out: Sequence[HeldOutScores],
    options: ExplanationOptions,
    parallel: Parallelism,
) -> ReleaseExplanations:
    """Compute the markers, similarities, enrichments and map of a release.

    Markers, similarities and enrichments are those of the combination or, if there is
    none, of the network. The network's own are returned beside those of the combination.

    Parameters
    ----------
    model
        Model fitted on everything.
    labelled
        The training samples, with the class of each.
    held_out
        Results of :func:`held_out_scores`, one per fold.
    options
        The extent of the explanations.
    parallel
        The processes that compute contributions and similarities; the number of threads must
        be the same everywhere, because the last bits of sums depend on it.

    Returns
    -------
    ReleaseExplanations
        Only the map if there is neither a combination nor a network.

    Raises
    ------
    AnnotatorError
        The DeepLIFT scores differ from those of the package.
    """
    from threadpoolctl import threadpool_limits

    profiles, labels, seed = labelled.cohort.profiles, labelled.labels, model.seed
    with threadpool_limits(limits=parallel.threads):
        mapped = sample_map(
            log_rpm(profiles, model.features),
            profiles.sample_ids,
            labelled.cohort.dataset_ids,
            labels,
            seed,
        )
        explainer = model.explainer()
        answer = COMBINED if explainer.factors is not None else NETWORK.name
        if answer == NETWORK.name and model.network is None:
            return ReleaseExplanations(sample_map=mapped)
        inputs, index = model.inputs(profiles), class_index(labels, model.classes)
        if model.network is not None:
            _check_deep_lift(model, inputs)
        scores = scores_of_kinds(model, inputs, index, TREE_SAMPLES, parallel)
        expression = _mean_expression(model, profiles, index)
        markers = class_markers(
            _answer_scores(explainer, scores),
            scores,
            [
                replace(each, scores={answer: _answer_scores(explainer, each.scores)})
                for each in held_out
            ],
            expression,
            model.features,
            model.classes,
            options.marker_count,
        )
        return ReleaseExplanations(
            markers=markers,
            similarities=release_similarities(
                model, inputs, index, options.similarity_samples, parallel
            ),
            enrichments=release_enrichments(
                options.feature_sets, markers, model.classes, model.features, expression
            ),
            sample_map=mapped,
        )


def _answer_scores(
    explainer: AnswerExplainer, scores: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return D1 of the combination, or of the network if there is none."""
    if explainer.factors is None:
        return scores[NETWORK.name]
    return np.asarray(sum(factor * scores[kind] for kind, factor in explainer.factors.items()))


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
    """Compare the scores of some samples with those of the package that the paper used."""
    from annotator.explain.deep_lift_library import package_difference

    assert model.network is not None
    layers = model.network.layers
    rows = np.linspace(0, len(inputs) - 1, min(CHECKED_SAMPLES, len(inputs))).astype(np.int64)
    largest = float(np.abs(DeepLift(layers).all_classes(inputs[rows])).max())
    difference = package_difference(layers, inputs[rows])
    if not difference <= LARGEST_DIFFERENCE * largest:
        raise AnnotatorError(
            f"{model.field}: DeepLIFT scores of the network are up to {difference:.3g} away from"
            f" those of the deeplift package, the largest being {largest:.3g}; another version of"
            " NumPy or TensorFlow may fix it; the release was not made"
        )
