"""Experiments that break things, and check what is left."""
