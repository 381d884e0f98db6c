"""States of stored objects; each enum has the values of the PostgreSQL enum of the same name."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Whether a training run is running, and otherwise how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Nothing had changed since the last one."""
    INTERRUPTED = "interrupted"
    """It was stopped on request; nothing is wrong."""


class ReleaseStatus(StrEnum):
    """The status of a release: candidate, then live and retired, or rejected."""

    CANDIDATE = "candidate"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


class PredictionStatus(StrEnum):
    """Whether a prediction is a suggestion or an abstention."""

    SUGGESTED = "suggested"
    ABSTAINED = "abstained"


class ReviewDecision(StrEnum):
    """The decision of a curator about a suggestion."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CORRECTED = "corrected"
