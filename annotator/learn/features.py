"""From raw counts to the matrix that every model kind sees.

The paper's section 2.2: counts are normalised to reads per million (RPM),
features with too many zeros are left out, and each feature is scaled. All that
is fitted is fitted on the training samples.

A sample's total, which "per million" refers to, is the sum of its counts over
*all* sRNA features of the profile as given, before any filter. Contaminants
are divided by the same total: their share of the reads of the cell, not of one
another, is what a contamination is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import CohortError
from annotator.learn.alignment import aligned_counts, feature_coverage, total_reads
from annotator.learn.options import (
    CENTRED,
    LOG_RPM,
    MINMAX,
    PARETO,
    STANDARD,
    FeatureOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from annotator.domain import Profiles

__all__ = [
    "FittedFeatures",
    "aligned_counts",
    "feature_coverage",
    "fit_features",
    "reads_per_million",
    "total_reads",
]


def reads_per_million(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the named features in reads per million, 0 where a sample has no reads.

    Returns
    -------
    NDArray[float32]
        Shape ``(samples, len(names))``.
    """
    totals = total_reads(profiles)
    factors = np.divide(1e6, totals, out=np.zeros_like(totals), where=totals > 0)
    normalised = aligned_counts(profiles, names)
    normalised *= factors.astype(np.float32)[:, None]
    return normalised


@dataclass(frozen=True, eq=False)
class FittedFeatures:
    """The features of a model and how their values are scaled.

    Attributes
    ----------
    names
        The features, in the order of the models' inputs.
    options
        How they were chosen and scaled.
    offset, scale
        ``input = (normalised - offset) * scale``, each ``(features,)``, float32.
    """

    names: tuple[str, ...]
    options: FeatureOptions
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]

    def normalised(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return RPM or log2(1 + RPM) before scaling, ``(samples, features)``."""
        return _normalise(reads_per_million(profiles, self.names), self.options)

    def scaled(self, normalised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale the matrix of :meth:`normalised` in a new array."""
        inputs = normalised - self.offset
        inputs *= self.scale
        if self.options.clip > 0:
            np.clip(inputs, -self.options.clip, self.options.clip, out=inputs)
        return inputs

    def transform(self, profiles: Profiles) -> NDArray[np.float32]:
        """Make the models' inputs.

        Parameters
        ----------
        profiles
            May have other features, in another order and in another namespace:
            they are aligned by :mod:`annotator.learn.alignment`, and absent
            ones count as 0 reads.

        Returns
        -------
        NDArray[float32]
            Shape ``(samples, features)``.
        """
        return self.scaled(self.normalised(profiles))


def _normalise(rpm: NDArray[np.float32], options: FeatureOptions) -> NDArray[np.float32]:
    if options.normalisation == LOG_RPM:
        rpm *= np.float32(1 / options.pseudocount)
        np.log1p(rpm, out=rpm)
        rpm *= np.float32(1 / np.log(2))
    return rpm


def _chosen(
    counts: csr_matrix, profiles: Profiles, kinds: Iterable[str], maximum_zero_share: float
) -> NDArray[np.bool_]:
    """Say which features are of the kinds and expressed in enough samples."""
    samples = counts.shape[0]
    expressed = np.bincount(counts.indices[counts.data != 0], minlength=counts.shape[1])
    of_kind = np.isin(profiles.kinds.astype(str), [str(kind) for kind in kinds])
    # In whole samples, so that a share such as 0.3 is not lost to rounding.
    most_zeros = np.floor(maximum_zero_share * samples + 1e-9)
    return np.asarray(of_kind & (samples - expressed <= most_zeros) & (expressed > 0))


def fit_features(
    profiles: Profiles, options: FeatureOptions, kinds: Iterable[str]
) -> FittedFeatures:
    """Choose the features and fit their scaling on training samples.

    Zeros are counted in the raw counts. Only the chosen columns are made dense.

    Parameters
    ----------
    profiles
        The training samples.
    options
        Normalisation, zero filter, scaling.
    kinds
        Feature kinds that the field's models may see.

    Returns
    -------
    FittedFeatures

    Raises
    ------
    CohortError
        No feature is expressed in enough samples.
    """
    chosen = _chosen(profiles.counts, profiles, kinds, options.maximum_zero_share)
    names = tuple(str(name) for name in profiles.features[chosen])
    if not names:
        raise CohortError(
            f"none of {len(profiles.features)} features is expressed in at least"
            f" {1 - options.maximum_zero_share:.0%} of {len(profiles.sample_ids)} training samples;"
            " add samples or use a preset with a looser zero filter"
        )
    values = _normalise(reads_per_million(profiles, names), options)
    if options.scaling == MINMAX:
        # As scikit-learn's MinMaxScaler: unseen values may leave [0, 1].
        offset, spread = values.min(axis=0), np.ptp(values, axis=0)
    elif options.scaling in (STANDARD, PARETO, CENTRED):
        offset = values.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = values.std(axis=0, dtype=np.float64).astype(np.float32)
        if options.scaling == PARETO:
            np.sqrt(spread, out=spread)
        elif options.scaling == CENTRED:
            spread = np.ones_like(spread)
    else:
        offset, spread = np.zeros(len(names), np.float32), np.ones(len(names), np.float32)
    scale = np.divide(1, spread, out=np.ones_like(spread), where=spread > 0)
    return FittedFeatures(names, options, offset.astype(np.float32), scale.astype(np.float32))
