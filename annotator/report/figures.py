"""All figures of a report, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.report.figures_accuracy import accuracy
from annotator.report.figures_confusion import confusions
from annotator.report.figures_enrichment import enrichment
from annotator.report.figures_maps import maps
from annotator.report.figures_markers import markers
from annotator.report.figures_sample import heatmap_of_sample
from annotator.report.figures_similarity import similarity
from annotator.report.figures_trust import trust
from annotator.report.sheet import drawing
from annotator.report.svg import Figure

if TYPE_CHECKING:
    from annotator.report.contents import ReportContents

__all__ = ["Figure", "figures", "heatmap_of_sample"]


def figures(contents: ReportContents) -> tuple[Figure, ...]:
    """Draw every figure that there are data for.

    Parameters
    ----------
    contents
        What is reported.

    Returns
    -------
    tuple of Figure
        In the order of the report. The same contents give the same bytes.
    """
    with drawing():
        return tuple(
            figure
            for draw in (maps, accuracy, confusions, trust, markers, similarity, enrichment)
            for figure in draw(contents)
        )
