"""Make the tables, the plot and the part of a document from the benchmark's JSON alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmarks.accuracy.bootstrap import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BEGIN, END = "<!-- real-data:begin -->", "<!-- real-data:end -->"
PAPER, OURS = "paper", "default"
PAPERS_MODELS = ("network", "forest")  # neither boosting nor the combination is the paper's
COMBINED = "combined"
TITLES = {
    "accuracy": "accuracy",
    "mean_over_datasets": "mean over datasets",
    "mean_over_classes": "mean over classes",
    "balanced_accuracy": "balanced accuracy",
    "balanced_accuracy_at_equal_priors": "balanced accuracy at equal priors",
    "auc": "AUC",
    "expected_calibration_error": "calibration error",
}
SELECTIVE = {
    "answered": "answered",
    "precision": "precision",
    "answered_class": "answered with a class",
    "always_class_precision": "precision if always the class",
    "always_top_precision": "precision if always the top term",
    "prediction_set_coverage": "set coverage",
    "prediction_set_coverage_over_datasets": "set coverage, mean over datasets",
    "prediction_set_size": "set size",
}
COST = {
    "seconds": "evaluation s",
    "megabytes": "MB",
    "retrain_seconds": "retraining s",
    "retrain_megabytes": "MB ",
}

Json = dict[str, Any]
Table = tuple[list[str], list[list[str]]]


def headline(task: Json) -> tuple[str, ...]:
    """Return the names of a task's most important metrics."""
    figures = {
        name for models in _presets(task).values() for one in models.values() for name in one
    }
    if task["field"] == "tissue":
        return "mean_over_classes", "accuracy"
    first = "auc" if "auc" in figures else "accuracy"
    return first, "balanced_accuracy", "balanced_accuracy_at_equal_priors"


def _presets(task: Json) -> Mapping[str, Mapping[str, Mapping[str, Json]]]:
    """Return preset (and ``baselines``) to model to metric to estimate."""
    found = {name: run["figures"] for name, run in task["presets"].items()}
    return found | ({"baselines": task["baselines"]} if task.get("baselines") else {})


def shown(estimate: Json | None, signed: bool = False) -> str:
    """Return a metric with its interval, ``0.812 [0.77; 0.85]``."""
    if not estimate or estimate["value"] is None:
        return ""
    sign = "+" if signed else ""
    value = f"{estimate['value']:{sign}.3f}"
    if estimate.get("low") is None or estimate.get("high") is None:
        return value
    return f"{value} [{estimate['low']:{sign}.2f}; {estimate['high']:{sign}.2f}]"


def every_metric(results: Json) -> Table:
    """Return one row per task, preset and model."""
    rows = []
    for task in results["tasks"].values():
        for preset, models in _presets(task).items():
            for model, figures in models.items():
                values = [shown(figures.get(name)) for name in METRICS]
                rows.append([task["title"], preset, model, *values])
    return ["data", "preset", "model", *(TITLES[name] for name in METRICS)], rows


def side_by_side(results: Json) -> Table:
    """Return the baselines, the paper's models and ours side by side."""
    rows = []
    for task in results["tasks"].values():
        presets = _presets(task)
        for name in headline(task):
            papers = [shown(_estimate(presets, PAPER, model, name)) for model in PAPERS_MODELS]
            rows.append(
                [
                    task["title"],
                    TITLES[name],
                    _best(presets.get("baselines", {}), name),
                    *papers,
                    shown(_estimate(presets, OURS, COMBINED, name)),
                    shown(task.get("differences", {}).get("paper", {}).get(name), signed=True),
                    str(task["samples"]),
                    str(task["datasets"]),
                ]
            )
    heads = ["data", "metric", "best baseline", "paper's network", "paper's forest"]
    heads += ["`default`", "gain over the better of the paper's", "samples", "datasets"]
    return heads, rows


def _estimate(presets: Mapping[str, Any], preset: str, model: str, name: str) -> Json | None:
    found: Json | None = presets.get(preset, {}).get(model, {}).get(name)
    return found


def _best(models: Mapping[str, Mapping[str, Json]], name: str) -> str:
    found = {
        model: figures[name]["value"]
        for model, figures in models.items()
        if figures.get(name) and figures[name]["value"] is not None
    }
    if not found:
        return ""
    best = max(found, key=lambda model: found[model])
    return f"{found[best]:.3f} ({best.replace('_', ' ')})"


def selective_table(results: Json) -> Table:
    """Return the metrics of selective prediction with preset ``default``."""
    rows = []
    for task in results["tasks"].values():
        run = task["presets"].get(OURS)
        if run is None:
            continue
        error = run["figures"].get(COMBINED, {}).get("expected_calibration_error")
        values = [shown(run["selective"].get(name)) for name in SELECTIVE]
        rows.append([task["title"], shown(error), *values])
    return _without_empty(["data", TITLES["expected_calibration_error"], *SELECTIVE.values()], rows)


def cost_table(results: Json) -> Table:
    """Return the cost of a validation and, if measured, of a whole retraining."""
    rows = [
        [
            task["title"],
            preset,
            *("" if run["cost"].get(key) is None else f"{run['cost'][key]:.0f}" for key in COST),
        ]
        for task in results["tasks"].values()
        for preset, run in task["presets"].items()
    ]
    return _without_empty(["data", "preset", *COST.values()], rows)


def _without_empty(heads: list[str], rows: list[list[str]]) -> Table:
    """Leave out empty columns."""
    kept = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    return [heads[place] for place in kept], [[row[place] for place in kept] for row in rows]


def as_text(table: Table) -> str:
    """Return a table in Markdown."""
    heads, rows = table
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)


def markdown(results: Json) -> str:
    """Return the text between the markers of the document."""
    made = results["made_with"]
    parts = [
        as_text(side_by_side(results)),
        "In brackets: 95 % intervals by resampling whole datasets"
        f" ({results['bootstrap']['replicates']} times).",
    ]
    selective, cost = selective_table(results), cost_table(results)
    if selective[1]:
        parts += ["Selective prediction of `default`:", as_text(selective)]
    if cost[1]:
        parts += [
            f"Cost on {made['cores']} cores (memory of the largest process):",
            as_text(cost),
        ]
    return "\n\n".join(parts)


def fill_document(text: str, results: Json) -> str:
    """Return the document with the part between its markers replaced.

    Raises
    ------
    ValueError
        The markers are not in the document once each, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{BEGIN} and {END} must be in the document, once each and in this order")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n{markdown(results)}\n{END}{after}"


def plot(results: Json, path: Path) -> None:
    """Plot the most important metric of every model with its interval, one panel per task."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    colours = {"baselines": "0.6", PAPER: "tab:blue", OURS: "tab:orange"}
    tasks = list(results["tasks"].values())
    heights = [1 + sum(map(len, _presets(task).values())) for task in tasks]
    options = {"svg.hashsalt": "benchmark", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(options):
        figure, panels = pyplot.subplots(
            len(tasks),
            1,
            squeeze=False,
            figsize=(7, 0.2 * sum(heights) + 0.6 * len(tasks)),
            height_ratios=heights,
            layout="constrained",
        )
        for panel, task in zip(panels[:, 0], tasks, strict=True):
            name = headline(task)[0]
            names = _draw(panel, task, name, colours)
            panel.set_yticks(range(len(names)), names)
            panel.invert_yaxis()
            panel.set_title(f"{task['title']}: {TITLES[name]}", loc="left", fontsize=9)
            panel.grid(axis="x", alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _draw(panel: Any, task: Json, name: str, colours: Mapping[str, str]) -> Sequence[str]:
    names: list[str] = []
    for preset, models in _presets(task).items():
        for model, figures in models.items():
            found = figures.get(name)
            if not found or found["value"] is None:
                continue
            row = len(names)
            names.append(f"{preset}: {model.replace('_', ' ')}")
            colour = colours.get(preset, "tab:green")
            panel.plot(found["value"], row, "o", color=colour, markersize=4)
            if found["low"] is not None and found["high"] is not None:
                panel.plot([found["low"], found["high"]], [row, row], color=colour)
    return names
