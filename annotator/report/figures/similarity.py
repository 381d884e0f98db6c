"""How easily samples of a class are taken for another (paper, 3.4.3 and Table 5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.report.figures.class_order import class_order, group_breaks, has_order
from annotator.report.figures.matrix import Matrix, matrix_figure
from annotator.report.figures.parts import (
    LINE_HEIGHT,
    Key,
    Scale,
    label_lines,
    label_width,
    legend,
    legend_height,
    mark,
    row_label,
    ticks,
    upright_grid,
)
from annotator.report.figures.sheet import NARROW, SMALL_TEXT, Sheet
from annotator.report.paper_figures import PAPER_STEPS
from annotator.report.words import listed, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annotator.domain.explanations import ClassSimilarity
    from annotator.report.contents import ReportContents
    from annotator.report.figures.svg import Figure

RELEASE_KEY: Final = Key("this release", "category-0")
PAPER_KEY: Final = Key("paper, Table 5", "category-0", "diamond", hollow=True)
ROW: Final = 19.0
LETTERS: Final = 24


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
    texts = np.array(
        [["" if math.isnan(x) else significant(x, 2) for x in row] for row in steps], dtype=object
    )
    middle = math.sqrt(low * high)
    matrix = Matrix(
        rows=classes,
        columns=classes,
        shares=1 - np.log(steps / low) / span,
        texts=texts,
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
        "Mean number of sRNAs that have to be set to zero, those that speak most for the class and"
        " against the rival first, until the network takes a sample of the class (row) for the"
        " rival (column). Empty: that never happened. Most alike: "
        + listed(
            [
                f"{each.class_name} to {each.rival} ({significant(each.mean_steps or 0)})"
                for each in closest[:4]
            ]
        )
        + "."
    )
    return matrix_figure(matrix, "similarity", "Similarity of classes", text)


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
    heights = [ROW + LINE_HEIGHT * (label_lines(name, LETTERS) - 1) for name in names]
    keys = [RELEASE_KEY, PAPER_KEY] if paper else []
    top = legend_height(keys, NARROW) + 22
    sheet = Sheet(NARROW, top + sum(heights) + 40)
    legend(sheet, 2, 0, keys, NARROW)
    left = label_width(names, LETTERS) + 12
    values = [*steps.values(), *paper.values()]
    across = Scale(0.0, max(values) * 1.05, left, NARROW - 120)
    bottom = top + sum(heights)
    grid = [(value, f"{value:,.4g}") for value in ticks(0.0, across.high, 4)]
    upright_grid(sheet, across, top, bottom, grid, "sRNAs set to zero")
    sheet.text(
        NARROW - 4, top - 10, "samples changed", size=SMALL_TEXT, colour="muted", align="right"
    )
    y = top
    for name, height in zip(names, heights, strict=True):
        middle, each = y + height / 2, by_name[name]
        y += height
        row_label(sheet, left - 8, middle, name, letters=LETTERS)
        sheet.lines([[(left, middle), (across(steps[name]), middle)]], RELEASE_KEY.colour, 2.5)
        mark(sheet, across(steps[name]), middle, RELEASE_KEY, 8.0)
        if name in paper:
            mark(sheet, across(paper[name]), middle, PAPER_KEY, 11.0)
        mean = significant(steps[name])
        sheet.text(NARROW - 80, middle, mean, size=SMALL_TEXT, align="right")
        changed = f"{each.changed:,} of {each.samples:,}"
        sheet.text(NARROW - 4, middle, changed, size=SMALL_TEXT, colour="muted", align="right")
    ends = sorted(steps, key=lambda name: (steps[name], name))
    text = (
        "Mean number of sRNAs that have to be set to zero until the network takes a sample of the"
        f" class for any other. Least stable: {ends[0]} ({significant(steps[ends[0]])}); most"
        f" stable: {ends[-1]} ({significant(steps[ends[-1]])})."
    )
    if paper:
        facts = listed([f"{name} {paper[name]:.1f}" for name in names if name in paper])
        text += f" The paper's, for its own samples: {facts}."
    return sheet.figure("stability", "Stability of classes", text)
