"""The minimum quality of samples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """The minimum quality of a sample to be annotated or learned from.

    Attributes
    ----------
    minimum_reads
        Number of mapped reads.
    minimum_known_features
        Number of features that it must express, as a share of the usual number.
    """

    minimum_reads: int
    minimum_known_features: float
