"""Samples with too little in them to be predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import SampleError

if TYPE_CHECKING:
    from annotator.domain import Profiles
    from annotator.jobs.live_models import LiveModel
    from annotator.settings import Settings


def unusable_samples(
    live: LiveModel, profiles: Profiles, settings: Settings
) -> dict[str, tuple[SampleError, bool]]:
    """Find samples with too little in them, and whether only this release minds."""
    found: dict[str, tuple[SampleError, bool]] = {}
    reads = np.asarray(profiles.counts.sum(axis=1, dtype=np.float64)).ravel()
    known = live.model.known_features(profiles)
    for name, total, share in zip(profiles.sample_ids, reads, known, strict=True):
        if total < settings.minimum_reads:
            reason = f"{total:.0f} mapped reads; at least {settings.minimum_reads} are needed"
            found[name] = SampleError("too_few_reads", reason), False
        elif share < settings.minimum_known_features:
            reason = (
                f"expresses {share:.1%} as many of release {live.release.release_id}'s features"
                f" as a typical training sample; at least {settings.minimum_known_features:.1%}"
                " are needed"
            )
            found[name] = SampleError("too_few_known_features", reason), True
    return found
