"""The cohort on a plane, by group and by dataset (paper, Fig. 1)."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree

from annotator.domain.wording import counted
from annotator.report.figures.drawing import NARROW, canvas_of, draw, place, plain, wrapped
from annotator.report.figures.theme import LIGHT
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.transforms import BboxBase
    from numpy.typing import NDArray

    from annotator.domain.explanations import SampleMap
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

SHAPES: Final = "o^sDv"
NAMED_DATASETS: Final = len(LIGHT.categories)
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
    is_grouped = len(set(groups)) < len(set(sample_map.classes))
    of_what = f"{field} group" if is_grouped else field
    number = len(set(groups))
    how_many = counted(number, of_what) if is_grouped else f"{counted(number, 'class')} of {field}"
    yield draw(
        "map-by-group",
        f"Samples by {of_what}",
        _description(sample_map, groups, of_what, how_many),
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
        _description(sample_map, datasets, "dataset", counted(len(set(datasets)), "dataset")),
        partial(_draw, sample_map.positions, shown, named, others=others),
    )


def _by_size(names: NDArray[np.object_]) -> list[str]:
    """Return the distinct names, most frequent first, then by name."""
    return sorted((counts := Counter(names.tolist())), key=lambda name: (-counts[name], name))


def _draw(
    positions: NDArray[np.float32],
    names: NDArray[np.object_],
    order: Sequence[str],
    *,
    labelled: bool = False,
    others: int = 0,
) -> Canvas:
    """Draw the points of each name in its colour and shape, and a legend below them."""
    counts = Counter(names.tolist())
    labels = [wrapped(f"{name} ({counts[name]:,})", LETTERS) for name in order]
    if others:
        labels.append(f"{counted(others, 'other dataset')} ({counts[REST]:,})")
    columns = 3 if max(map(len, labels)) < 15 else 2 if max(map(len, labels)) < 26 else 1
    extent = np.ptp(positions, axis=0)
    height = NARROW * float(np.clip(extent[1] / max(extent[0], 1e-9), 0.4, 1.2))
    canvas = canvas_of(NARROW, height)
    axes = place(canvas, 0, 0, NARROW, height)
    across, up = (extent / 2 + positions.min(axis=0)).tolist()
    pixel = 1.1 * max(float(extent[0]) / NARROW, float(extent[1]) / height) or 1.0
    axes.set_xlim(across - pixel * NARROW / 2, across + pixel * NARROW / 2)
    axes.set_ylim(up - pixel * height / 2, up + pixel * height / 2)
    size = 5.5 if len(names) <= 400 else 4.0 if len(names) <= 2000 else 2.8
    handles = []
    for number, name in enumerate([*order, *([REST] if others else [])]):
        colour = LIGHT.categories[number % len(LIGHT.categories)]
        handles += axes.plot(
            *positions[names == name].T,
            color=colour if name != REST else LIGHT.rest,
            marker=SHAPES[number // len(LIGHT.categories) % len(SHAPES)] if name != REST else "o",
            linestyle="none",
            markersize=size,
            markeredgewidth=0,
            alpha=0.85,
            zorder=1 if name == REST else 2,
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
        _label(axes, positions, names, order)
    return canvas


def _label(
    axes: Axes,
    positions: NDArray[np.float32],
    names: NDArray[np.object_],
    order: Sequence[str],
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
            bbox={"facecolor": LIGHT.surface, "alpha": 0.75, "linewidth": 0, "pad": 1},
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


def _description(
    sample_map: SampleMap, names: NDArray[np.object_], of_what: str, how_many: str
) -> str:
    counts = Counter(names.tolist())
    largest = [f"{name} {counts[name]:,}" for name in _by_size(names)[:8]]
    text = (
        f"t-SNE of {counted(len(names), 'sample')} of {how_many}; samples with"
        f" similar profiles lie close together. Largest: {listed(largest)}."
    )
    if len(names) > 1:
        near = _nearest(sample_map.positions)
        text += (
            f" {percent(float(np.mean(names[near] == names)))} of the samples have one of the same"
            f" {of_what} as their nearest neighbour on the map."
        )
    return text


def _nearest(positions: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the row nearest to each one, other than itself."""
    _, found = cKDTree(positions).query(positions, k=2)
    near = np.asarray(found)
    own = np.arange(len(positions))
    return np.where(near[:, 0] == own, near[:, 1], near[:, 0])
