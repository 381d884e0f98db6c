"""Calibration of the confidence, and accuracy when fewer samples are answered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.report.figures.drawing import canvas_of, draw, place, strokes, write
from annotator.report.figures.rows import legend_above, scale
from annotator.report.figures.theme import LIGHT, PAPER_KINDS
from annotator.report.tables.accuracy import held_out_metrics
from annotator.report.tables.cells import kind_words
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.lines import Line2D

    from annotator.domain.held_out import Curve
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

RELIABILITY: Final = "reliability"
RISK_COVERAGE: Final = "risk_coverage"
SIDE: Final = 340.0


def selective(contents: ReportContents) -> Iterable[Figure]:
    """Yield the reliability and the risk-coverage curves that there are."""
    reliability = [each for each in contents.curves if each.name == RELIABILITY and each.points]
    if reliability:
        kinds = {curve.model_kind for curve in reliability}
        main = COMBINED if COMBINED in kinds else min(kinds)
        shown = [each for each in reliability if each.model_kind in (main, *PAPER_KINDS)]
        shown.sort(key=lambda curve: (curve.model_kind == main, curve.model_kind))
        yield draw(
            "reliability",
            "Reliability of the probabilities",
            _reliability_text(contents, shown[-1]),
            partial(_draw_reliability, shown),
        )
    risk = [each for each in contents.curves if each.name == RISK_COVERAGE and each.points]
    if risk:
        target = target_precision(contents)
        yield draw(
            "risk-coverage",
            "Wrong answers against answered samples",
            _risk_text(risk, target),
            partial(_draw_risk, risk, target),
        )


def _draw_reliability(curves: Sequence[Curve]) -> Canvas:
    """Draw curves, the last as the main one, above how many samples stand behind its points."""
    main = curves[-1]
    canvas = canvas_of(SIDE, SIDE + 110)
    axes, bars = place(canvas, 0, 0, SIDE, SIDE), place(canvas, 0, SIDE + 50, SIDE, 60)
    scale(axes, 0, 1, lambda _: "")
    scale(axes, 0, 1, upwards=True)
    write_axis_titles(axes, "samples that are right")
    diagonal = axes.plot(
        (0, 1), (0, 1), color=LIGHT.muted, linestyle="--", label="as right as confident"
    )
    lines = diagonal + [_curve(axes, each, 2.2 if each is main else 1.2) for each in curves]
    samples = np.array([point.samples for point in main.points])
    places = [point.x for point in main.points]
    colour = LIGHT.kind(main.model_kind)
    axes.scatter(  # area by samples: a point of few is not worth much
        places,
        [point.y for point in main.points],
        8 + 60 * samples / samples.max(),
        c=colour,
        clip_on=False,
    )
    bars.set_ylim(0, samples.max())
    scale(bars, 0, 1)
    strokes(
        bars,
        [(x, 0, x, n) for x, n in zip(places, samples, strict=True)],
        colour,
        linewidth=10,
        alpha=0.75,
    )
    ends = [(-6, 60.0, "0"), (-6, 0.0, f"{samples.max():,}")]
    write(bars, ends, LIGHT.muted, across="right")
    strokes(bars, [(0, y, 1, y) for y in (0, samples.max())], LIGHT.grid, linewidth=1, zorder=0)
    write_axis_titles(bars, "samples", "confidence (probability of the answer)")
    legend_above(axes, lines[::-1], left=36, lift=24, handlelength=1.8)
    return canvas


def write_axis_titles(axes: Axes, above: str, below: str = "") -> None:
    """Write what the vertical scale is above axes, and the horizontal one below them."""
    write(axes, [(0, -7, above)], LIGHT.muted, up="above")
    middle = axes.bbox.width / 2
    write(axes, [(middle, axes.bbox.height + 20, below)], LIGHT.muted, across="center", up="below")


def _curve(axes: Axes, curve: Curve, width: float) -> Line2D:
    """Draw the points of a curve as a line, the combined models' above the others."""
    (line,) = axes.plot(
        [point.x for point in curve.points],
        [point.y for point in curve.points],
        color=LIGHT.kind(curve.model_kind),
        linewidth=width,
        zorder=3 if curve.model_kind == COMBINED else 2,
        label=kind_words(curve.model_kind),
        scalex=False,
        scaley=False,
    )
    return line


def _reliability_text(contents: ReportContents, curve: Curve) -> str:
    error = next(
        (
            each.value
            for each in held_out_metrics(contents)
            if (each.model_kind, each.name) == (curve.model_kind, "expected_calibration_error")
        ),
        None,
    )
    last = curve.points[-1]
    return (
        f"How often predictions of a confidence are right, {kind_words(curve.model_kind)}, on whole"
        " datasets held out; on the dashed line they are as right as they are confident. The bars"
        f" are samples. Of the {last.samples:,} most confident, at a mean confidence of"
        f" {percent(last.x)}, {percent(last.y)} are right."
        + ("" if error is None else f" Expected calibration error {error:.3f}.")
    )


def target_precision(contents: ReportContents) -> float | None:
    """Return the share of answers that should be right, where the configuration says."""
    selective_options: Any = contents.release.configuration.get("trust")
    value = (
        selective_options.get("target_precision") if isinstance(selective_options, dict) else None
    )
    return float(value) if isinstance(value, int | float) else None


def _draw_risk(curves: Sequence[Curve], target: float | None) -> Canvas:
    canvas = canvas_of(SIDE, 260)
    axes = place(canvas, 0, 0, SIDE, 260)
    most = max(0.1, max(point.y for curve in curves for point in curve.points if point.x >= 0.1))
    high = min(float(np.ceil(most * 20) / 20), 1.0)
    scale(axes, 0, 1)
    scale(axes, 0, high, upwards=True)
    write_axis_titles(axes, "answers that are wrong", "samples answered, most confident first")
    lines = [
        _curve(axes, curve, 2.6 if curve.model_kind == COMBINED else 1.3)
        for curve in sorted(curves, key=lambda curve: -curve.points[-1].y)  # as they end
    ]
    if target is not None and 1 - target < high:
        label = f"allowed: {100 * (1 - target):.3g}\N{NO-BREAK SPACE}%"
        lines.append(axes.axhline(1 - target, color=LIGHT.muted, linestyle="--", label=label))
    legend_above(axes, lines, left=36, lift=24, handlelength=1.8)
    return canvas


def _risk_text(curves: Sequence[Curve], target: float | None) -> str:
    text = (
        "Share of answers that are wrong when only the most confident samples are answered, on"
        " whole datasets held out. With every sample answered: "
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
    return f"{text} The combined models stay within the {percent(1 - target)} allowed on {reached}."
