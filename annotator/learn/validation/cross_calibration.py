"""Calibration on held-out predictions: of a release, and by cross-fitting in a validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED, HeldOutPredictions
from annotator.learn.selective.calibration import fit_calibration
from annotator.learn.selective.pooling import fit_pooling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.models.preset import Preset
    from annotator.learn.selective.calibration import Calibration

PARTS = 10


def release_calibration(raw: HeldOutPredictions, preset: Preset) -> Calibration | None:
    """Fit the calibration that a release goes live with.

    It is fitted on the raw predictions for all held-out samples, each from a model
    that was fitted without the sample.

    Parameters
    ----------
    raw
        Uncalibrated predictions for held-out datasets. Those of random cross-validation
        would make the release overconfident on new datasets.
    preset
        The preset, which decides whether there is a calibration.

    Returns
    -------
    Calibration or None
        ``None`` if the preset does not calibrate.
    """
    if not preset.calibrate:
        return None
    return _fit(raw)


def _fit(raw: HeldOutPredictions) -> Calibration:
    truth = raw.truth_index
    calibration = fit_calibration(raw.probabilities, truth)
    _, combined = calibration.apply(raw.probabilities)
    return replace(calibration, pooling=fit_pooling(combined, truth, raw.dataset_ids))


@dataclass(frozen=True, eq=False)
class Part:
    """Some folds, and the predictions for all others with the calibration fitted on those.

    Attributes
    ----------
    own
        Whether each sample is in these folds, ``(samples,)``.
    others
        Predictions for the samples of all other folds, with the same calibration and
        combination as the samples of this part: those that a release would be made from
        without this part.
    """

    own: NDArray[np.bool_]
    others: HeldOutPredictions


def with_calibration(
    raw: HeldOutPredictions, calibration: Calibration | None
) -> HeldOutPredictions:
    """Calibrate and combine held-out predictions as a release does.

    Parameters
    ----------
    raw
        Uncalibrated predictions of every model kind.
    calibration
        The calibration; with ``None`` the mean of the kinds is their combination.
    """
    if calibration is None:
        combined = np.mean(list(raw.probabilities.values()), axis=0)
        return replace(raw, probabilities={**raw.probabilities, COMBINED: np.asarray(combined)})
    calibrated, alone = calibration.apply(raw.probabilities)
    combined = calibration.pooling.apply(alone, raw.dataset_ids)
    return replace(raw, probabilities={**calibrated, COMBINED: combined})


def cross_calibrated(
    raw: HeldOutPredictions, preset: Preset
) -> tuple[HeldOutPredictions, tuple[Part, ...]]:
    """Calibrate and combine held-out predictions, each fold with a calibration of the others.

    Parameters
    ----------
    raw
        Uncalibrated predictions of every model kind.
    preset
        The preset, which decides whether there is a calibration; without one the mean of
        the kinds is their combination.

    Returns
    -------
    predictions : HeldOutPredictions
        Predictions of every kind and ``"combined"``.
    parts : tuple of Part
        Folds that share a calibration; empty if there is only one fold or the preset
        does not calibrate.
    """
    folds = np.unique(raw.folds)
    if not preset.calibrate or len(folds) < 2:
        return with_calibration(raw, None), ()
    # Small folds share a calibration, because fitting one takes about a second.
    part_of = {int(fold): number % PARTS for number, fold in enumerate(folds)}
    part_numbers = np.array([part_of[int(fold)] for fold in raw.folds], dtype=np.int64)
    kinds = (*raw.probabilities, COMBINED)
    result = {kind: np.zeros((len(raw.folds), len(raw.classes))) for kind in kinds}
    parts = []
    for number in np.unique(part_numbers):
        own = part_numbers == number
        others = raw.take(~own)
        calibration = _fit(others)
        for kind, values in with_calibration(raw.take(own), calibration).probabilities.items():
            result[kind][own] = values
        parts.append(Part(own, with_calibration(others, calibration)))
    return replace(raw, probabilities=result), tuple(parts)
