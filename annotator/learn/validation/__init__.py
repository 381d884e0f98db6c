"""Validation on held-out datasets, and the gate."""
