"""Format results as text: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import json
import math
import textwrap
from datetime import date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from annotator.domain.held_out import CROSS_VALIDATION, TERM_METRICS
from annotator.domain.organisms import of_organism
from annotator.domain.wording import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annotator.domain.held_out import Metric
    from annotator.jobs.retrain.ablation import Ablation
    from annotator.jobs.retrain.retrain import RetrainOutcome

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "balanced_accuracy_at_equal_priors",
    "mean_over_datasets",
    "mean_over_classes",
    "auc",
    "expected_calibration_error",
)
ABLATION_METRICS = ("accuracy", "balanced_accuracy", "mean_over_datasets", "auc")
OF_HELD_OUT_DATASETS = ("mean_over_datasets", "mean_over_classes")
"""Metrics over held-out datasets; there are none if samples are divided at random."""
CLASS_TITLES = {
    "class_accuracy": "Accuracy of each class: share of its samples that are recognised",
    "class_precision": "Precision of each class: share of its predictions that are right",
}
WIDEST = 60
WIDEST_HEADER = 18


def as_table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a plain text table."""
    from tabulate import tabulate

    return tabulate(
        [[_cell(value) for value in row] for row in rows],
        headers=list(headers),
        tablefmt="simple",
        disable_numparse=True,
        missingval="",
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.3f}"
    if isinstance(value, list | tuple):
        text = ", ".join(str(item) for item in value)
    elif isinstance(value, dict):
        text = json.dumps(value, default=str)
    elif isinstance(value, datetime):
        text = value.isoformat(sep=" ", timespec="seconds")
    else:
        text = str(value)
    text = " ".join(visible(text).split())
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _plain(value: Any) -> Any:
    """Return a value in a type that JSON has; SQL arrays are already lists."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)


def query_output(columns: Sequence[str], rows: Sequence[Sequence[Any]], output: str) -> str:
    """Return the rows of a query as text.

    Parameters
    ----------
    columns, rows
        The result of the query.
    output
        ``table``; ``csv`` for a header and rows; ``json`` for a list of objects.
    """
    if output == "json":
        names = _distinct(columns)
        objects = [dict(zip(names, map(_json_value, row), strict=True)) for row in rows]
        return json.dumps(objects, default=_plain, indent=1, allow_nan=False) + "\n"
    if output == "csv":
        lines: list[str] = []
        # With this end of lines, also values with a carriage return are quoted.
        writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
        writer.writerow(columns)
        writer.writerows([[_csv_cell(value) for value in row] for row in rows])
        return "".join(line.removesuffix("\r\n") + "\n" for line in lines)
    counted = f"({len(rows)} row{'' if len(rows) == 1 else 's'})\n"
    return f"{as_table(list(map(visible, columns)), rows)}\n{counted}" if columns else counted


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return column names with repeated ones numbered, so that no value is lost."""
    seen: dict[str, int] = {}
    names = []
    for column in columns:
        seen[column] = seen.get(column, 0) + 1
        names.append(column if seen[column] == 1 else f"{column}_{seen[column]}")
    return names


def _json_value(value: Any) -> Any:
    """Return a value with NaN and infinity, which JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [_json_value(item) for item in value] if isinstance(value, list) else value


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list | dict | bool):
        return json.dumps(value, default=_plain)
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain(value)


def kind_table(metrics: Iterable[Metric], *, datasets_held_out: bool = True) -> str:
    """Return one row per model kind, with its metrics over all held-out samples.

    Parameters
    ----------
    metrics
        Metrics of one validation.
    datasets_held_out
        Whether whole datasets were held out; means over datasets are shown only then.
    """
    found = {
        (metric.model_kind, metric.name): metric for metric in metrics if metric.class_name is None
    }
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    names = [
        name
        for name in METRICS
        if any((kind, name) in found for kind in kinds)
        and (datasets_held_out or name not in OF_HELD_OUT_DATASETS)
    ]
    rows = []
    for kind in kinds:
        first = found.get((kind, "accuracy"))
        values = [found[kind, name].value if (kind, name) in found else None for name in names]
        behind = [first.samples, first.datasets] if first else [None, None]
        rows.append([kind, *values, *behind])
    titles = [textwrap.fill(name.replace("_", " "), WIDEST_HEADER) for name in names]
    return as_table(["model", *titles, "samples", "datasets"], rows)


def class_tables(metrics: Sequence[Metric]) -> str:
    """Return accuracy and precision per class and model kind, each under its title."""
    parts = ((title, class_table(metrics, name)) for name, title in CLASS_TITLES.items())
    return "\n\n".join(f"{title}\n{rows}" for title, rows in parts if rows)


def class_table(metrics: Iterable[Metric], name: str) -> str:
    """Return one row per class: a metric per model kind, and the number of the class's samples.

    Empty if no class has the metric. No number of samples is shown for precision, since it
    differs between model kinds.
    """
    found = {
        (metric.class_name, metric.model_kind): metric
        for metric in metrics
        if metric.name == name and metric.class_name is not None
    }
    if not found:
        return ""
    kinds = list(dict.fromkeys(kind for _, kind in found))
    behind = ["samples", "datasets"] if name == "class_accuracy" else []
    rows = []
    for each in sorted({each for each, _ in found if each is not None}):
        some = next(found[each, kind] for kind in kinds if (each, kind) in found)
        values = [found[each, kind].value if (each, kind) in found else None for kind in kinds]
        rows.append([each, *values, *([some.samples, some.datasets] if behind else [])])
    return as_table(["class", *kinds, *behind], rows)


def term_table(metrics: Iterable[Metric]) -> str:
    """Return one row for samples whose own term was learned, and one for the others.

    Empty if every term was learned, or if there are no metrics of answers.
    """
    found = {metric.name: metric for metric in metrics}
    rows = []
    for part in ("learned", "new"):
        shown = [found.get(f"{name}_of_{part}_terms") for name in TERM_METRICS]
        if shown[0] is not None:
            behind = [shown[0].samples, shown[0].datasets]
            rows.append([part, *(each.value if each else None for each in shown), *behind])
    if not rows:
        return ""
    headers = ["own term", *(name.replace("_", " ") for name in TERM_METRICS)]
    return as_table([*headers, "samples", "datasets"], rows)


def retrain_table(outcomes: Iterable[RetrainOutcome]) -> str:
    """Return the validation metrics, one block per field and organism."""
    shown = list(outcomes)
    among = [outcome.organism for outcome in shown]
    return "\n\n".join(
        f"{of_organism(outcome.field, outcome.organism, among)}, datasets held out:\n"
        f"{kind_table(outcome.metrics)}"
        for outcome in shown
    )


def ablation_table(ablation: Ablation) -> str:
    """Return one row per feature set and model kind, baselines last."""
    found = {
        (name, metric.model_kind, metric.name): metric
        for name, metrics in ablation.metrics.items()
        for metric in metrics
        if metric.class_name is None
    }
    columns = [
        name
        for name in ABLATION_METRICS
        if any(key[2] == name for key in found)
        and (ablation.scheme != CROSS_VALIDATION or name not in OF_HELD_OUT_DATASETS)
    ]
    rows = []
    for name, kind in dict.fromkeys(key[:2] for key in found):
        values = [
            found[name, kind, metric_name].value if (name, kind, metric_name) in found else None
            for metric_name in columns
        ]
        accuracy = found[name, kind, "accuracy"]
        rows.append([name, kind, *values, accuracy.samples, accuracy.datasets])
    shown = [
        metric_name.replace("_", " ") if metric_name != "auc" else "AUC" for metric_name in columns
    ]
    return as_table(["features", "model", *shown, "samples", "datasets"], rows)
