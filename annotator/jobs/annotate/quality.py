"""Find samples with too few reads or features to predict or to learn from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import SampleError
from annotator.learn.features.matrix import frequent_features
from annotator.learn.features.naming import naming_of
from annotator.learn.release.field_model import expressed_features
from annotator.store.sample_rows import (
    CONTRADICTING_LABELS,
    NO_DATASET,
    REPEATED_SAMPLE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from annotator.domain.profiles import Cohort, Profiles
    from annotator.domain.quality import Quality
    from annotator.jobs.annotate.live_models import LiveModel
    from annotator.jobs.annotate.plan import AnnotatePlan
    from annotator.learn.models.preset import Preset

TOO_FEW_READS = "too_few_reads"
TOO_FEW_KNOWN_FEATURES = "too_few_known_features"


CHUNK = 1000
"""Number of samples whose features are counted at a time, as dense counts."""


def unusable_samples(
    live: LiveModel,
    profiles: Profiles,
    plan: AnnotatePlan,
    known: NDArray[np.float64] | None = None,
) -> dict[str, tuple[SampleError, bool]]:
    """Find samples with too few reads or features, and whether only this release rejects them.

    As for labelled samples, only reads of the field's kinds of features count. ``known``
    holds the samples' shares of known features, if they have been computed already.
    """
    found: dict[str, tuple[SampleError, bool]] = {}
    known = live.model.known_features(profiles) if known is None else known
    quality = plan.quality
    of_field = np.isin(profiles.kinds.astype(str), plan.feature_kinds[live.release.field])
    reads = _reads(profiles.counts[:, np.flatnonzero(of_field)])
    samples = zip(profiles.sample_ids, reads, known, strict=True)
    for row, (name, total, share) in enumerate(samples):
        if total < quality.minimum_reads:
            found[name] = _too_few_reads(total, quality), False
        elif share < quality.minimum_known_features:
            reason = (
                f"expresses {share:.1%} as many of release {live.release.release_id}'s features"
                f" as a typical training sample; at least {quality.minimum_known_features:.1%}"
                f" are needed{_other_organism(profiles, row)}"
            )
            found[name] = SampleError(TOO_FEW_KNOWN_FEATURES, reason), True
    return found


def unusable_labelled(cohort: Cohort, preset: Preset, quality: Quality) -> dict[str, SampleError]:
    """Find labelled samples with too few reads or features to learn from.

    There is no release yet whose features could be counted. Instead, the features that
    a release of this cohort would start from are counted: those of the field that pass
    the preset's zero filter among the samples with enough reads. A sample must express
    at least ``minimum_known_features`` times the median of these samples.

    Parameters
    ----------
    cohort
        The labelled samples.
    preset
        Preset whose zero filter decides which features count.
    quality
        Requirements that a sample must meet.

    Returns
    -------
    dict
        Sample to the reason, with the same code as in annotating.
    """
    profiles = cohort.profiles
    reads = _reads(profiles.counts)
    found = {
        str(profiles.sample_ids[row]): _too_few_reads(reads[row], quality)
        for row in np.flatnonzero(reads < quality.minimum_reads)
    }
    rows = np.flatnonzero(reads >= quality.minimum_reads)
    rest = replace(cohort, profiles=profiles.take(rows))
    for name, share in zip(rest.profiles.sample_ids, _known_features(rest, preset), strict=True):
        if share < quality.minimum_known_features:
            reason = (
                f"expresses {share:.1%} as many of the features that samples with a {cohort.field}"
                f" label usually express as a typical one of them; at least"
                f" {quality.minimum_known_features:.1%} are needed"
            )
            found[str(name)] = SampleError(TOO_FEW_KNOWN_FEATURES, reason)
    return found


def left_out_notes(
    left_out: Mapping[str, SampleError], labelled: int, quality: Quality
) -> tuple[str, ...]:
    """Return a sentence with the number of labelled samples left out, and why, if there are any."""
    if not left_out:
        return ()
    words = {
        TOO_FEW_READS: f"with fewer than {quality.minimum_reads} mapped reads",
        TOO_FEW_KNOWN_FEATURES: (
            f"with fewer than {quality.minimum_known_features:.0%} of the usual number of features"
        ),
        NO_DATASET: "without a dataset",
        REPEATED_SAMPLE: "with several rows in atlas.sample",
        CONTRADICTING_LABELS: "with labels that contradict each other",
    }
    reasons = ", ".join(
        f"{count} {words.get(code, f'whose counts are not usable ({code})')}"
        for code, count in left_out_counts(left_out).items()
    )
    return (f"{len(left_out)} of {labelled} labelled samples are left out: {reasons}.",)


def left_out_counts(left_out: Mapping[str, SampleError]) -> dict[str, int]:
    """Count the samples left out per code, in the order of the codes."""
    return dict(sorted(Counter(error.code for error in left_out.values()).items()))


def _reads(counts: csr_matrix) -> NDArray[np.float64]:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _too_few_reads(total: float, quality: Quality) -> SampleError:
    reason = f"{total:.0f} mapped reads; at least {quality.minimum_reads} are needed"
    return SampleError(TOO_FEW_READS, reason)


def _other_organism(profiles: Profiles, row: int) -> str:
    """Return a note if the miRNAs of a sample are named for another organism."""
    counts = profiles.counts
    columns = counts.indices[counts.indptr[row] : counts.indptr[row + 1]]
    species = naming_of(profiles.features[columns].tolist()).foreign_species
    return "" if species is None else f"; its miRNAs are of another organism ({species})"


def _known_features(cohort: Cohort, preset: Preset) -> NDArray[np.float64]:
    """Return how many of the usual features each sample expresses, relative to the median."""
    profiles = cohort.profiles
    samples = len(profiles.sample_ids)
    names = frequent_features(
        profiles, cohort.definition.feature_kinds, preset.features.maximum_zero_share
    )
    if not names:
        return np.ones(samples)
    expressed = np.concatenate(
        [
            expressed_features(profiles.take(np.arange(start, min(start + CHUNK, samples))), names)
            for start in range(0, samples, CHUNK)
        ]
    )
    return expressed / max(float(np.median(expressed)), 1.0)
