"""Readers of ontology files: tables, OBO and OBO Graph JSON."""

from __future__ import annotations

from annotator.reading.ontology.reading import read_ontology

__all__ = ["read_ontology"]
