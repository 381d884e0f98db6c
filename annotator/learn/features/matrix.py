"""From raw counts to the input matrix of all model kinds.

As in the paper's section 2.2, counts are normalised to reads per million (RPM),
features with too many zeros are left out, and each feature is scaled. All
parameters are fitted on the training samples.

A sample's total, which "per million" refers to, is the sum of its counts over
*all* sRNA features of the given profile, before any filter. Contaminants are
divided by the same total, because the degree of a contamination is its share
relative to the reads of the cell, not to other contaminants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import CohortError
from annotator.learn.features.alignment import aligned_counts, feature_coverage, total_reads
from annotator.learn.models.preset import (
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

    from annotator.domain.profiles import Profiles

__all__ = [
    "AlignedProfiles",
    "FittedFeatures",
    "align_profiles",
    "aligned_counts",
    "feature_coverage",
    "fit_features",
    "frequent_features",
    "reads_per_million",
    "total_reads",
]


LARGEST_RPM = 1e12
"""Contaminants can have more reads than all sRNAs, which their RPM refer to."""


@dataclass(frozen=True, eq=False)
class AlignedProfiles:
    """Samples in the features of a model, from which it computes everything else.

    Attributes
    ----------
    rpm
        Reads per million, 0 for a sample without reads, ``(samples, features)``, float32.
    expressed
        Number of features with reads in each sample, ``(samples,)``, float64.
    """

    rpm: NDArray[np.float32]
    expressed: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> AlignedProfiles:
        """Return some of the samples."""
        return AlignedProfiles(self.rpm[rows], self.expressed[rows])


def align_profiles(profiles: Profiles, names: tuple[str, ...]) -> AlignedProfiles:
    """Align profiles by name once, for all further steps.

    Parameters
    ----------
    profiles
        Profiles with features in any order and of any namespace that
        :mod:`annotator.learn.features.matching` can read.
    names
        The features of the model.
    """
    aligned = aligned_counts(profiles, names)
    expressed = np.count_nonzero(aligned, axis=1).astype(np.float64)
    totals = total_reads(profiles)
    factors = np.divide(1e6, totals, out=np.zeros_like(totals), where=totals > 0)
    aligned *= factors.astype(np.float32)[:, None]
    return AlignedProfiles(aligned, expressed)


def reads_per_million(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the named features in reads per million, 0 for a sample without reads.

    Returns
    -------
    NDArray[float32]
        Shape ``(samples, len(names))``.
    """
    return align_profiles(profiles, names).rpm


@dataclass(frozen=True, eq=False)
class FittedFeatures:
    """The features of a model and the scaling of their values.

    Attributes
    ----------
    names
        The features, in the order of the models' inputs.
    options
        The options by which they were chosen and scaled.
    offset, scale
        The scaling: ``input = (normalised - offset) * scale``, each ``(features,)``, float32.
    """

    names: tuple[str, ...]
    options: FeatureOptions
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]

    def normalised(self, profiles: Profiles) -> NDArray[np.float32]:
        """Return normalised values (RPM or logarithms) before scaling, ``(samples, features)``."""
        return _normalise(reads_per_million(profiles, self.names), self.options)

    def inputs_of_rpm(self, rpm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Make the models' inputs as :meth:`transform` does, from reads per million."""
        return self.scaled(_normalise(rpm.copy(), self.options))

    def largest_inputs(self) -> NDArray[np.float32]:
        """Return a limit of the absolute value of each input, for any counts, ``(features,)``."""
        extremes = np.array([[0.0], [LARGEST_RPM]], np.float32).repeat(len(self.names), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.abs(self.inputs_of_rpm(extremes)).max(axis=0))

    def scaled(self, normalised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale the matrix of :meth:`normalised`; the result is a new array."""
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
            The samples. They may have other features, in another order and in another
            namespace: features are aligned by :mod:`annotator.learn.features.alignment`,
            and absent ones count as 0 reads.

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


def frequent_features(
    profiles: Profiles, kinds: Iterable[str], maximum_zero_share: float
) -> tuple[str, ...]:
    """Return the features of some kinds that are expressed in enough samples."""
    counts = profiles.counts
    samples = counts.shape[0]
    expressed = np.bincount(counts.indices[counts.data != 0], minlength=counts.shape[1])
    of_kind = np.isin(profiles.kinds.astype(str), [str(kind) for kind in kinds])
    # In whole samples, so that rounding does not distort a share such as 0.3.
    most_zeros = np.floor(maximum_zero_share * samples + 1e-9)
    chosen = np.asarray(of_kind & (samples - expressed <= most_zeros) & (expressed > 0))
    return tuple(str(name) for name in profiles.features[chosen])


def fit_features(
    profiles: Profiles, options: FeatureOptions, kinds: Iterable[str]
) -> FittedFeatures:
    """Choose the features and fit their scaling on training samples.

    Zeros are counted in the raw counts. Only the chosen columns become dense.

    Parameters
    ----------
    profiles
        The training samples.
    options
        Normalisation, zero filter, scaling.
    kinds
        The feature kinds that the field's models may see.

    Returns
    -------
    FittedFeatures

    Raises
    ------
    CohortError
        No feature is expressed in enough samples.
    """
    names = frequent_features(profiles, kinds, options.maximum_zero_share)
    if not names:
        raise CohortError(
            f"none of {len(profiles.features)} features is expressed in at least"
            f" {1 - options.maximum_zero_share:.0%} of {len(profiles.sample_ids)} training samples;"
            " add samples or use a preset with a looser zero filter"
        )
    values = _normalise(reads_per_million(profiles, names), options)
    if options.scaling == MINMAX:
        # As with scikit-learn's MinMaxScaler, new values may lie outside [0, 1].
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
