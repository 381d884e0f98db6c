"""Measure how the program withstands faults."""
