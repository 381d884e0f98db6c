"""Read and check the files for ``annotator import``.

Every reader raises :class:`~annotator.errors.InputError`, with the file, line and
column, for any error in a file; none of them uses a database.
"""

from __future__ import annotations

from annotator.reading.counts.registry import read_counts
from annotator.reading.matching import Matched, Which, match_samples
from annotator.reading.ontology.reading import read_ontology
from annotator.reading.samples.records import CELL_LINE, ORGANISM
from annotator.reading.samples.registry import SampleOptions, Samples, read_samples
from annotator.reading.text.head import Hints

__all__ = [
    "CELL_LINE",
    "ORGANISM",
    "Hints",
    "Matched",
    "SampleOptions",
    "Samples",
    "Which",
    "match_samples",
    "read_counts",
    "read_ontology",
    "read_samples",
]
