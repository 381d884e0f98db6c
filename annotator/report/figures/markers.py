"""Which sRNAs set the classes apart, and how they are expressed (paper, Fig. 11)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage

from annotator.domain.wording import counted
from annotator.report.figures.class_order import class_order
from annotator.report.figures.drawing import (
    LINE,
    NARROW,
    canvas_of,
    draw,
    most_lines,
    place,
    plain,
    strokes,
    widest,
    wrapped,
    write,
)
from annotator.report.figures.matrix import (
    bitmap,
    colour_bar,
    head_columns,
    letters_for,
    separate,
)
from annotator.report.figures.rows import TITLE, in_per_cent
from annotator.report.figures.theme import LIGHT
from annotator.report.words import listed, percent, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassMarker
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

Markers = dict[str, list["ClassMarker"]]
Tree = tuple["Sequence[Sequence[float]]", "Sequence[Sequence[float]]"]

BAR, STABLE, TREES, GAP = 70.0, 52.0, 98.0, 26.0
STABLE_ENOUGH: Final = 0.8
DOUBLINGS: Final = 3.0  # at the ends of the scale of colours
ROW: Final = 17.0
MOST_BINS: Final = 1000  # columns of the bitmap
TREE: Final = 60.0  # width of the tree of clusters
CLUSTER: Final = 0.7  # share of the largest distance that clusters are closer than


def markers(contents: ReportContents) -> Iterable[Figure]:
    """Yield the leading markers of each class and the expression of all of them."""
    by_class = contents.markers_by_class()
    if not by_class:
        return
    ordered = {name: by_class[name] for name in class_order(contents, by_class)}
    shown = 10 if len(by_class) <= 6 else 8 if len(by_class) <= 15 else 5
    leading = {name: found[:shown] for name, found in ordered.items()}
    stable = [each.stability for found in ordered.values() for each in found]
    yield draw(
        "markers",
        "Leading markers of each class",
        _text(leading, stable),
        partial(_draw_leading, leading, shown),
    )
    known = contents.release.classes
    if all(len(each.expression) == len(known) for each in contents.explanations.markers):
        yield _expression({name: ordered[name] for name in ordered if name in known}, known)


def _draw_leading(leading: Mapping[str, Sequence[ClassMarker]], shown: int) -> Canvas:
    """Draw a panel for each class: bars of D1, how stable each is, its rank by the trees."""
    columns = 1 if len(leading) <= 2 else 2 if len(leading) <= 6 else 3
    rows = -(-len(leading) // columns)
    names = 6 + widest(plain(each.feature) for found in leading.values() for each in found)
    titles = [wrapped(name, 34) for name in leading]
    above = LINE * most_lines(titles) + 34
    panel = names + BAR + TREES + GAP, above + ROW * shown
    most = max(each.score for found in leading.values() for each in found)
    canvas = canvas_of(columns * panel[0] - GAP, rows * panel[1])
    axes = place(canvas, 0, 0, 1, 1)  # one for all panels, whose places are in pixels
    corners = [
        (number // rows * panel[0], number % rows * panel[1]) for number in range(len(leading))
    ]
    markers = [
        (left, top + (rank + 0.5) * ROW, marker)
        for (left, top), found in zip(corners, leading.values(), strict=True)
        for rank, marker in enumerate(found)
    ]
    above_panels = [
        (left - names, top - 22, title) for (left, top), title in zip(corners, titles, strict=True)
    ]
    write(axes, above_panels, up="above", size=TITLE, is_bold=True)
    heads = ((18, "D1"), (BAR + STABLE, "stable"), (BAR + TREES, "trees"))
    places = [(x + shift, y - 5, text) for x, y in corners for shift, text in heads]
    write(axes, places, LIGHT.muted, across="right", up="above")
    write(axes, [(x - 6, y, plain(each.feature)) for x, y, each in markers], across="right")
    bars = [(x, y, x + BAR * each.score / most, y) for x, y, each in markers]
    strokes(axes, bars, LIGHT.categories[0], linewidth=0.65 * ROW)
    values = [(x + BAR + STABLE, y, _stability(each)) for x, y, each in markers]
    values += [(x + BAR + TREES, y, _tree_rank(each)) for x, y, each in markers]
    write(axes, values, LIGHT.muted, across="right")
    return canvas


def _stability(marker: ClassMarker) -> str:
    return "–" if marker.stability is None else in_per_cent(marker.stability)


def _tree_rank(marker: ClassMarker) -> str:
    return "–" if marker.tree_rank is None else f"{marker.tree_rank}."


def _text(leading: Mapping[str, Sequence[ClassMarker]], stable: Sequence[float | None]) -> str:
    first = [f"{name}: {found[0].feature}" for name, found in list(leading.items())[:6]]
    more = "; …" if len(leading) > 6 else ""
    text = (
        "The sRNAs that contribute most to a class compared with the others. Bars: D1, the mean"
        " difference of contributions in logits, on one scale"
        f" (largest {significant(max(found[0].score for found in leading.values()))}). Stable:"
        " share of the models trained without a part of the datasets that have the sRNA among the"
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
    """Draw the expression of each class's markers in all classes, classes by similarity."""
    place = [known.index(name) for name in by_class]
    blocks = [relative_expression(found)[place] for found in by_class.values()]
    order, tree, clusters = _clusters(np.hstack(blocks))
    names = [list(by_class)[number] for number in order]
    blocks = [blocks[number][order] for number in order]
    most = max(len(found) for found in by_class.values())
    image = np.hstack([_binned(each, min(most, MOST_BINS // len(names) + 1)) for each in blocks])
    text = _expression_text(by_class, known)
    together = [
        listed([names[row] for row in np.flatnonzero(clusters[order] == number)])
        for number in dict.fromkeys(clusters[order].tolist())
    ]
    if 1 < len(together) < len(names):
        text += f" Clusters of classes with similar expression: {'; '.join(together)}."
    leading = [[plain(each.feature) for each in by_class[name]] for name in names]
    return draw(
        "marker-expression",
        "Expression of the markers",
        text,
        partial(_draw_expression, names, leading, image, tree),
    )


def _binned(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return the means of neighbouring columns, always so many; fewer columns are repeated."""
    repeated = np.repeat(values, -(-bins // values.shape[1]), axis=1)
    return np.stack([part.mean(axis=1) for part in np.array_split(repeated, bins, axis=1)], axis=1)


def _clusters(
    values: NDArray[np.float64],
) -> tuple[list[int], Tree, NDArray[np.signedinteger[Any]]]:
    """Return the rows by similarity (Ward's clusters), the tree, and the cluster of each row."""
    if len(values) < 2:
        return list(range(len(values))), ([], []), np.ones(len(values), dtype=np.int32)
    links = linkage(values, "ward", optimal_ordering=True)
    found = dendrogram(links, no_plot=True)
    limit = CLUSTER * float(links[:, 2].max())
    return (
        found["leaves"] or [],
        (found["icoord"], found["dcoord"]),
        fcluster(links, limit, criterion="distance"),
    )


def _draw_expression(
    names: Sequence[str],
    leading: Sequence[Sequence[str]],
    image: NDArray[np.float64],
    tree: Tree,
) -> Canvas:
    labels = [wrapped(name, letters_for(len(names))) for name in names]
    row = max(26.0 if len(names) <= 8 else ROW, LINE * most_lines(labels) + 2)
    column = max((1.2 * NARROW - widest(labels)) / len(names), row)
    width, height = column * len(names), row * len(names)
    canvas = canvas_of(width, height)
    axes = place(canvas, 0, 0, width, height)
    bitmap(axes, np.clip(0.5 + image / (2 * DOUBLINGS), 0, 1), "diverging")
    separate(axes, len(names), len(names))
    places = [(-6, (number + 0.5) * row, label) for number, label in enumerate(labels)]
    write(axes, places, across="right")
    head_columns(axes, labels, "markers of, best first →")
    fitting = max(1, int(column // LINE))
    first = ["\n".join(found[:fitting]) for found in leading]
    below = [((number + 0.5) * column, height + 5, text) for number, text in enumerate(first)]
    write(axes, below, across="right", up="upright")
    _draw_tree(place(canvas, width + 6, 0, TREE, height), tree)
    scale = [(0.0, "⅛ ×"), (0.5, "mean"), (1.0, "8 ×")]
    title = "expression against the mean of all classes"
    colour_bar(axes, height + 5 + widest(first), "diverging", scale, title)
    return canvas


def _draw_tree(axes: Axes, tree: Tree) -> None:
    """Draw the clusters from the rows, of which each is ten units high, to the right."""
    width, height = axes.bbox.width, axes.bbox.height
    highest = max((max(distances) for distances in tree[1]), default=1.0) or 1.0
    rows = max(len(tree[0]) + 1, 1)
    corners = [
        [(width * x / highest, height * y / (10 * rows)) for y, x in zip(*link, strict=True)]
        for link in zip(*tree, strict=True)
    ]
    lines = [(*start, *end) for link in corners for start, end in pairwise(link)]
    strokes(axes, lines, LIGHT.muted, linewidth=1)


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
        f"Mean expression of {counted(total, 'marker')} in each class (rows), one column of markers"
        " per class, best first, the leading ones named below it: doublings above or below the"
        " mean of all classes. The tree joins classes with similar expression (Ward's method)."
        f" {percent(overall)} of the markers are expressed most in the class that they mark;"
        f" most often in {listed([f'{name} ({percent(highest[name])})' for name in best])}."
    )
