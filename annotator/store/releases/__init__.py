"""Releases: training runs, stored models, held-out predictions, explanations."""
