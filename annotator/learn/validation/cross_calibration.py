"""Calibrations that are fitted on held-out predictions: a release's, and a validation's own."""

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
    return _fit(raw)


def _fit(raw: HeldOutPredictions) -> Calibration:
    truth = raw.truth_index
    calibration = fit_calibration(raw.probabilities, truth)
    _, combined = calibration.apply(raw.probabilities)
    return replace(calibration, pooling=fit_pooling(combined, truth, raw.dataset_ids))


@dataclass(frozen=True, eq=False)
class Part:
    """Some folds, and what the others show with the calibration that is fitted on them.

    Attributes
    ----------
    own
        The samples of these folds, ``(samples,)``.
    others
        Those of all other folds, calibrated and combined as the samples of this part are:
        what a release would be made from without this part.
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
        Of every model kind, not calibrated.
    calibration
        ``None``: the mean of the kinds is their combination.
    """
    if calibration is None:
        combined = np.mean(list(raw.probabilities.values()), axis=0)
        return replace(raw, probabilities={**raw.probabilities, COMBINED: np.asarray(combined)})
    calibrated, combined = calibration.apply(raw.probabilities, raw.dataset_ids)
    return replace(raw, probabilities={**calibrated, COMBINED: combined})


def cross_calibrated(
    raw: HeldOutPredictions, preset: Preset
) -> tuple[HeldOutPredictions, tuple[Part, ...]]:
    """Calibrate and combine held-out predictions, each fold by what the others show.

    Parameters
    ----------
    raw
        Of every model kind, not calibrated.
    preset
        Says whether there is a calibration; without one the mean of the kinds is
        their combination.

    Returns
    -------
    predictions : HeldOutPredictions
        Of every kind and ``"combined"``.
    parts : tuple of Part
        Folds that share a calibration; none where there is but one fold or the preset
        does not calibrate.
    """
    folds = np.unique(raw.folds)
    if not preset.calibrate or len(folds) < 2:
        return with_calibration(raw, None), ()
    # Many small folds share a calibration: one is a matter of a second.
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
