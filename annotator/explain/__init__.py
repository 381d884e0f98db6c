"""Explanations: the contributions of features to predictions, computed without a database."""
