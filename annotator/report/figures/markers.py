"""Which sRNAs set the classes apart, and how they are expressed (paper, Fig. 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.report.figures.class_order import class_order
from annotator.report.figures.matrix import colour_bar
from annotator.report.figures.parts import LINE_HEIGHT, label_lines, label_width, row_label
from annotator.report.figures.sheet import NARROW, SMALL_TEXT, Sheet, text_width, wrapped
from annotator.report.words import count, listed, percent, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassMarker
    from annotator.report.contents import ReportContents
    from annotator.report.figures.svg import Figure

Markers = dict[str, list["ClassMarker"]]

BAR, STABLE, TREES, GAP = 70.0, 44.0, 42.0, 26.0
LINE: Final = 16.0
STABLE_ENOUGH: Final = 0.8
MOST_BINS: Final = 1600  # pixels across the bitmap
DOUBLINGS: Final = 3.0  # at the ends of the scale of colours
ROW_PIXELS: Final = 4
ROW: Final = 17.0
ROW_OF_FEW: Final = 26.0  # of up to 8 classes
LETTERS: Final = 32


def markers(contents: ReportContents) -> Iterable[Figure]:
    """Yield the leading markers of each class and the expression of all of them."""
    by_class: Markers = {}
    for marker in contents.explanations.markers:
        by_class.setdefault(marker.class_name, []).append(marker)
    if not by_class:
        return
    ordered = {
        name: sorted(by_class[name], key=lambda marker: marker.rank)
        for name in class_order(contents, by_class)
    }
    yield _leading(ordered)
    known = contents.release.classes
    if all(len(each.expression) == len(known) for each in contents.explanations.markers):
        yield _expression(ordered, known)


def _leading(by_class: Markers) -> Figure:
    """Draw the first few markers of each class: bars of D1, how stable, rank by the trees."""
    shown = 10 if len(by_class) <= 6 else 8 if len(by_class) <= 15 else 5
    columns = 1 if len(by_class) <= 2 else 2 if len(by_class) <= 6 else 3
    leading = {name: found[:shown] for name, found in by_class.items()}
    everything = [marker for found in leading.values() for marker in found]
    names = max(text_width(marker.feature, SMALL_TEXT) for marker in everything) + 8
    block = names + BAR + STABLE + TREES
    rows = -(-len(leading) // columns)
    letters = 36
    titles = max(label_lines(name, letters) for name in leading) * LINE_HEIGHT
    height = titles + 8 + (shown + 1) * LINE + 14
    width = max(NARROW, columns * block + (columns - 1) * GAP + 4)
    sheet = Sheet(width, rows * height)
    most = max(marker.score for marker in everything)
    for number, (name, found) in enumerate(leading.items()):
        left = 2 + number // rows * (block + GAP)
        top = number % rows * height
        lines = wrapped(name, letters)
        for line, text in enumerate(lines):
            below = LINE_HEIGHT * (len(lines) - line)
            sheet.text(left, top + titles - below + 9, text, bold=True)
        _block(sheet, left, top + titles + 8, names, found, most)
    stable = [each.stability for found in by_class.values() for each in found]
    return sheet.figure("markers", "Leading markers of each class", _text(leading, stable))


def _block(
    sheet: Sheet, left: float, top: float, names: float, found: Sequence[ClassMarker], most: float
) -> None:
    bars = left + names
    stable, trees = bars + BAR + STABLE, bars + BAR + STABLE + TREES
    for x, head in ((stable, "stable"), (trees, "trees")):
        sheet.text(x, top + 6, head, size=10, colour="muted", align="right")
    sheet.text(bars, top + 6, "D1", size=10, colour="muted")
    boxes = []
    for number, marker in enumerate(found):
        y = top + (number + 1.5) * LINE
        sheet.text(left, y, marker.feature, size=SMALL_TEXT)
        boxes.append((bars, y - 5, max(BAR * marker.score / most, 1.0), 10.0))
        said = (
            "–" if marker.stability is None else f"{100 * marker.stability:.0f}\N{NO-BREAK SPACE}%"
        )
        rank = "–" if marker.tree_rank is None else f"{marker.tree_rank}."
        sheet.text(stable, y, said, size=SMALL_TEXT, colour="muted", align="right")
        sheet.text(trees, y, rank, size=SMALL_TEXT, colour="muted", align="right")
    sheet.rectangles(boxes, "category-0")


def _text(leading: Mapping[str, Sequence[ClassMarker]], stable: Sequence[float | None]) -> str:
    first = [f"{name}: {found[0].feature}" for name, found in list(leading.items())[:6]]
    more = "; …" if len(leading) > 6 else ""
    text = (
        "The sRNAs whose DeepLIFT scores speak most for a class and least for the others. Bars: D1,"
        " the mean difference in logits, on one scale"
        f" (largest {significant(max(found[0].score for found in leading.values()))}). Stable:"
        " share of the models made without a part of the datasets that have the sRNA among the"
        " markers, too. Trees: its rank in the random forest by tree SHAP. First of each class:"
        f" {'; '.join(first)}{more}."
    )
    known = [each for each in stable if each is not None]
    if known:
        share = sum(each >= STABLE_ENOUGH for each in known) / len(known)
        text += (
            f" {percent(share)} of all markers are among those of at least"
            f" {100 * STABLE_ENOUGH:.0f}\N{NO-BREAK SPACE}% of these models."
        )
    return text


def relative_expression(found: Sequence[ClassMarker]) -> NDArray[np.float64]:
    """Return how many doublings the expression in each class is above the mean of all.

    Parameters
    ----------
    found
        Markers.

    Returns
    -------
    ndarray of float64, (classes, markers)
        ``log2(RPM + 1)`` less its mean over the classes.
    """
    doublings = np.log2(1.0 + np.array([marker.expression for marker in found])).T
    return np.asarray(doublings - doublings.mean(axis=0), dtype=np.float64)


def _expression(by_class: Markers, known: Sequence[str]) -> Figure:
    """Draw each class's markers side by side in its column, their expression in all classes."""
    rows = [name for name in by_class if name in set(known)]
    place = [list(known).index(name) for name in rows]
    bins = max(1, min(MOST_BINS // len(rows), max(len(by_class[name]) for name in rows)))
    blocks = [_binned(relative_expression(by_class[name])[place], bins) for name in rows]
    left = label_width(rows, LETTERS) + 10
    row = ROW_OF_FEW if len(rows) <= 8 else ROW
    column = max((NARROW - left - 4) / len(rows), ROW)
    upright = label_width(rows, LETTERS) > column - 4
    lines = max(label_lines(name, LETTERS) for name in rows)
    if upright:
        column = max(column, LINE_HEIGHT * lines + 2)
    heights = [max(row, LINE_HEIGHT * label_lines(name, LETTERS) + 2) for name in rows]
    top = 86 + (label_width(rows, LETTERS) if upright else LINE_HEIGHT * lines)
    width = max(NARROW, left + column * len(rows) + 4)
    sheet = Sheet(width, top + sum(heights) + 8)
    labels = [(0.0, "⅛ ×"), (0.5, "mean"), (1.0, "8 ×")]
    colour_bar(sheet, 2, 0, "diverging", labels, "expression against the mean of all classes")
    sheet.text(left, 66, "markers of, best first →", size=SMALL_TEXT, colour="muted")
    for number, name in enumerate(rows):
        x = left + (number + 0.5) * column
        for line, text in enumerate(wrapped(name, LETTERS)):
            if upright:
                shift = LINE_HEIGHT * (line - (label_lines(name, LETTERS) - 1) / 2)
                sheet.text(x + shift, top - 5, text, size=SMALL_TEXT, upwards=True)
            else:
                below = LINE_HEIGHT * (label_lines(name, LETTERS) - 1 - line)
                sheet.text(x, top - 10 - below, text, size=SMALL_TEXT, align="center")
    y = top
    shares = np.hstack(blocks) / (2 * DOUBLINGS) + 0.5
    for number, (name, height) in enumerate(zip(rows, heights, strict=True)):
        row_label(sheet, left - 8, y + height / 2, name, letters=LETTERS)
        box = (left, y, column * len(rows), height - 1)
        sheet.picture(box, np.tile(shares[number], (ROW_PIXELS, 1)), "diverging")
        y += height
    edges = [left + number * column for number in range(1, len(rows))]
    sheet.lines([[(x, top), (x, y)] for x in edges], "surface", 1.5)
    return sheet.figure(
        "marker-expression", "Expression of the markers", _expression_text(by_class, known)
    )


def _binned(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return the means of neighbouring columns, always so many; fewer columns are repeated."""
    columns = values.shape[1]
    starts = np.arange(bins) * columns // bins
    ends = np.maximum((np.arange(bins) + 1) * columns // bins, starts + 1)
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    return np.asarray((sums[:, ends] - sums[:, starts]) / (ends - starts), dtype=np.float64)


def _expression_text(by_class: Markers, known: Sequence[str]) -> str:
    place = {name: number for number, name in enumerate(known)}
    highest = {
        name: float(np.mean([int(np.argmax(each.expression)) == place[name] for each in found]))
        for name, found in by_class.items()
        if name in place
    }
    total = sum(len(found) for found in by_class.values())
    overall = sum(highest[name] * len(by_class[name]) for name in highest) / max(total, 1)
    best = sorted(highest, key=lambda name: (-highest[name], name))[:3]
    return (
        f"Mean expression of {count(total, 'marker')} in each class (rows), a column of markers a"
        " class, best first: doublings above or below the mean of all classes."
        f" {percent(overall)} of the markers are expressed most in the class that they mark;"
        f" most often in {listed([f'{name} ({percent(highest[name])})' for name in best])}."
    )
