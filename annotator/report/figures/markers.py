"""Which sRNAs set the classes apart, and how they are expressed (paper, Fig. 11)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.cluster.hierarchy import dendrogram, fcluster, linkage

from annotator.report.figures.class_order import class_order
from annotator.report.figures.drawing import (
    LETTER,
    LINE,
    NARROW,
    canvas_of,
    draw,
    most_lines,
    place,
    plain,
    widest,
    wrapped,
)
from annotator.report.figures.matrix import colour_bar, letters_for
from annotator.report.figures.rows import head_beside, write_beside
from annotator.report.words import count, listed, percent, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassMarker
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure
    from annotator.report.figures.theme import Theme

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
    by_class: Markers = {}
    for marker in contents.explanations.markers:
        by_class.setdefault(marker.class_name, []).append(marker)
    if not by_class:
        return
    ordered = {
        name: sorted(by_class[name], key=lambda marker: marker.rank)
        for name in class_order(contents, by_class)
    }
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


def _draw_leading(leading: Mapping[str, Sequence[ClassMarker]], shown: int, theme: Theme) -> Canvas:
    """Draw a panel for each class: bars of D1, how stable each is, its rank by the trees."""
    columns = 1 if len(leading) <= 2 else 2 if len(leading) <= 6 else 3
    rows = -(-len(leading) // columns)
    names = 6.6 * max(len(each.feature) for found in leading.values() for each in found)
    titles = {name: wrapped(name, 34) for name in leading}
    above = LINE * most_lines(list(titles.values())) + 34
    height = (ROW - 1) * shown
    space = names + TREES + GAP
    canvas = canvas_of(columns * (BAR + space), rows * (height + above))
    most = max(each.score for found in leading.values() for each in found)
    for number, (name, found) in enumerate(leading.items()):
        left, top = number // rows * (BAR + space), number % rows * (height + above)
        axes = place(canvas, left, top, BAR, height)
        _draw_panel(axes, found, shown, most, theme)
        axes.annotate(
            titles[name],
            (0, 1),
            xytext=(-names - 6, 20),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=12,
            fontweight="bold",
        )
    return canvas


def _draw_panel(
    axes: Axes, found: Sequence[ClassMarker], shown: int, most: float, theme: Theme
) -> None:
    axes.grid(visible=False)
    axes.set(xlim=(0, most), ylim=(shown - 0.5, -0.5))
    axes.set_xticks([])
    axes.set_yticks(range(len(found)), [plain(each.feature) for each in found])
    axes.barh(range(len(found)), [each.score for each in found], 0.65, color=theme.categories[0])
    for shift, text in ((18 - BAR, "D1"), (STABLE, "stable"), (TREES, "trees")):
        head_beside(axes, text, shift, theme.muted)
    for y, each in enumerate(found):
        stable = (
            "–"
            if each.stability is None
            else f"{each.stability:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
        )
        rank = "–" if each.tree_rank is None else f"{each.tree_rank}."
        write_beside(axes, y, stable, STABLE, theme.muted)
        write_beside(axes, y, rank, TREES, theme.muted)


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
    theme: Theme,
) -> Canvas:
    labels = [wrapped(name, letters_for(len(names))) for name in names]
    row = max(26.0 if len(names) <= 8 else ROW, LINE * most_lines(labels) + 2)
    column = max((1.2 * NARROW - LETTER * widest(labels)) / len(names), row)
    upright = LETTER * widest(labels) > column
    width, height = column * len(names), row * len(names)
    canvas = canvas_of(width, height)
    axes = place(canvas, 0, 0, width, height)
    axes.grid(visible=False)
    axes.imshow(
        image,
        cmap=theme.diverging,
        vmin=-DOUBLINGS,
        vmax=DOUBLINGS,
        extent=(-0.5, len(names) - 0.5, len(names) - 0.5, -0.5),
        aspect="auto",
    )
    for number in range(1, len(names)):
        axes.axvline(number - 0.5, color=theme.surface, linewidth=1.5)
        axes.axhline(number - 0.5, color=theme.surface, linewidth=1)
    axes.set_yticks(range(len(names)), labels)
    above = axes.secondary_xaxis("top")
    above.set_xticks(range(len(names)), labels, rotation=90 if upright else 0, color=theme.text)
    above.set_xlabel("markers of, best first →", loc="left")
    above.spines["top"].set_visible(False)
    above.tick_params(length=0)
    fitting = max(1, int(column // LINE))
    first = ["\n".join(found[:fitting]) for found in leading]
    axes.set_xticks(range(len(names)), first, rotation=90, color=theme.text)
    beside = place(canvas, width + 6, 0, TREE, height)
    beside.set_axis_off()
    for y, x in zip(*tree, strict=True):
        beside.plot(x, (np.array(y) - 5) / 10, color=theme.muted, linewidth=1)
    beside.set(xlim=(0, None), ylim=axes.get_ylim())
    scale = [(0.0, "⅛ ×"), (0.5, "mean"), (1.0, "8 ×")]
    colour_bar(canvas, theme.diverging, scale, "expression against the mean of all classes")
    return canvas


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
        f"Mean expression of {count(total, 'marker')} in each class (rows), one column of markers"
        " per class, best first, the leading ones named below it: doublings above or below the"
        " mean of all classes. The tree joins classes with similar expression (Ward's method)."
        f" {percent(overall)} of the markers are expressed most in the class that they mark;"
        f" most often in {listed([f'{name} ({percent(highest[name])})' for name in best])}."
    )
