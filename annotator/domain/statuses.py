"""The states of what is stored: each enum has the values of the enum of its name in PostgreSQL."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """How far a training run is, and how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Nothing had changed since the last one."""
    INTERRUPTED = "interrupted"
    """It was told to stop; nothing is wrong."""


class ReleaseStatus(StrEnum):
    """Where a release stands: candidate, then live and retired, or rejected."""

    CANDIDATE = "candidate"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


class PredictionStatus(StrEnum):
    """Whether a prediction answers."""

    SUGGESTED = "suggested"
    ABSTAINED = "abstained"


class ReviewDecision(StrEnum):
    """What a curator decided about a suggestion."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CORRECTED = "corrected"
