"""The cohort on a plane, by group and by dataset (paper, Fig. 1)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree

from annotator.report.figures.sheet import NARROW, SHAPES, SMALL_TEXT, TEXT_SIZE, Sheet, text_width
from annotator.report.figures.theme import CATEGORIES, category
from annotator.report.words import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from annotator.domain.explanations import SampleMap
    from annotator.report.contents import ReportContents
    from annotator.report.figures.svg import Figure

WIDTH: Final = NARROW
MARGIN: Final = 10.0
LINE: Final = 18.0
NAMED_DATASETS: Final = CATEGORIES
REST = "other datasets"

Style = tuple[str, str]  # colour and shape


def maps(contents: ReportContents) -> Iterable[Figure]:
    """Yield the two maps, where the release has one."""
    sample_map = contents.explanations.sample_map
    if sample_map is None or len(sample_map.classes) == 0:
        return
    groups = np.array(
        [contents.groups.get(name, name) for name in sample_map.classes], dtype=object
    )
    field = contents.release.field
    grouped = len(set(groups)) < len(set(sample_map.classes))
    of_what = f"{field} group" if grouped else field
    order = _by_size(groups)
    yield _map(
        sample_map,
        groups,
        {name: _style(number) for number, name in enumerate(order)},
        labelled=order,
        name="map-by-group",
        title=f"Samples by {of_what}",
        of_what=of_what,
    )
    datasets = sample_map.dataset_ids
    order = _by_size(datasets)
    named = order if len(order) <= NAMED_DATASETS + 1 else order[:NAMED_DATASETS]
    shown = np.array([name if name in set(named) else REST for name in datasets], dtype=object)
    styles = {REST: ("rest", "circle")} | {name: _style(n) for n, name in enumerate(named)}
    yield _map(
        sample_map,
        shown,
        {name: style for name, style in styles.items() if name in set(shown)},
        labelled=[],
        name="map-by-dataset",
        title="Samples by dataset",
        of_what="dataset",
        others=len(order) - len(named),
    )


def _by_size(names: NDArray[np.object_]) -> list[str]:
    """Return the distinct names, most frequent first, then by name."""
    return sorted((counts := Counter(names.tolist())), key=lambda name: (-counts[name], name))


def _style(number: int) -> Style:
    return category(number), SHAPES[number // CATEGORIES % len(SHAPES)]


def _map(
    sample_map: SampleMap,
    names: NDArray[np.object_],
    styles: dict[str, Style],
    *,
    labelled: Sequence[str],
    name: str,
    title: str,
    of_what: str,
    others: int = 0,
) -> Figure:
    """Draw one map: points of each name in its style, labels on them, a legend below."""
    counts = Counter(names.tolist())
    entries = [
        (
            style,
            f"{count(others, 'other dataset')} ({counts[key]:,})"
            if key == REST and others
            else f"{key} ({counts[key]:,})",
        )
        for key, style in sorted(styles.items(), key=lambda item: item[0] == REST)
    ]
    side = WIDTH - 2 * MARGIN
    places, height = _fitted(sample_map.positions, side)
    places += MARGIN
    columns, column_width = _columns([text for _, text in entries])
    rows = -(-len(entries) // columns)
    sheet = Sheet(WIDTH, height + 2 * MARGIN + 14 + rows * LINE + 8)
    size = 6.0 if len(names) <= 400 else 4.0 if len(names) <= 2000 else 2.8
    for key, (colour, shape) in styles.items():
        sheet.points(places[names == key], colour, size, shape, opacity=0.85)
    for text, x, y in _labels(places, names, labelled, height + 2 * MARGIN):
        sheet.text(x, y, text, size=SMALL_TEXT, align="center", bold=True, halo=True)
    top = height + 2 * MARGIN + 14
    for number, ((colour, shape), text) in enumerate(entries):
        x = MARGIN + number // rows * column_width
        y = top + number % rows * LINE
        sheet.points([(x + 5, y)], colour, 8.0, shape)
        sheet.text(x + 15, y, text, size=SMALL_TEXT)
    everyone = names if name == "map-by-group" else sample_map.dataset_ids
    return sheet.figure(name, title, _description(sample_map, everyone, of_what))


def _description(sample_map: SampleMap, names: NDArray[np.object_], of_what: str) -> str:
    counts = Counter(names.tolist())
    largest = [f"{name} {counts[name]:,}" for name in _by_size(names)[:8]]
    text = (
        f"t-SNE of {count(len(names), 'sample')} of {count(len(counts), of_what)}; samples with"
        f" similar profiles lie close together. Largest: {listed(largest)}."
    )
    if len(names) > 1:
        near = _nearest(sample_map.positions)
        text += (
            f" {percent(float(np.mean(names[near] == names)))} of the samples have one of the same"
            f" {of_what} as their nearest neighbour on the map."
        )
    return text


def _nearest(positions: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the row of each sample's nearest other sample."""
    _, found = cKDTree(positions).query(positions, k=2)
    rows = np.asarray(found, dtype=np.int64)
    own = np.arange(len(positions))
    return np.where(rows[:, 0] == own, rows[:, 1], rows[:, 0])


def _fitted(positions: NDArray[np.float32], side: float) -> tuple[NDArray[np.float64], float]:
    """Scale positions, the same in both directions, to a width; return them and the height."""
    places = positions.astype(np.float64) * (1.0, -1.0)
    low, extent = places.min(axis=0), np.ptp(places, axis=0)
    scale = side / max(float(extent.max()), 1e-9)
    spare = (side - extent[0] * scale) / 2
    return (places - low) * scale + (spare, 0.0), max(float(extent[1] * scale), 40.0)


def _columns(texts: Sequence[str]) -> tuple[int, float]:
    """Return how many columns a legend has, and how wide each is."""
    widest = max(text_width(text, SMALL_TEXT) for text in texts) + 24
    columns = max(1, min(len(texts), int((WIDTH - 2 * MARGIN) // widest)))
    return columns, (WIDTH - 2 * MARGIN) / columns


def _labels(
    places: NDArray[np.float64], names: NDArray[np.object_], labelled: Sequence[str], height: float
) -> Iterable[tuple[str, float, float]]:
    """Yield labels beside the densest part of each group; those that find no room are left out."""
    taken: list[tuple[float, float, float, float]] = []
    for name in labelled:
        x, y = _densest(places[names == name])
        half = text_width(name, SMALL_TEXT, bold=True) / 2 + 2
        x = min(max(x, half), WIDTH - half)
        for shift in (0, -14, 14, -28, 28, -42, 42):
            box = (x - half, y + shift - 7, x + half, y + shift + 7)
            inside = box[1] >= 0 and box[3] <= height and half * 2 <= WIDTH
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                yield name, x, y + shift
                break


def _densest(places: NDArray[np.float64]) -> tuple[float, float]:
    """Return the point with most others within two label heights."""
    tree = cKDTree(places)
    near = tree.query_ball_point(places, 2 * TEXT_SIZE, return_length=True)
    x, y = places[int(np.argmax(near))]
    return float(x), float(y)


def _overlap(
    first: tuple[float, float, float, float], second: tuple[float, float, float, float]
) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
