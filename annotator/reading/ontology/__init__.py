"""Readers of ontology files: tables, OBO and OBO Graph JSON."""
