"""What a sample needs to be used at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """What a sample needs to be annotated or learned from.

    Attributes
    ----------
    minimum_reads
        Mapped reads.
    minimum_known_features
        Features that it must express, as a share of what is usual.
    """

    minimum_reads: int
    minimum_known_features: float
