"""A trial of models that were read, before anything relies on them.

Limits of the scores hold for every sample; predictions for a few made-up samples show that
the parts of a model fit one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.errors import ArtefactError
from annotator.learn.features.matrix import AlignedProfiles
from annotator.learn.models.kind import LARGEST_SCORE
from annotator.learn.models.registry import KINDS

if TYPE_CHECKING:
    from annotator.learn.release.field_model import FieldModel

ROUNDING = 1e-4


def try_out(model: FieldModel) -> None:
    """Predict samples without reads, with equal reads of all features, and with one feature.

    Raises
    ------
    ArtefactError
        A score could exceed single precision, or a prediction is not possible, not finite or
        not a probability.
    """
    try:
        problem = _oversized(model) or _odd_prediction(model)
    except MemoryError:
        raise  # another process may need the memory
    except Exception as error:
        raise ArtefactError(f"the models cannot predict: {error!r}; retrain the field") from error
    if problem:
        raise ArtefactError(f"{problem}; retrain the field")


def _oversized(model: FieldModel) -> str | None:
    """Return a description of a number that is too large for some sample."""
    largest = model.fitted_features.largest_inputs()
    if not np.isfinite(largest).all():
        return "the features are scaled by numbers that are too large"
    for kind, fitted in model.models.items():
        if not KINDS[kind].largest_score(fitted, largest) <= LARGEST_SCORE:
            return f"{kind}: its numbers are too large"
    return None


def _odd_prediction(model: FieldModel) -> str | None:
    """Return a description of a result that no model gives."""
    features = len(model.features)
    rpm = np.zeros((3, features), np.float32)
    rpm[1] = 1e6 / features
    rpm[2, 0] = 1e6
    aligned = AlignedProfiles(rpm, np.count_nonzero(rpm, axis=1).astype(np.float64))
    with np.errstate(all="ignore"):
        inputs = model.aligned_inputs(aligned)
        raw = model.predict_raw_inputs(inputs)
        found = dict(model.calibrated(raw, np.zeros(len(rpm), dtype=object)))
        novelty = model.aligned_novelty(aligned, raw)
        numbers = model.numbers(inputs)
        for kind, p in [*raw.items(), *found.items()]:
            if not ((p >= 0).all() and np.abs(p.sum(axis=1) - 1).max() <= ROUNDING):  # nor NaN
                return f"{kind}: its predictions are not probabilities"
        if not np.isfinite(novelty).all():
            return "novelty: it is not finite"
        if numbers is not None and not np.isfinite(numbers).all():
            return "a predicted number is not finite"
        if model.policy is not None:
            model.policy.decide(found[COMBINED], novelty, model.classes, model.lineages)
    return None
