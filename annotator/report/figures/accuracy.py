"""How often models are right, by kind and by class, beside the paper (Fig. 2 to 4)."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.domain.held_out import COMBINED, CROSS_VALIDATION, ONE_DATASET_OUT
from annotator.report.figures.class_order import has_order
from annotator.report.figures.intervals import Interval, intervals
from annotator.report.figures.parts import (
    KIND_COLOURS,
    LINE_HEIGHT,
    Key,
    Scale,
    label_lines,
    label_width,
    legend,
    legend_height,
    mark,
    percent_labels,
    row_label,
    ticks,
    upright_grid,
)
from annotator.report.figures.sheet import NARROW, SMALL_TEXT, Sheet
from annotator.report.paper_figures import (
    PaperAccuracy,
    paper_accuracies,
)
from annotator.report.tables.accuracy import (
    accuracy_over_datasets,
    has_class_precision,
    held_out_metrics,
    random_metrics,
)
from annotator.report.tables.cells import BASELINES, kind_words
from annotator.report.words import count, listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from annotator.domain.held_out import Metric
    from annotator.report.contents import ReportContents
    from annotator.report.figures.svg import Figure

PANELS: Final = (
    ("accuracy", "Accuracy: every sample counts the same"),
    ("mean_over_classes", "Mean over classes: every class counts the same"),
)
HELD_OUT_KEY: Final = Key("whole datasets held out", "category-0")
RANDOM_KEY: Final = Key("random cross-validation", "category-1", "square")
PAPER_KEY: Final = Key("paper", "text", "diamond", hollow=True)
CLASS_KEYS: Final = (
    ("network", Key(kind_words("network"), KIND_COLOURS["network"], "triangle", hollow=True)),
    ("forest", Key(kind_words("forest"), KIND_COLOURS["forest"], "square", hollow=True)),
    (COMBINED, Key(kind_words(COMBINED), KIND_COLOURS[COMBINED])),
)
RANDOM_CLASS_KEY: Final = Key("combined, random cross-validation", "category-1", "diamond")
ROW: Final = 20.0
HEAD, FOOT = 40.0, 32.0  # room above and below the rows of a panel
VALUE: Final = 50.0  # width of a column of per cent
LETTERS: Final = 18


@dataclass(frozen=True, slots=True)
class _Row:
    """One model kind: its figure held out and in cross-validation, and the paper's of both."""

    kind: str
    held_out: float | None
    interval: Interval | None
    random: float | None
    paper: tuple[PaperAccuracy | None, PaperAccuracy | None]

    def values(self) -> list[float]:
        found = [self.held_out, self.random, *(fact.value for fact in self.paper if fact)]
        return [value for value in found if value is not None]


def accuracy(contents: ReportContents) -> Iterable[Figure]:
    """Yield accuracy by model kind and by class, where there are validation figures."""
    panels = [(title, _rows(contents, metric)) for metric, title in PANELS]
    panels = [(title, rows) for title, rows in panels if rows]
    if panels:
        yield _by_kind(panels)
    yield from _by_class(contents)


def _rows(contents: ReportContents, metric: str) -> list[_Row]:
    """Return the kinds with such a figure: combined first, baselines last."""
    held_out = _figures(contents, metric, random=False)
    random = _figures(contents, metric, random=True)
    sizes: Counter[str] = Counter()
    for part in contents.cohort:
        if part.class_name:
            sizes[part.class_name] += part.samples
    paper = paper_accuracies(contents.release.field, list(sizes.values()))
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


def _figures(contents: ReportContents, name: str, *, random: bool) -> Mapping[str, float]:
    metrics = random_metrics(contents) if random else held_out_metrics(contents)
    return {
        each.model_kind: each.value
        for each in metrics
        if each.name == name and np.isfinite(each.value)
    }


def _by_kind(panels: Sequence[tuple[str, Sequence[_Row]]]) -> Figure:
    everything = [row for _, rows in panels for row in rows]
    keys = [
        key
        for key, there in (
            (HELD_OUT_KEY, any(row.held_out is not None for row in everything)),
            (RANDOM_KEY, any(row.random is not None for row in everything)),
            (PAPER_KEY, any(fact for row in everything for fact in row.paper)),
        )
        if there
    ]
    left = label_width([kind_words(row.kind) for row in everything], LETTERS) + 12
    heights = [[_height(kind_words(row.kind)) for row in rows] for _, rows in panels]
    top = legend_height(keys, NARROW) + 6
    sheet = Sheet(NARROW, top + sum(HEAD + sum(each) + FOOT for each in heights))
    legend(sheet, 2, 0, keys, NARROW)
    low = _low_end(
        [value for row in everything if row.kind != "majority" for value in row.values()]
    )
    columns = (HELD_OUT_KEY in keys) + (RANDOM_KEY in keys)
    scale = Scale(low, 1.0, left, NARROW - 10 - columns * VALUE)
    for (title, rows), row_heights in zip(panels, heights, strict=True):
        sheet.text(2, top + 12, title, bold=True)
        bottom = top + HEAD + sum(row_heights)
        upright_grid(sheet, scale, top + HEAD - 2, bottom, percent_labels(ticks(low, 1.0, 4)))
        for number, key in enumerate(keys[:columns]):
            mark(sheet, scale.end + (number + 1) * VALUE - 16, top + HEAD - 8, key)
        middle = top + HEAD
        for row, height in zip(rows, row_heights, strict=True):
            _draw_row(sheet, scale, middle + height / 2, row)
            middle += height
        top = bottom + FOOT
    return sheet.figure(
        "accuracy-by-kind",
        "Accuracy of each kind of model",
        _kind_description(panels, with_paper=PAPER_KEY in keys),
    )


def _narrow(share: float) -> str:
    return percent(share).replace("over ", ">").replace("under ", "<")


def _height(label: str) -> float:
    return ROW + LINE_HEIGHT * (label_lines(label, LETTERS) - 1)


def _low_end(values: Sequence[float]) -> float:
    """Return where the scale starts: a multiple of ten per cent below all values."""
    return min(max(math.floor((min(values, default=0.0) - 0.02) * 10) / 10, 0.0), 0.9)


def _draw_row(sheet: Sheet, scale: Scale, y: float, row: _Row) -> None:
    row_label(
        sheet, scale.start - 8, y, kind_words(row.kind), letters=LETTERS, bold=row.kind == COMBINED
    )
    sheet.lines([[(scale.start, y), (scale.end, y)]], "grid")
    if row.interval is not None:
        low, high = row.interval
        sheet.lines([[(scale(low), y), (scale(high), y)]], HELD_OUT_KEY.colour, 2.5)
    right = scale.end
    for value, key, fact in (
        (row.random, RANDOM_KEY, row.paper[1]),
        (row.held_out, HELD_OUT_KEY, row.paper[0]),
    ):
        if value is not None and value >= scale.low:
            mark(sheet, scale(value), y, key, 8.0)
        if fact is not None and fact.value >= scale.low:
            paper_key = Key("", key.colour, PAPER_KEY.mark, hollow=True)
            mark(sheet, scale(fact.value), y, paper_key, 11.0)
    for value, key in ((row.held_out, HELD_OUT_KEY), (row.random, RANDOM_KEY)):
        right += VALUE
        if value is not None:
            sheet.text(right + 4, y, _narrow(value), size=SMALL_TEXT, align="right")
            if value < scale.low and key is HELD_OUT_KEY:
                sheet.text(scale.start + 3, y, "◂", colour=key.colour)


def _kind_description(panels: Sequence[tuple[str, Sequence[_Row]]], *, with_paper: bool) -> str:
    sentences = []
    for title, rows in panels:
        of_rows = [
            f"{kind_words(row.kind)} {percent(row.held_out)}"
            for row in rows
            if row.held_out is not None and row.kind in dict(CLASS_KEYS)
        ]
        if of_rows:
            sentences.append(
                f"{title.split(':')[0]} on whole datasets held out: {listed(of_rows)}."
            )
        random = next((row.random for row in rows if row.kind == COMBINED), None)
        if random is not None:
            sentences.append(f"In random cross-validation, combined: {percent(random)}.")
    if any(row.interval for _, rows in panels for row in rows):
        sentences.append("Lines are 95 % intervals over resampled datasets.")
    if with_paper:
        facts = [
            f"{kind_words(row.kind)} {percent(fact.value)} ({scheme})"
            for _, rows in panels
            for row in rows
            for fact, scheme in zip(
                row.paper, ("dataset held out", "cross-validation"), strict=True
            )
            if fact is not None
        ]
        sentences.append(
            "Diamonds are what the paper reports for its own samples, in the colour of what they"
            f" compare with: {listed(facts)}."
        )
    return " ".join(sentences)


def _of_classes(metrics: Iterable[Metric]) -> list[Metric]:
    return [each for each in metrics if np.isfinite(each.value)]


def _share_of_samples(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the accuracy of each class over its samples, where it is recorded."""
    if not has_class_precision(metrics):
        return []
    return [each for each in metrics if each.name == "class_accuracy"]


def _by_class(contents: ReportContents) -> Iterable[Figure]:
    held_out = _of_classes(accuracy_over_datasets(held_out_metrics(contents)))
    values = {(each.model_kind, each.class_name): each for each in held_out}
    random = {
        each.class_name: each.value
        for each in _of_classes(_share_of_samples(random_metrics(contents)))
        if each.model_kind == COMBINED
    }
    classes = [each for each in held_out if each.model_kind == COMBINED and each.class_name]
    if not classes:
        return
    if has_order(contents):
        place = {name: number for number, name in enumerate(contents.release.classes)}
        classes.sort(key=lambda each: place.get(each.class_name or "", len(place)))
    else:
        classes.sort(key=lambda each: (-each.value, each.class_name))
    keys = [key for kind, key in reversed(CLASS_KEYS) if any(k == kind for k, _ in values)]
    keys += [RANDOM_CLASS_KEY] if random else []
    names = [each.class_name or "" for each in classes]
    letters = 22
    heights = [18.0 + LINE_HEIGHT * (label_lines(name, letters) - 1) for name in names]
    left = label_width(names, letters) + 12
    top = legend_height(keys, NARROW) + 20
    bottom = top + sum(heights)
    sheet = Sheet(NARROW, bottom + 22)
    legend(sheet, 2, 0, keys, NARROW)
    shown = [each.value for (kind, _), each in values.items() if kind in dict(CLASS_KEYS)]
    low = _low_end([*shown, *random.values()])
    scale = Scale(low, 1.0, left, NARROW - 108)
    sheet.text(
        NARROW - 4, top - 9, "samples, datasets", size=SMALL_TEXT, colour="muted", align="right"
    )
    upright_grid(sheet, scale, top, bottom, percent_labels(ticks(low, 1.0, 4)))
    y = top
    for each, height in zip(classes, heights, strict=True):
        middle, name = y + height / 2, each.class_name or ""
        y += height
        row_label(sheet, left - 8, middle, name, letters=letters)
        sheet.lines([[(scale.start, middle), (scale.end, middle)]], "grid")
        if name in random:
            mark(sheet, scale(random[name]), middle, RANDOM_CLASS_KEY, 7.0)
        for kind, key in CLASS_KEYS:
            if (kind, name) in values:
                mark(sheet, scale(values[kind, name].value), middle, key, 7.5)
        sheet.text(NARROW - 54, middle, _narrow(each.value), size=SMALL_TEXT, align="right")
        size = f"{each.samples:,}, {each.datasets:,}"
        sheet.text(NARROW - 4, middle, size, size=SMALL_TEXT, colour="muted", align="right")
    of_random = (
        " (in random cross-validation: of all its samples, since no dataset is held out)"
        if random
        else ""
    )
    yield sheet.figure(
        "accuracy-by-class",
        "Accuracy of each class",
        "Share of a class's samples that are recognised when their whole dataset is held out,"
        f" mean over datasets{of_random}; per cent are of all models combined. "
        + "; ".join(f"{each.class_name} {percent(each.value)}" for each in classes[:5])
        + (
            f"; … ; {classes[-1].class_name} {percent(classes[-1].value)}."
            if len(classes) > 5
            else "."
        )
        + f" {count(sum(each.value >= 0.9 for each in classes), 'class')} of {len(classes)}"
        " reach 90 %.",
    )
