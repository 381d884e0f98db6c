"""Tables of validation metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.held_out import COMBINED, CROSS_VALIDATION, ONE_DATASET_OUT, TERM_METRICS
from annotator.report.paper_figures import paper_accuracies_of
from annotator.report.tables.cells import (
    BASELINES,
    Cell,
    Table,
    count,
    kind_words,
    number,
    share,
    table,
    table_of,
    text,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from annotator.domain.held_out import Metric
    from annotator.report.contents import ReportContents
    from annotator.report.paper_figures import PaperAccuracy

SCHEME_WORDS = {CROSS_VALIDATION: "samples split at random", ONE_DATASET_OUT: "held-out datasets"}
FIGURES = (
    ("accuracy", "Accuracy"),
    ("mean_over_datasets", "Mean over datasets"),
    ("mean_over_classes", "Mean over classes"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("balanced_accuracy_at_equal_priors", "Balanced accuracy at equal priors"),
    ("auc", "Area under the ROC curve"),
    ("expected_calibration_error", "Calibration error"),
)
SELECTIVE_METRICS = (
    ("answered", "Samples that are answered"),
    ("answered_class", "Samples answered with a class, not a broader term"),
    ("precision", "Answers that are right"),
    ("always_class_precision", "Right if every sample were answered with its class"),
    ("always_top_precision", "Right if every sample were answered with its broadest term"),
    ("prediction_set_coverage", "Prediction sets that hold the true class"),
    ("prediction_set_coverage_over_datasets", "The same, mean over datasets"),
    ("novelty_abstained", "Samples of known classes left unanswered because they are unlike any"),
    ("prediction_set_size", "Classes in a prediction set, on average"),
)
OF_TERMS = ("answered_class", "always_top_precision")
"""Metrics that say something only where answers may be broader terms."""
DIGITS = {"auc": 3, "expected_calibration_error": 3, "prediction_set_size": 2}
"""Metrics that are not shares, and how many digits after the point they have."""
TERM_TITLES = {
    "accuracy": "Most probable class is right",
    "answered": "Are answered",
    "precision": "Answers that are right",
    "prediction_set_coverage": "Sets that hold the class",
}
TERM_PARTS = (
    ("learned", "Their own term occurs among the training samples"),
    ("new", "Only other terms of their class do"),
)

RANDOM_CLASS_METRICS = {
    "class_accuracy": "Share of its samples, all combined, samples split at random",
    "class_precision": "Precision, all combined, samples split at random",
}

PAPER_MODELS = ("network", "forest")
CLASS_METRICS = {"class_precision": "Precision", "class_accuracy": "Accuracy"}

Found = dict[tuple[str, str, str | None], "Metric"]


def held_out_metrics(contents: ReportContents) -> tuple[Metric, ...]:
    """Return the figures on whole datasets held out, those that a release is judged by."""
    return next(
        (metrics for scheme, metrics in contents.metrics.items() if scheme != CROSS_VALIDATION), ()
    )


def random_metrics(contents: ReportContents) -> tuple[Metric, ...]:
    """Return the figures of random cross-validation, empty where there was none."""
    return tuple(contents.metrics.get(CROSS_VALIDATION, ()))


def kind_figures(contents: ReportContents) -> Table | None:
    """Return a row for each model kind and baseline, on held-out datasets and at random."""
    held_out, at_random = _by_name(held_out_metrics(contents)), _by_name(random_metrics(contents))
    kinds = list(dict.fromkeys(kind for kind, _, name in (*held_out, *at_random) if name is None))
    kinds = [kind for kind in kinds if _any_figure(held_out, at_random, kind)]
    kinds.sort(key=lambda kind: (kind != COMBINED, kind in BASELINES, -_accuracy(held_out, kind)))
    shown = [
        (name, title)
        for name, title in FIGURES
        if any((kind, name, None) in held_out for kind in kinds)
    ]
    random_title = ["Accuracy, samples split at random"] if at_random else []
    rows = []
    for kind in kinds:
        row = [text(kind_words(kind))]
        row += [_cell(held_out.get((kind, name, None))) for name, _ in shown]
        row += [_cell(at_random.get((kind, "accuracy", None))) for _ in random_title]
        rows.append(row)
    return table(
        "model-kinds",
        "Every kind of model on held-out datasets, and what it has to beat",
        [words("Model"), *(title for _, title in shown), *random_title],
        rows,
    )


def paper_figures(contents: ReportContents) -> Table | None:
    """Return the paper's accuracies for a field like this beside the release's."""
    schemes = {
        CROSS_VALIDATION: _by_name(random_metrics(contents)),
        ONE_DATASET_OUT: _by_name(held_out_metrics(contents)),
    }

    def own(fact: PaperAccuracy, kind: str) -> Metric | None:
        return schemes[fact.scheme].get((kind, fact.metric, None))

    facts = paper_accuracies_of(contents).values()
    return table_of(
        "paper",
        "What the paper reports for its own atlas, beside this release",
        [each for each in facts if own(each, each.model_kind) or own(each, COMBINED)],
        [
            (
                words("Model and validation"),
                lambda each: text(f"{kind_words(each.model_kind)}, {SCHEME_WORDS[each.scheme]}"),
            ),
            (words("Metric"), lambda each: text(dict(FIGURES)[each.metric])),
            ("The paper", lambda each: share(each.value)),
            ("The same kind here", lambda each: _cell(own(each, each.model_kind))),
            ("All combined here", lambda each: _cell(own(each, COMBINED))),
            (words("Section of the paper"), lambda each: text(each.section)),
        ],
    )


def accuracy_over_datasets(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the accuracy of each class within each held-out dataset, then their mean.

    Releases made before precision by class was recorded have it as ``class_accuracy``.
    """
    found = tuple(metrics)
    name = "class_accuracy_over_datasets" if has_class_precision(found) else "class_accuracy"
    return tuple(metric for metric in found if metric.name == name)


def has_class_precision(metrics: Iterable[Metric]) -> bool:
    """Tell whether ``class_accuracy`` counts samples, as it does beside a precision."""
    return any(metric.name == "class_precision" for metric in metrics)


def class_figures(contents: ReportContents) -> Table | None:
    """Return one row per class: accuracy by model kind, and precision, on held-out datasets.

    Beside them stand accuracy and precision where samples were divided at random.
    """
    held_out, at_random = held_out_metrics(contents), random_metrics(contents)
    found = {
        (metric.class_name, metric.model_kind): metric
        for metric in accuracy_over_datasets(held_out)
        if metric.class_name and metric.model_kind not in BASELINES
    }
    kinds = sorted(dict.fromkeys(kind for _, kind in found), key=lambda kind: kind != COMBINED)
    precise, by_chance = has_class_precision(held_out), has_class_precision(at_random)
    further = [(_by_name(held_out), "class_precision")] * precise
    further += [(_by_name(at_random), name) for name in RANDOM_CLASS_METRICS] * by_chance
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        some = next(found[name, kind] for kind in kinds if (name, kind) in found)
        row = [text(name), count(some.samples), count(some.datasets)]
        row += [_cell(found.get((name, kind)), bar=kind == COMBINED) for kind in kinds]
        row += [_cell(metrics.get((COMBINED, metric, name))) for metrics, metric in further]
        rows.append(row)
    rows.sort(key=lambda row: (row[3].order is None, row[3].order))
    return table(
        "class-accuracy",
        "Share of each class's samples that is recognised in held-out datasets: within each"
        " dataset, then the mean over datasets. Precision is the share of the samples predicted"
        " as the class that are of it.",
        [
            words("Class"),
            "Samples",
            "Datasets",
            *(kind_words(kind).capitalize() for kind in kinds),
            *(["Precision, all combined"] if precise else []),
            *(RANDOM_CLASS_METRICS.values() if by_chance else []),
        ],
        rows,
        (3, "ascending"),
    )


@dataclass(frozen=True)
class ClassPrecision:
    """Precision and accuracy by class of network and forest (paper, Fig. 2 and 3).

    Attributes
    ----------
    values
        Name of the metric, model kind and class to a finite value.
    sizes
        How many labelled samples each class has, the largest first.
    scheme
        ``cv`` where precision by class is recorded for it, else ``one-dataset-out``.
    """

    values: Mapping[tuple[str, str, str], float]
    sizes: Mapping[str, int]
    scheme: str

    @property
    def kinds(self) -> list[str]:
        """Those of network and forest that there are values of."""
        return [kind for kind in PAPER_MODELS if any(place[1] == kind for place in self.values)]

    def mean(self, metric: str, kind: str, classes: Iterable[str]) -> float | None:
        """Return the mean of a metric over some classes, ``None`` where it has no value."""
        values = [
            self.values[place] for name in classes if (place := (metric, kind, name)) in self.values
        ]
        return sum(values) / len(values) if values else None


def class_precision(contents: ReportContents) -> ClassPrecision:
    """Read precision and accuracy by class; empty where precision is not recorded."""
    at_random = random_metrics(contents)
    by_chance = has_class_precision(at_random)
    metrics = at_random if by_chance else held_out_metrics(contents)
    values = {
        (each.name, each.model_kind, each.class_name): each.value
        for each in (metrics if has_class_precision(metrics) else ())
        if each.class_name and each.name in CLASS_METRICS and each.model_kind in PAPER_MODELS
        if math.isfinite(each.value)
    }
    samples = contents.class_sizes()
    names = sorted({name for _, _, name in values}, key=lambda name: (-samples[name], name))
    return ClassPrecision(
        values,
        {name: samples[name] for name in names},
        CROSS_VALIDATION if by_chance else ONE_DATASET_OUT,
    )


def precision_figures(contents: ReportContents) -> Table | None:
    """Return one row per class: precision and accuracy of network and forest."""
    found = class_precision(contents)

    def column(metric: str, kind: str) -> tuple[str, Callable[[str], Cell]]:
        head = f"{CLASS_METRICS[metric]}, {kind_words(kind)}"
        return head, lambda name: share(found.values.get((metric, kind, name)))

    return table_of(
        "class-precision",
        f"Precision and accuracy of each class, {SCHEME_WORDS[found.scheme]}, as in figures 2 and"
        " 3 of the paper",
        found.sizes,
        [
            (words("Class"), text),
            ("Labelled samples", lambda name: count(found.sizes[name])),
            *(column(metric, kind) for kind in found.kinds for metric in CLASS_METRICS),
        ],
        (1, "descending"),
    )


def selective_metrics(contents: ReportContents) -> Table | None:
    """Return a row for each metric of selective prediction on held-out datasets."""
    found = figures_by_name(held_out_metrics(contents))
    return table_of(
        "selective",
        "Which share of held-out datasets would have been answered, and how much of it correctly",
        [
            (title, found[name])
            for name, title in SELECTIVE_METRICS
            if name in found and (contents.has_broader_terms or name not in OF_TERMS)
        ],
        [
            (words("Metric"), lambda row: text(row[0])),
            ("Value", lambda row: _cell(row[1])),
            ("Samples", lambda row: count(row[1].samples)),
            ("Datasets", lambda row: count(row[1].datasets)),
        ],
    )


def term_figures(contents: ReportContents) -> Table | None:
    """Return a row for the samples whose own term was learned, and one for the others."""
    found = figures_by_name(held_out_metrics(contents))
    rows = []
    for part, title in TERM_PARTS:
        figures = [found.get(f"{name}_of_{part}_terms") for name in TERM_METRICS]
        all_of_part = figures[0]
        if all_of_part is not None:
            behind = [count(all_of_part.samples), count(all_of_part.datasets)]
            rows.append([text(title), *behind, *(_cell(each) for each in figures)])
    return table(
        "terms",
        "Held-out datasets by whether a sample's own term was learned, not just its class",
        [words("Samples"), "Number", "Datasets", *(TERM_TITLES[name] for name in TERM_METRICS)],
        rows,
    )


def _any_figure(held_out: Found, at_random: Found, kind: str) -> bool:
    return any(
        (kind, name, None) in found for name, _ in FIGURES for found in (held_out, at_random)
    )


def _accuracy(found: Found, kind: str) -> float:
    metric = found.get((kind, "accuracy", None))
    return -1.0 if metric is None else metric.value


def _by_name(metrics: Iterable[Metric]) -> Found:
    return {
        (metric.model_kind, metric.name, metric.class_name or None): metric for metric in metrics
    }


def _cell(metric: Metric | None, *, bar: bool = False) -> Cell:
    if metric is not None and metric.name in DIGITS:
        return number(metric.value, DIGITS[metric.name])
    return share(None if metric is None else metric.value, bar=bar)


def figures_by_name(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """Return the figures of all models combined over all classes, by name."""
    return {
        name: metric
        for (kind, name, class_name), metric in _by_name(metrics).items()
        if kind == COMBINED and class_name is None
    }
