"""Fills in missing annotations of a small-RNA expression atlas."""

__version__ = "0.1.0"
