"""All figures of a report, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.report.figures.accuracy import accuracy
from annotator.report.figures.confusion import confusions
from annotator.report.figures.drawing import Figure
from annotator.report.figures.enrichment import enrichment
from annotator.report.figures.maps import maps
from annotator.report.figures.markers import markers
from annotator.report.figures.sample import heatmap_of_sample, samples
from annotator.report.figures.selective import selective
from annotator.report.figures.similarity import similarity

if TYPE_CHECKING:
    from annotator.report.contents import ReportContents

__all__ = ["Figure", "figures", "heatmap_of_sample"]


def figures(contents: ReportContents) -> tuple[Figure, ...]:
    """Draw every figure that there are data for.

    Parameters
    ----------
    contents
        The contents of the report.

    Returns
    -------
    tuple of Figure
        In the order of the report. The same contents give the same bytes.
    """
    return tuple(
        figure
        for made in (
            *(maps, accuracy, confusions, selective, markers, samples, similarity, enrichment),
        )
        for figure in made(contents)
    )
