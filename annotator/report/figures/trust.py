"""Whether probabilities can be believed, and what answering fewer samples buys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.report.figures.parts import (
    KIND_COLOURS,
    Key,
    Scale,
    legend,
    legend_height,
    level_grid,
    percent_labels,
    ticks,
    upright_grid,
)
from annotator.report.figures.sheet import NARROW, SMALL_TEXT, Sheet, text_width
from annotator.report.tables.accuracy import held_out_metrics
from annotator.report.tables.cells import kind_words
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annotator.domain.held_out import Curve
    from annotator.report.contents import ReportContents
    from annotator.report.figures.svg import Figure

RELIABILITY: Final = "reliability"
RISK_COVERAGE: Final = "risk_coverage"
BESIDE: Final = ("network", "forest")  # drawn with the combined models where that is readable
LEFT, SIDE, BARS = 52.0, 290.0, 60.0
NEXT_LABEL: Final = 14.0


def trust(contents: ReportContents) -> Iterable[Figure]:
    """Yield the reliability and the risk-coverage curves that there are."""
    reliability = [each for each in contents.curves if each.name == RELIABILITY and each.points]
    if reliability:
        yield _reliability(contents, reliability)
    risk = [each for each in contents.curves if each.name == RISK_COVERAGE and each.points]
    if risk:
        yield _risk_coverage(contents, risk)


def _drawn_order(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves with the combined one last, so that it lies on top."""
    return sorted(curves, key=lambda curve: (curve.model_kind == COMBINED, curve.model_kind))


def _colour(kind: str) -> str:
    return KIND_COLOURS.get(kind, "muted")


def _short(kind: str) -> str:
    return kind.replace("_", " ")


def _reliability(contents: ReportContents, curves: Sequence[Curve]) -> Figure:
    there = {curve.model_kind for curve in curves}
    main = COMBINED if COMBINED in there else min(there)
    shown = _drawn_order([each for each in curves if each.model_kind in (main, *BESIDE)])
    keys = [
        Key(kind_words(each.model_kind), _colour(each.model_kind), "line")
        for each in reversed(shown)
    ]
    keys.append(Key("as right as confident", "muted", "dashes"))
    top = legend_height(keys, NARROW) + 28
    sheet = Sheet(NARROW, top + SIDE + 24 + BARS + 42)
    legend(sheet, 2, 0, keys, NARROW)
    across, up = Scale(0, 1, LEFT, LEFT + SIDE), Scale(0, 1, top + SIDE, top)
    grid = percent_labels((0, 0.2, 0.4, 0.6, 0.8, 1))
    sheet.text(2, top - 16, "samples that are right", size=SMALL_TEXT, colour="muted")
    level_grid(sheet, up, LEFT, LEFT + SIDE, grid)
    upright_grid(sheet, across, top, top + SIDE, [(value, "") for value, _ in grid])
    diagonal = [(across(0), up(0)), (across(1), up(1))]
    sheet.curve(diagonal, "muted", 1.5, dashes=(4, 3))
    for curve in shown:
        points = [(across(point.x), up(point.y)) for point in curve.points]
        is_main = curve.model_kind == main
        sheet.curve(points, _colour(curve.model_kind), 2.2 if is_main else 1.2)
        most = max(point.samples for point in curve.points)
        for point, place in zip(curve.points, points, strict=True):
            if is_main:  # area by samples: a point of few says little
                sheet.points([place], _colour(main), 3.0 + 6.0 * (point.samples / most) ** 0.5)
    curve = shown[-1]
    _bars(sheet, curve, across, top + SIDE + 24 + BARS)
    return sheet.figure(
        "reliability", "Reliability of the probabilities", _reliability_text(contents, curve)
    )


def _bars(sheet: Sheet, curve: Curve, across: Scale, bottom: float) -> None:
    """Draw how many samples stand behind each point, below it."""
    most = max(point.samples for point in curve.points)
    boxes = [
        (across(point.x) - 5, bottom - height, 10.0, height)
        for point in curve.points
        for height in (max(BARS * point.samples / most, 1.0),)
    ]
    sheet.rectangles(boxes, _colour(curve.model_kind), 0.75)
    grid = percent_labels((0, 0.2, 0.4, 0.6, 0.8, 1))
    upright_grid(sheet, across, bottom, bottom + 3, grid, "confidence (probability of the answer)")
    x = across.start - 6
    sheet.text(x, bottom - BARS + 5, f"{most:,}", size=SMALL_TEXT, colour="muted", align="right")
    sheet.text(x, bottom - 4, "0", size=SMALL_TEXT, colour="muted", align="right")
    sheet.text(across.end + 8, bottom - BARS / 2, "samples", size=SMALL_TEXT, colour="muted")


def _reliability_text(contents: ReportContents, curve: Curve) -> str:
    error = next(
        (
            each.value
            for each in held_out_metrics(contents)
            if (each.model_kind, each.name) == (curve.model_kind, "expected_calibration_error")
        ),
        None,
    )
    surest = curve.points[-1]
    return (
        f"How often predictions of a confidence are right, {kind_words(curve.model_kind)}, on whole"
        " datasets held out; on the dashed line they are as right as they are confident. The bars"
        f" are samples. Of the {surest.samples:,} surest, at a mean confidence of"
        f" {percent(surest.x)}, {percent(surest.y)} are right."
        + ("" if error is None else f" Expected calibration error {error:.3f}.")
    )


def _risk_coverage(contents: ReportContents, curves: Sequence[Curve]) -> Figure:
    shown = _drawn_order(curves)
    right = max(text_width(_short(each.model_kind), SMALL_TEXT, bold=True) for each in shown) + 16
    top, height = 28.0, 260.0
    sheet = Sheet(NARROW, top + height + 40)
    most = max(0.1, max(point.y for curve in shown for point in curve.points if point.x >= 0.1))
    high = min(float(np.ceil(most * 20) / 20), 1.0)
    across, up = Scale(0, 1, LEFT, NARROW - right), Scale(0, high, top + height, top)
    sheet.text(2, top - 16, "answers that are wrong", size=SMALL_TEXT, colour="muted")
    level_grid(sheet, up, LEFT, across.end, percent_labels(ticks(0, high, 6)))
    share = percent_labels((0, 0.25, 0.5, 0.75, 1))
    upright_grid(sheet, across, top, top + height, share, "samples answered, surest first")
    target = target_precision(contents)
    if target is not None and 1 - target < high:
        y = up(1 - target)
        sheet.lines([[(LEFT, y), (across.end, y)]], "muted", 1.5, dashes=(4, 3))
        label = f"asked for: {100 * (1 - target):.3g}\N{NO-BREAK SPACE}%"
        beside = y - 9 if y - 16 > top else y + 9
        sheet.text(LEFT + 4, beside, label, size=SMALL_TEXT, halo=True)
    for curve in shown:
        points = [(across(point.x), up(point.y)) for point in curve.points]
        is_main = curve.model_kind == COMBINED
        sheet.curve(points, _colour(curve.model_kind), 2.6 if is_main else 1.3)
    for curve, y in _end_labels(shown, up):
        kind = curve.model_kind
        end = up(curve.points[-1].y)
        sheet.lines([[(across.end + 1, end), (across.end + 9, y)]], _colour(kind), 1.2)
        sheet.text(across.end + 12, y, _short(kind), size=SMALL_TEXT, bold=kind == COMBINED)
    return sheet.figure(
        "risk-coverage",
        "Wrong answers against answered samples",
        _risk_text(shown, target),
    )


def target_precision(contents: ReportContents) -> float | None:
    """Return the share of answers that should be right, where the configuration says."""
    trust_options: Any = contents.release.configuration.get("trust")
    value = trust_options.get("target_precision") if isinstance(trust_options, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _end_labels(curves: Sequence[Curve], up: Scale) -> list[tuple[Curve, float]]:
    """Return the heights of the labels at the curves' ends, moved apart where they would touch."""
    ends = sorted(curves, key=lambda curve: up(curve.points[-1].y))
    placed: list[float] = []
    for curve in ends:
        y = up(curve.points[-1].y)
        placed.append(max(y, placed[-1] + NEXT_LABEL) if placed else y)
    below = max((placed[-1] if placed else 0.0) - up.start, 0.0)
    for number in range(len(placed) - 1, -1, -1):
        limit = placed[number + 1] - NEXT_LABEL if number + 1 < len(placed) else placed[-1] - below
        placed[number] = min(placed[number], limit)
    return list(zip(ends, placed, strict=True))


def _risk_text(curves: Sequence[Curve], target: float | None) -> str:
    text = (
        "Share of answers that are wrong when only the surest samples are answered, on whole"
        " datasets held out. With every sample answered: "
        + listed(
            [
                f"{kind_words(each.model_kind)} {percent(each.points[-1].y)}"
                for each in sorted(curves, key=lambda curve: curve.points[-1].y)
            ]
        )
        + "."
    )
    main = next((each for each in curves if each.model_kind == COMBINED), None)
    if main is None or target is None:
        return text
    within = [point.x for point in main.points if point.y <= 1 - target + 1e-9]
    reached = f"{percent(max(within))} of the samples" if within else "no share of the samples"
    return (
        f"{text} The combined models stay within the {percent(1 - target)} asked for on {reached}."
    )
