"""Retraining: cohort, validation, candidate and gate."""
