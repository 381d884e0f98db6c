"""Retrain: cohort, validation, candidate, gate."""
