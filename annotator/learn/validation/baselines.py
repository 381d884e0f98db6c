"""Baselines: simple predictions that a release has to beat on the same held-out samples.

Two of them do not use expression: always the largest class, and the class that
the known fields of a sample suggest. A third one, a plain logistic regression on
expression, shows whether the complexity of the models is worthwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.features.matrix import fit_features
from annotator.learn.labels.classes import class_index
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.linear import LinearOptions, fit_linear
from annotator.learn.models.preset import LOG_RPM, STANDARD, FeatureOptions
from annotator.learn.validation.splits import scored_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort, Profiles
    from annotator.learn.labels.ontology import Ontology

MAJORITY = "majority"
KNOWN_FIELDS = "known_fields"
LOGISTIC_REGRESSION = "logistic_regression"

SHRINKAGE = 4.0  # weight of the overall mean beside the samples with one value, in samples

_REFERENCE_FEATURES = FeatureOptions(LOG_RPM, STANDARD, maximum_zero_share=0.9, clip=5.0)
_REFERENCE_LINEAR = LinearOptions(penalties=(0.01,), within_class=0.0)

Lineage = Callable[[str], tuple[str, ...]]


def baseline_predictions(
    cohort: Cohort,
    labels: NDArray[np.object_],
    folds: NDArray[np.int64],
    classes: tuple[str, ...],
    ontology: Ontology | None = None,
) -> HeldOutPredictions:
    """Predict held-out samples from labels and known fields of the training part alone.

    ``majority`` gives every sample the shares of the classes in training.

    ``known_fields`` (only for a field with known fields) gives the posterior of the
    class given the known values, ``P(class | values)`` under equal priors, which is
    proportional to the product over fields of ``P(value | class)``. Equal priors
    make it the best such rule for balanced accuracy, by which releases are compared,
    and do not change the order that AUC depends on. ``P(value | class)`` is a share
    of the training samples with a known value, with one sample added on either side
    (Laplace's rule). A value that does not occur in training is replaced by its
    nearest ontology ancestor that does; if no value is known, the shares of the
    classes in training are given.

    Parameters
    ----------
    cohort
        The labelled samples.
    labels, folds
        Class and fold of each, shape ``(samples,)``; ``""`` for a sample that
        takes no part.
    classes
        The classes in the order of the columns.
    ontology
        The ontology with the ancestors of known values, if there is one.

    Returns
    -------
    HeldOutPredictions
        Predictions for the samples that can be scored, in the cohort's order.
    """
    part = np.flatnonzero(labels != "")
    labels, folds = labels[part], folds[part]
    index = class_index(labels, classes)
    known = [
        cohort.known[name][part] for name in cohort.definition.known_fields if name in cohort.known
    ]
    lineage: Lineage = ontology.lineage if ontology is not None else _only_itself
    majority = np.zeros((len(part), len(classes)))
    by_known = np.zeros_like(majority)
    for fold in np.unique(folds):
        held_out = folds == fold
        counts = np.bincount(index[~held_out], minlength=len(classes))
        prior = counts / max(counts.sum(), 1)
        majority[held_out] = prior
        by_known[held_out] = _posterior(known, held_out, index, counts > 0, prior, lineage)
    probabilities = {MAJORITY: majority}
    if cohort.definition.known_fields:
        probabilities[KNOWN_FIELDS] = by_known
    scored = scored_mask(labels, folds)
    return HeldOutPredictions(
        sample_ids=cohort.profiles.sample_ids[part][scored],
        dataset_ids=cohort.dataset_ids[part][scored],
        truth=labels[scored],
        folds=folds[scored],
        classes=classes,
        probabilities={kind: p[scored] for kind, p in probabilities.items()},
    )


def reference_probabilities(
    training: Profiles,
    labels: NDArray[np.object_],
    held_out: Profiles,
    classes: tuple[str, ...],
    kinds: Iterable[str],
) -> NDArray[np.float64]:
    """Predict with a plain logistic regression on standardised log2(1 + RPM).

    Parameters
    ----------
    training, labels
        The training samples and their classes, ``(samples,)``.
    held_out
        The samples to predict.
    classes
        The classes in the order of the columns; each has a training sample.
    kinds
        The feature kinds that may be used.

    Returns
    -------
    NDArray[float64]
        Shape ``(held out, classes)``; rows sum to one.
    """
    fitted = fit_features(training, _REFERENCE_FEATURES, kinds)
    index = class_index(labels, classes)
    none = np.zeros_like(index)
    part = TrainingPart(
        fitted.transform(training), index, none, none, np.ones(len(index)), len(classes)
    )
    model = fit_linear(part, _REFERENCE_LINEAR)
    return model.predict(fitted.transform(held_out))


def known_means(
    cohort: Cohort, numbers: NDArray[np.float64], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Predict numbers by the mean of training samples with the same known field.

    The mean for a value is shrunk towards the overall mean, which has the weight of
    four samples; if the field is not known, the overall mean is given.

    Parameters
    ----------
    cohort
        The labelled samples.
    numbers, folds
        Number, NaN if only the interval is known, and fold of each sample, ``(samples,)``.

    Returns
    -------
    NDArray[float64]
        Shape ``(samples,)``; NaN if no training sample has a number.
    """
    names = [name for name in cohort.definition.known_fields if name in cohort.known]
    values = cohort.known[names[0]].astype(str) if names else np.full(len(numbers), "")
    codes = np.unique(values, return_inverse=True)[1]
    result = np.empty(len(numbers))
    for fold in np.unique(folds):
        held_out = folds == fold
        training = ~held_out & np.isfinite(numbers)
        mean = numbers[training].mean() if training.any() else np.nan
        size = np.bincount(codes[training], minlength=codes.max() + 1)
        total = np.bincount(codes[training], numbers[training], minlength=codes.max() + 1)
        of_value = (total + SHRINKAGE * mean) / (size + SHRINKAGE)
        result[held_out] = np.where(values[held_out] == "", mean, of_value[codes[held_out]])
    return result


def _only_itself(value: str) -> tuple[str, ...]:
    return (value,)


def _posterior(
    known: list[NDArray[np.object_]],
    held_out: NDArray[np.bool_],
    index: NDArray[np.int64],
    trained: NDArray[np.bool_],
    prior: NDArray[np.float64],
    lineage: Lineage,
) -> NDArray[np.float64]:
    """Return the posterior of each held-out sample, shape ``(held out, classes)``."""
    rows = np.flatnonzero(held_out)
    product = np.tile(trained.astype(np.float64), (len(rows), 1))
    anything = np.zeros(len(rows), dtype=np.bool_)
    for values in known:
        shares = _shares(values[~held_out], index[~held_out], len(trained), lineage)
        for place, row in enumerate(rows):
            found = _nearest(str(values[row]), shares, lineage)
            if found is not None:
                product[place] *= found
                anything[place] = True
    total = product.sum(axis=1, keepdims=True)
    posterior = np.divide(product, total, out=np.zeros_like(product), where=total > 0)
    return np.where(anything[:, None], posterior, prior)


def _shares(
    values: NDArray[np.object_], index: NDArray[np.int64], n_classes: int, lineage: Lineage
) -> dict[str, NDArray[np.float64]]:
    """Return the share of each known value and ancestor within each class."""
    counts: dict[str, NDArray[np.float64]] = {}
    of_class = np.zeros(n_classes)
    for value, column in zip(values, index, strict=True):
        if value == "":
            continue
        of_class[column] += 1
        for term in lineage(str(value)):
            counts.setdefault(term, np.zeros(n_classes))[column] += 1
    return {term: (count + 1) / (of_class + 2) for term, count in counts.items()}


def _nearest(
    value: str, shares: dict[str, NDArray[np.float64]], lineage: Lineage
) -> NDArray[np.float64] | None:
    if value == "":
        return None
    return next((shares[term] for term in lineage(value) if term in shares), None)
