"""The few metrics at the head of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.report.tables.accuracy import figures_by_name, held_out_metrics, random_metrics
from annotator.report.tables.cohort import cohort_size
from annotator.report.words import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from annotator.domain.answers import LiveAccuracy
    from annotator.domain.held_out import Metric
    from annotator.report.contents import ReportContents


@dataclass(frozen=True, slots=True)
class Tile:
    """One metric, its title and what it is based on."""

    title: str
    value: str
    behind: str


def tiles(contents: ReportContents) -> tuple[Tile, ...]:
    """Return the leading metrics; those that are not recorded are left out."""
    held_out = figures_by_name(held_out_metrics(contents))
    at_random = figures_by_name(random_metrics(contents))
    found = [
        _tile("Right on held-out datasets", held_out.get("accuracy"), _behind),
        _tile(
            "Mean over classes",
            held_out.get("mean_over_classes"),
            lambda _: f"held-out datasets; each of {len(contents.release.classes)} classes alike",
        ),
        _tile("Samples that are answered", held_out.get("answered"), _answered_with(held_out)),
        _tile(
            "Right on samples split at random",
            at_random.get("accuracy"),
            lambda _: "optimistic for a new dataset",
        ),
    ]
    if contents.live_accuracy is not None:
        found.append(_in_use(contents.live_accuracy))
    size = cohort_size(contents.cohort)
    if size.samples:
        found.append(
            Tile("Trained on", f"{size.samples:,} samples", f"of {size.datasets:,} datasets")
        )
    if contents.suspects:
        found.append(
            Tile("Suspect labels", f"{len(contents.suspects):,}", "worth a look by a curator")
        )
    return tuple(tile for tile in found if tile is not None)


def _tile(title: str, metric: Metric | None, behind: Callable[[Metric], str]) -> Tile | None:
    return None if metric is None else Tile(title, percent(metric.value), behind(metric))


def _in_use(became: LiveAccuracy) -> Tile:
    return Tile(
        "Right in use",
        percent(became.confirmed / became.judged),
        f"of {became.judged:,} suggestions that got a label later"
        f" (95 % interval {percent(became.lowest)} to {percent(became.highest)})",
    )


def _behind(metric: Metric) -> str:
    return f"of {metric.samples:,} samples in {metric.datasets:,} datasets"


def _answered_with(held_out: Mapping[str, Metric]) -> Callable[[Metric], str]:
    precision = held_out.get("precision")
    words = "" if precision is None else f", {percent(precision.value)} of the answers right"
    return lambda _: f"the rest is left unanswered{words}"
