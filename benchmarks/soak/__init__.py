"""Measure growth while the program runs."""
