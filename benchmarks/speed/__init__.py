"""Measure time and memory, compared with another version or a baseline."""
