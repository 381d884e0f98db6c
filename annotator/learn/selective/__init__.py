"""Selective prediction: calibrated probabilities, thresholds and abstention."""
