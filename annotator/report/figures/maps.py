"""The cohort on a plane, by group and by dataset (paper, Fig. 1)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.neighbors import NearestNeighbors

from annotator.report.figures.drawing import NARROW, canvas_of, draw, place, plain, wrapped
from annotator.report.figures.theme import LIGHT
from annotator.report.words import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.transforms import BboxBase
    from numpy.typing import NDArray

    from annotator.domain.explanations import SampleMap
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure
    from annotator.report.figures.theme import Theme

SHAPES: Final = "o^sDv"
NAMED_DATASETS: Final = len(LIGHT.categories)
MOST_MARKS: Final = 1500  # a map of more samples is drawn as a bitmap
LETTERS: Final = 30
REST: Final = ""


def maps(contents: ReportContents) -> Iterable[Figure]:
    """Yield the two maps, where the release has one."""
    sample_map = contents.explanations.sample_map
    if sample_map is None or len(sample_map.classes) == 0:
        return
    groups = np.array(
        [contents.groups.get(name, name) for name in sample_map.classes], dtype=object
    )
    field = contents.release.field
    of_what = f"{field} group" if len(set(groups)) < len(set(sample_map.classes)) else field
    yield draw(
        "map-by-group",
        f"Samples by {of_what}",
        _description(sample_map, groups, of_what),
        partial(_draw, sample_map.positions, groups, _by_size(groups), labelled=True),
    )
    datasets = sample_map.dataset_ids
    named = _by_size(datasets)
    if len(named) > NAMED_DATASETS + 1:
        named = named[:NAMED_DATASETS]
    shown = np.array([name if name in set(named) else REST for name in datasets], dtype=object)
    others = len(set(datasets)) - len(named)
    yield draw(
        "map-by-dataset",
        "Samples by dataset",
        _description(sample_map, datasets, "dataset"),
        partial(_draw, sample_map.positions, shown, named, others=others),
    )


def _by_size(names: NDArray[np.object_]) -> list[str]:
    """Return the distinct names, most frequent first, then by name."""
    return sorted((counts := Counter(names.tolist())), key=lambda name: (-counts[name], name))


def _draw(
    positions: NDArray[np.float32],
    names: NDArray[np.object_],
    order: Sequence[str],
    theme: Theme,
    *,
    labelled: bool = False,
    others: int = 0,
) -> Canvas:
    """Draw the points of each name in its colour and shape, and a legend below them."""
    counts = Counter(names.tolist())
    labels = [wrapped(f"{name} ({counts[name]:,})", LETTERS) for name in order]
    if others:
        labels.append(f"{count(others, 'other dataset')} ({counts[REST]:,})")
    columns = 3 if max(map(len, labels)) < 15 else 2 if max(map(len, labels)) < 26 else 1
    extent = np.ptp(positions, axis=0)
    height = NARROW * float(np.clip(extent[1] / max(extent[0], 1e-9), 0.4, 1.2))
    canvas = canvas_of(NARROW, height)
    axes = place(canvas, 0, 0, NARROW, height)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    size = 5.5 if len(names) <= 400 else 4.0 if len(names) <= 2000 else 2.8
    handles = []
    for number, name in enumerate([*order, *([REST] if others else [])]):
        colour = theme.categories[number % len(theme.categories)]
        handles += axes.plot(
            *positions[names == name].T,
            color=colour if name != REST else theme.rest,
            marker=SHAPES[number // len(theme.categories) % len(SHAPES)] if name != REST else "o",
            linestyle="none",
            markersize=size,
            markeredgewidth=0,
            alpha=0.85,
            zorder=1 if name == REST else 2,
            rasterized=len(names) > MOST_MARKS,
        )
    axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0, -8 / height),
        ncols=columns,
        markerscale=7 / size,
    )
    if labelled:
        axes.apply_aspect()  # from here on it is known where everything lies
        _label(axes, positions, names, order, theme)
    return canvas


def _label(
    axes: Axes,
    positions: NDArray[np.float32],
    names: NDArray[np.object_],
    order: Sequence[str],
    theme: Theme,
) -> None:
    """Write each name in the middle of its points, if it finds room there."""
    taken: list[BboxBase] = []
    for name in order:
        own = positions[names == name]
        middle = own[np.abs(own - np.median(own, axis=0)).sum(axis=1).argmin()]
        label = axes.annotate(
            plain(name),
            middle.tolist(),
            xytext=(0, 0),
            textcoords="offset points",
            horizontalalignment="center",
            verticalalignment="center",
            fontweight="bold",
            bbox={"facecolor": theme.surface, "alpha": 0.75, "linewidth": 0, "pad": 1},
            in_layout=False,
        )
        for shift in (10, -10, 26, -26, 42):
            label.set_position((0, shift))
            box = label.get_window_extent()
            if (
                axes.bbox.padded(4).contains(box.x0, box.y0)
                and box.x1 < axes.bbox.x1 + 4
                and not any(box.overlaps(other) for other in taken)
            ):
                taken.append(box)
                break
        else:
            label.remove()


def _description(sample_map: SampleMap, names: NDArray[np.object_], of_what: str) -> str:
    counts = Counter(names.tolist())
    largest = [f"{name} {counts[name]:,}" for name in _by_size(names)[:8]]
    text = (
        f"t-SNE of {count(len(names), 'sample')} of {count(len(counts), of_what)}; samples with"
        f" similar profiles lie close together. Largest: {listed(largest)}."
    )
    if len(names) > 1:
        nearest = NearestNeighbors(n_neighbors=1).fit(sample_map.positions)
        near = nearest.kneighbors(return_distance=False)[:, 0]
        text += (
            f" {percent(float(np.mean(names[near] == names)))} of the samples have one of the same"
            f" {of_what} as their nearest neighbour on the map."
        )
    return text
