"""How often models are right, by kind and by class, beside the paper (Fig. 2 to 4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.domain.held_out import COMBINED, CROSS_VALIDATION, ONE_DATASET_OUT
from annotator.domain.wording import counted
from annotator.report.figures.class_order import has_order
from annotator.report.figures.drawing import canvas_of, draw, strokes
from annotator.report.figures.rows import (
    WIDTH,
    height_of_rows,
    key,
    label_room,
    legend_above,
    low_end,
    mark,
    place_rows,
    scale,
    write_column,
    write_title,
)
from annotator.report.figures.theme import LIGHT, PAPER_KINDS
from annotator.report.intervals import Interval, intervals
from annotator.report.paper_figures import PaperAccuracy, paper_accuracies_of
from annotator.report.tables.accuracy import (
    CLASS_METRICS,
    ClassPrecision,
    accuracy_over_datasets,
    class_precision,
    has_class_precision,
    held_out_metrics,
    random_metrics,
)
from annotator.report.tables.cells import BASELINES, kind_words
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

    from annotator.domain.held_out import Metric
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

PANELS: Final = (
    ("accuracy", "Accuracy, mean over samples"),
    ("mean_over_classes", "Accuracy, mean over classes"),
)
CLASS_SIZES: Final = (9, 15)
"""The minimum class sizes of the paper's figures 2 and 3."""
VALUE: Final = 52.0  # width of a column of per cent
SIZE: Final = 54.0  # width of a column of numbers of samples


@dataclass(frozen=True, slots=True)
class _Row:
    """One model kind: its metric held out and in cross-validation, and the paper's of both."""

    kind: str
    held_out: float | None
    interval: Interval | None
    random: float | None
    paper: tuple[PaperAccuracy | None, PaperAccuracy | None]

    def values(self) -> list[float]:
        found = [self.held_out, self.random, *(fact.value for fact in self.paper if fact)]
        found += [] if self.interval is None else [self.interval[0]]
        return [value for value in found if value is not None]


Panels = list[tuple[str, list[_Row]]]
_Share = tuple[float | None, PaperAccuracy | None, float]


def accuracy(contents: ReportContents) -> Iterable[Figure]:
    """Yield accuracy by model kind and by class, where there are validation metrics."""
    panels = [(title, _rows(contents, metric)) for metric, title in PANELS]
    panels = [(title, rows) for title, rows in panels if rows]
    if panels:
        yield draw(
            "accuracy-by-kind",
            "Accuracy of each kind of model",
            _kind_description(panels),
            partial(_draw_kinds, panels),
        )
    yield from _by_class(contents)
    yield from _by_class_size(contents)


def _rows(contents: ReportContents, metric: str) -> list[_Row]:
    """Return the kinds with such a metric: combined first, baselines last."""
    held_out = _values(held_out_metrics(contents), metric)
    random = _values(random_metrics(contents), metric)
    paper = paper_accuracies_of(contents)
    found = intervals(contents.held_out, metric)
    kinds = sorted(
        held_out.keys() | random.keys(),
        key=lambda kind: (kind != COMBINED, kind in BASELINES, -held_out.get(kind, 0.0), kind),
    )
    return [
        _Row(
            kind,
            held_out.get(kind),
            found.get(kind),
            random.get(kind),
            (
                paper.get((ONE_DATASET_OUT, metric, kind)),
                paper.get((CROSS_VALIDATION, metric, kind)),
            ),
        )
        for kind in kinds
    ]


def _values(metrics: Iterable[Metric], name: str) -> Mapping[str, float]:
    return {
        each.model_kind: each.value
        for each in metrics
        if each.name == name and np.isfinite(each.value)
    }


def _draw_kinds(panels: Panels) -> Canvas:
    everything = [row for _, rows in panels for row in rows]
    held_out = key("whole datasets held out", LIGHT.categories[0], "o")
    random = key("random cross-validation", LIGHT.categories[1], "s")
    with_random = any(row.random is not None for row in everything)
    keys = [held_out, *([random] if with_random else [])]
    if _has_paper(panels):
        keys.append(key("paper, in the colour it compares with", LIGHT.text, "D", hollow=True))
    low = low_end(value for row in everything if row.kind != "majority" for value in row.values())
    names = [[kind_words(row.kind) for row in rows] for _, rows in panels]
    heights = [height_of_rows(each) + 66 for each in names]
    canvas = canvas_of(WIDTH, sum(heights))
    for number, (title, rows) in enumerate(panels):
        axes, middles = place_rows(canvas, sum(heights[:number]), names[number])
        if number == 0:
            legend_above(axes, keys, left=label_room(names[0]), lift=30)
        write_title(axes, title)
        scale(axes, low, 1.0)
        at = list(zip(middles, rows, strict=True))
        ranges = [(*row.interval, y) for y, row in at if row.interval is not None]
        lines = [(start, y, end, y) for start, end, y in ranges]
        strokes(axes, lines, LIGHT.categories[0], linewidth=2.5)
        found = [(row.random, row.paper[1], y) for y, row in at]
        _mark_shares(axes, found, random, low)
        _write_shares(axes, found, 2, "random" if with_random else "")
        found = [(row.held_out, row.paper[0], y) for y, row in at]
        _mark_shares(axes, found, held_out, low)
        _write_shares(axes, found, 1, "held out")
    return canvas


def _mark_shares(axes: Axes, found: Sequence[_Share], style: Line2D, low: float) -> None:
    """Mark the shares, those left of the scale by an arrow, and the paper's, if any."""
    colour = str(style.get_color())
    mark(axes, [(x, y) for x, _, y in found if x is not None and x >= low], style)
    mark(axes, [(low, y) for x, _, y in found if x is not None and x < low], key("", colour, "<"))
    paper = key("", colour, "D", hollow=True)
    mark(axes, [(fact.value, y) for _, fact, y in found if fact is not None], paper, 9)


def _write_shares(axes: Axes, found: Sequence[_Share], column: int, head: str) -> None:
    texts = [(y, None if x is None else _narrow(x)) for x, _, y in found]
    write_column(axes, texts, column * VALUE, head, LIGHT.text)


def _has_paper(panels: Panels) -> bool:
    return any(fact for _, rows in panels for row in rows for fact in row.paper)


def _narrow(share: float) -> str:
    return percent(share).replace("over ", ">").replace("under ", "<")


def _kind_description(panels: Panels) -> str:
    sentences = []
    for title, rows in panels:
        of_rows = [
            f"{kind_words(row.kind)} {percent(row.held_out)}"
            for row in rows
            if row.held_out is not None and row.kind not in BASELINES
        ]
        if of_rows:
            sentences.append(
                f"{title} on held-out datasets (left column of numbers): {listed(of_rows)}."
            )
        random = next((row.random for row in rows if row.kind == COMBINED), None)
        if random is not None:
            sentences.append(
                f"In random cross-validation (right column), combined: {percent(random)}."
            )
    if any(row.interval for _, rows in panels for row in rows):
        sentences.append("Lines are 95 % intervals over resampled datasets.")
    if _has_paper(panels):
        facts = [
            f"{kind_words(row.kind)} {percent(fact.value)} ({scheme})"
            for _, rows in panels
            for row in rows
            for fact, scheme in zip(
                row.paper, ("dataset held out", "cross-validation"), strict=True
            )
            if fact is not None
        ]
        sentences.append(f"The paper reports for its own samples: {listed(facts)}.")
    return " ".join(sentences)


def _finite(metrics: Iterable[Metric]) -> list[Metric]:
    return [each for each in metrics if np.isfinite(each.value)]


def _by_class(contents: ReportContents) -> Iterable[Figure]:
    held_out = _finite(accuracy_over_datasets(held_out_metrics(contents)))
    values = {(each.model_kind, each.class_name): each.value for each in held_out}
    at_random = random_metrics(contents)
    random = {
        each.class_name: each.value
        for each in _finite(at_random if has_class_precision(at_random) else ())
        if each.model_kind == COMBINED and each.name == "class_accuracy"
    }
    classes = [each for each in held_out if each.model_kind == COMBINED and each.class_name]
    if not classes:
        return
    if has_order(contents):
        place = {name: number for number, name in enumerate(contents.release.classes)}
        classes.sort(key=lambda each: place.get(each.class_name or "", len(place)))
    else:
        classes.sort(key=lambda each: (-each.value, each.class_name))

    def make() -> Canvas:
        marks = dict(zip(PAPER_KINDS, "o^s", strict=True))
        styles = {
            kind: key(kind_words(kind), LIGHT.kind(kind), marks[kind], hollow=kind != COMBINED)
            for kind in reversed(PAPER_KINDS)
            if any(kind == each for each, _ in values)
        }
        chance = key("combined, random cross-validation", LIGHT.categories[1], "D")
        keys = [*reversed(styles.values()), *([chance] if random else [])]
        names = [each.class_name or "" for each in classes]
        canvas = canvas_of(WIDTH, height_of_rows(names))
        axes, middles = place_rows(canvas, 0, names, width=0.8 * WIDTH)
        legend_above(axes, keys, left=label_room(names), lift=24)
        shown = [value for (kind, _), value in values.items() if kind in styles]
        scale(axes, low_end([*shown, *random.values()]), 1.0, ticks=4)
        at = list(zip(names, middles, strict=True))
        mark(axes, [(random.get(name), y) for name, y in at], chance, 5)
        for kind, style in styles.items():
            mark(axes, [(values.get((kind, name)), y) for name, y in at], style)
        rows = list(zip(middles, classes, strict=True))
        write_column(axes, [(y, _narrow(each.value)) for y, each in rows], VALUE, "", LIGHT.text)
        sizes = [(y, f"{each.samples:,}, {each.datasets:,}") for y, each in rows]
        write_column(axes, sizes, 2.4 * VALUE, "samples, datasets")
        return canvas

    of_random = (
        " (in random cross-validation: of all its samples, since no dataset is held out)"
        if random
        else ""
    )
    named = [f"{each.class_name} {percent(each.value)}" for each in classes]
    shown = [*named[:5], "…", named[-1]] if len(named) > 5 else named
    yield draw(
        "accuracy-by-class",
        "Accuracy of each class",
        "Share of a class's samples that are recognised when their whole dataset is held out,"
        f" mean over datasets{of_random}; per cent are of all models combined. {'; '.join(shown)}."
        f" {counted(sum(each.value >= 0.9 for each in classes), 'class')} of {len(classes)}"
        " reach 90 %.",
        make,
    )


def _by_class_size(contents: ReportContents) -> Iterable[Figure]:
    """Yield precision and accuracy by class of network and forest (paper, Fig. 2 and 3)."""
    found = class_precision(contents)
    drawn: list[str] = []
    for least in CLASS_SIZES:
        classes = [name for name, size in found.sizes.items() if size >= least]
        if classes and classes != drawn:
            yield draw(
                f"accuracy-of-classes-of-{least}",
                f"Precision and accuracy of classes of at least {least} samples",
                _size_description(found, classes, least),
                partial(_draw_sizes, found, classes),
            )
        drawn = classes


def _draw_sizes(found: ClassPrecision, classes: Sequence[str]) -> Canvas:
    styles = {
        kind: key(kind_words(kind), LIGHT.kind(kind), marker, hollow=True)
        for kind, marker in zip(found.kinds, "^s", strict=False)
    }
    canvas = canvas_of(1.7 * WIDTH, height_of_rows(classes))
    low = low_end(found.values.values())
    for number, (metric, title) in enumerate(CLASS_METRICS.items()):
        left, width = number * (0.7 * WIDTH + 48), 0.7 * WIDTH
        axes, middles = place_rows(canvas, 0, classes, left=left, width=width, labelled=number == 0)
        write_title(axes, title)
        scale(axes, low, 1.0, ticks=3)
        at = list(zip(classes, middles, strict=True))
        for kind, style in styles.items():
            mark(axes, [(found.values.get((metric, kind, name)), y) for name, y in at], style)
        if number == 0:
            legend_above(axes, list(styles.values()), left=label_room(classes), lift=28)
    write_column(axes, [(y, f"{found.sizes[name]:,}") for name, y in at], SIZE, "samples")
    return canvas


def _size_description(found: ClassPrecision, classes: Sequence[str], least: int) -> str:
    """Word the means over the classes."""
    how = (
        "in random cross-validation" if found.scheme == CROSS_VALIDATION else "on held-out datasets"
    )
    means = [
        f"{kind_words(kind)} {percent(mean)} {title.lower()}"
        for kind in found.kinds
        for metric, title in CLASS_METRICS.items()
        for mean in (found.mean(metric, kind, classes),)
        if mean is not None
    ]
    figure = 2 + CLASS_SIZES.index(least)
    return (
        f"Precision (share of the samples predicted as a class that are of it) and accuracy (share"
        f" of a class's samples that are recognised) {how}, as in figure {figure} of the paper:"
        f" {counted(len(classes), 'class')} of the release with at least {least} labelled samples"
        f" (the smallest has {min(found.sizes[name] for name in classes):,})."
        f" Mean over these classes: {listed(means)}."
    )
