"""Calibrations that are fitted on held-out predictions: a release's, and a validation's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.learn.calibration import fit_calibration
from annotator.learn.field_model import COMBINED
from annotator.learn.metrics import class_index, select_samples
from annotator.learn.pooling import fit_pooling
from annotator.learn.weights import balanced_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain import HeldOutPredictions
    from annotator.learn.calibration import Calibration
    from annotator.learn.options import Preset

PARTS = 10


def release_calibration(raw: HeldOutPredictions, preset: Preset) -> Calibration | None:
    """Fit the calibration that a release goes live with.

    It is fitted on the raw predictions for all held-out samples: each by a model
    that had not seen the sample.

    Parameters
    ----------
    raw
        Not calibrated, of whole datasets held out: random cross-validation is far
        too sure of itself on new datasets.
    preset
        Says whether there is a calibration at all.

    Returns
    -------
    Calibration or None
        ``None`` where the preset does not calibrate.
    """
    if not preset.calibrate:
        return None
    return _fit(raw, preset)


def _fit(raw: HeldOutPredictions, preset: Preset) -> Calibration:
    """Where classes and datasets count the same in training, let them in the combination."""
    truth = class_index(raw.truth, raw.classes)
    if preset.balance_classes and preset.balance_datasets:
        weights = balanced_weights(
            truth, raw.dataset_ids, balance_classes=True, balance_datasets=True
        )
        calibration = fit_calibration(raw.probabilities, truth, weights, len(set(raw.dataset_ids)))
    else:
        calibration = fit_calibration(raw.probabilities, truth)
    _, combined = calibration.apply(raw.probabilities)
    return replace(calibration, pooling=fit_pooling(combined, truth, raw.dataset_ids))


def cross_calibrated(raw: HeldOutPredictions, preset: Preset) -> HeldOutPredictions:
    """Calibrate and combine held-out predictions, each fold by what the others show.

    Parameters
    ----------
    raw
        Of every model kind, not calibrated.
    preset
        Says whether there is a calibration; without one the mean of the kinds is
        their combination.
    """
    folds = np.unique(raw.folds)
    # Many small folds share a calibration: one is a matter of a second.
    part_of = {int(fold): number % PARTS for number, fold in enumerate(folds)}
    parts = np.array([part_of[int(fold)] for fold in raw.folds], dtype=np.int64)
    kinds = (*raw.probabilities, COMBINED)
    result = {kind: np.zeros((len(parts), len(raw.classes))) for kind in kinds}
    for part in np.unique(parts):
        own = parts == part
        calibrated, combined = _calibrated(raw, own, preset)
        for kind, values in {**calibrated, COMBINED: combined}.items():
            result[kind][own] = values
    return replace(raw, probabilities=result)


def _calibrated(
    raw: HeldOutPredictions, own: NDArray[np.bool_], preset: Preset
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    part = select_samples(raw, own).probabilities
    if not preset.calibrate or own.all():
        return dict(part), np.asarray(np.mean(list(part.values()), axis=0))
    calibration = _fit(select_samples(raw, ~own), preset)
    return calibration.apply(part, raw.dataset_ids[own])
