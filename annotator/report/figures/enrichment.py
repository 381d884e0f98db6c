"""Which given sets of sRNAs are over-represented among the markers (paper, Fig. 12)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.domain.wording import counted
from annotator.report.figures.class_order import class_order
from annotator.report.figures.drawing import draw
from annotator.report.figures.matrix import Matrix, draw_matrix
from annotator.report.tables.cells import small_number
from annotator.report.tables.explanations import SIGNIFICANT
from annotator.report.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annotator.domain.explanations import ClassEnrichment
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

MOST_SETS: Final = 24
MOST_DIGITS: Final = 10.0  # -log10 of q at the end of the scale of colours

Set = tuple[str, str]


def enrichment(contents: ReportContents) -> Iterable[Figure]:
    """Yield the matrix of classes and sets, where enrichment was tested."""
    found = contents.explanations.enrichments
    if not found:
        return
    sets = _shown_sets(found)
    classes = class_order(contents, {each.class_name for each in found})
    shares = np.full((len(classes), len(sets)), np.nan)
    areas = np.zeros(shape=shares.shape)
    for each in found:
        if (each.source, each.set_name) not in sets:
            continue
        place = classes.index(each.class_name), sets.index((each.source, each.set_name))
        if each.q_value < SIGNIFICANT:
            digits = -np.log10(max(each.q_value, 1e-300))
            shares[place] = min(0.25 + 0.75 * digits / MOST_DIGITS, 1.0)
        else:
            shares[place] = 0.1
        areas[place] = each.overlap / max(each.set_size, 1)
    several = len({source for source, _ in sets}) > 1
    bar = [(0.1, "≥ 0.05"), *((0.25 + 0.075 * n, f"10{up}") for n, up in ((4, "⁻⁴"), (10, "⁻¹⁰")))]
    matrix = Matrix(
        rows=classes,
        columns=[f"{name} ({source})" if several else name for source, name in sets],
        shares=shares,
        ramp="sequential",
        row_title="markers of",
        column_title="set",
        bar=bar,
        bar_title="q-value; area: share of the set that are markers",
        square=False,
        areas=areas,
    )
    yield draw(
        "enrichment",
        "Enrichment of known sets",
        _text(found, len(sets)),
        partial(draw_matrix, matrix),
    )


def _shown_sets(found: Iterable[ClassEnrichment]) -> list[Set]:
    """Return the sets in their order; of many only those with the smallest p-values."""
    best: dict[Set, float] = {}
    for each in found:
        key = (each.source, each.set_name)
        best[key] = min(best.get(key, 1.0), each.p_value)
    leading = set(sorted(best, key=lambda key: (best[key], key))[:MOST_SETS])
    return [key for key in best if key in leading]


def _text(found: tuple[ClassEnrichment, ...], shown: int) -> str:
    tested = len({(each.source, each.set_name) for each in found})
    hits = sorted(
        (each for each in found if each.q_value < SIGNIFICANT),
        key=lambda each: (each.q_value, each.p_value, each.class_name, each.set_name),
    )
    text = (
        f"Over-representation of {counted(tested, 'set')} of sRNAs among the markers of each class"
        " (hypergeometric test, q-values by Benjamini and Hochberg). The background of a class is"
        " the features that it expresses above the median of the classes."
    )
    if shown < tested:
        text += f" Shown are the {shown} sets with the smallest p-values."
    if not hits:
        return f"{text} None reaches a q-value below {SIGNIFICANT}."
    leading = [
        f"{each.set_name} in {each.class_name} ({each.overlap} of {each.set_size}, q"
        f" {small_number(each.q_value)})"
        for each in hits[:4]
    ]
    return f"{text} {counted(len(hits), 'pair')} below {SIGNIFICANT}; first {listed(leading)}."
