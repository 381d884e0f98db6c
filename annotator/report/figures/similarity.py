"""How easily samples of a class are taken for another (paper, 3.4.3 and Table 5)."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from annotator.report.figures.class_order import class_order, group_breaks, has_order
from annotator.report.figures.drawing import canvas_of, draw, strokes, write
from annotator.report.figures.matrix import Matrix, draw_matrix
from annotator.report.figures.rows import (
    WIDTH,
    height_of_rows,
    key,
    label_room,
    legend_above,
    mark,
    place_rows,
    scale,
    write_column,
)
from annotator.report.figures.theme import LIGHT
from annotator.report.paper_figures import PAPER_STEPS
from annotator.report.words import listed, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure as Canvas

    from annotator.domain.explanations import ClassSimilarity
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure


def similarity(contents: ReportContents) -> Iterable[Figure]:
    """Yield the matrix of steps between classes and the steps to any other class."""
    pairs = [each for each in contents.explanations.answer_similarities if each.rival is not None]
    if any(each.mean_steps is not None for each in pairs):
        yield _matrix(contents, pairs)
    stable = [
        each
        for each in contents.explanations.answer_similarities
        if each.rival is None and each.mean_steps is not None
    ]
    if stable:
        yield _stability(contents, stable)


def _matrix(contents: ReportContents, pairs: Sequence[ClassSimilarity]) -> Figure:
    classes = class_order(
        contents, {each.class_name for each in pairs} | {each.rival or "" for each in pairs}
    )
    place = {name: number for number, name in enumerate(classes)}
    steps = np.full((len(classes), len(classes)), np.nan)
    for each in pairs:
        if each.mean_steps is not None:
            steps[place[each.class_name], place[each.rival or ""]] = each.mean_steps
    low, high = float(np.nanmin(steps)), float(np.nanmax(steps))
    span = math.log(high / low) or 1.0
    middle = math.sqrt(low * high)
    matrix = Matrix(
        rows=classes,
        columns=classes,
        shares=1 - np.log(steps / low) / span,
        texts=[["" if math.isnan(x) else significant(x, 2) for x in row] for row in steps],
        ramp="sequential",
        row_title="samples of",
        column_title="taken for",
        bar=[
            (1 - math.log(value / low) / span, significant(value, 2))
            for value in ((high, middle, low) if high > low else (low,))
        ],
        bar_title="mean number of sRNAs set to zero (few: alike)",
        breaks=group_breaks(contents, classes),
    )
    closest = sorted(
        (each for each in pairs if each.mean_steps is not None),
        key=lambda each: (each.mean_steps, each.class_name, each.rival),
    )
    text = (
        "Mean number of sRNAs that have to be set to zero, those first that support the class most"
        " compared with the rival, until a sample of the class (row) is predicted as the rival"
        " (column). Empty: that never happened. Most alike: "
        + listed(
            [
                f"{each.class_name} to {each.rival} ({significant(each.mean_steps or 0)})"
                for each in closest[:4]
            ]
        )
        + "."
    )
    return draw("similarity", "Similarity of classes", text, partial(draw_matrix, matrix))


def _stability(contents: ReportContents, found: Sequence[ClassSimilarity]) -> Figure:
    steps = {each.class_name: each.mean_steps or 1.0 for each in found}
    if has_order(contents):
        names = list(class_order(contents, steps))
    else:
        names = sorted(steps, key=lambda name: (steps[name], name))
    by_name = {each.class_name: each for each in found}
    field = contents.release.field
    # With two classes "any other" is the one other, which the paper has.
    paper = {
        name: PAPER_STEPS[field, name, rival]
        for name in names
        for rival in names
        if len(names) == 2 and (field, name, rival) in PAPER_STEPS
    }

    def make() -> Canvas:
        here = key("this release", LIGHT.categories[0], "o")
        there = key("paper, Table 5", LIGHT.categories[0], "D", hollow=True)
        canvas = canvas_of(WIDTH, height_of_rows(names))
        axes, middles = place_rows(canvas, 0, names, width=0.8 * WIDTH)
        scale(axes, 0, max([*steps.values(), *paper.values()]) * 1.05, "{:g}".format)
        beneath = [(axes.bbox.width / 2, axes.bbox.height + 20, "sRNAs set to zero")]
        write(axes, beneath, LIGHT.muted, across="center", up="below")
        at = list(zip(names, middles, strict=True))
        lines = [(0, y, steps[name], y) for name, y in at]
        strokes(axes, lines, LIGHT.categories[0], linewidth=2.5)
        mark(axes, [(steps[name], y) for name, y in at], here)
        mark(axes, [(paper.get(name), y) for name, y in at], there, 9)
        shown = [(y, significant(steps[name])) for name, y in at]
        write_column(axes, shown, 44, "", LIGHT.text)
        changed = [(y, f"{by_name[name].changed:,} of {by_name[name].samples:,}") for name, y in at]
        write_column(axes, changed, 124, "samples changed")
        if paper:
            legend_above(axes, [here, there], left=label_room(names), lift=24)
        return canvas

    ends = sorted(steps, key=lambda name: (steps[name], name))
    text = (
        "Mean number of sRNAs that have to be set to zero until a sample of the class is predicted"
        f" as any other. Least stable: {ends[0]} ({significant(steps[ends[0]])}); most"
        f" stable: {ends[-1]} ({significant(steps[ends[-1]])})."
    )
    if paper:
        facts = listed([f"{name} {paper[name]:.1f}" for name in names if name in paper])
        text += f" The paper's, for its own samples: {facts}."
    return draw("stability", "Stability of classes", text, make)
