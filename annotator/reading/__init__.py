"""Readers of the files that people have: counts, samples and ontologies."""
