"""Made-up contents of reports, with any number of classes, some with difficult names."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from annotator.domain.answers import ClassContributions
from annotator.domain.explanations import (
    ClassEnrichment,
    ClassMarker,
    ClassSimilarity,
    ExplainedSample,
    ReleaseExplanations,
    SampleMap,
)
from annotator.domain.held_out import Curve, CurvePoint, HeldOutPredictions, Metric
from annotator.domain.reports import CohortPart, ReleaseSummary, Suspect
from annotator.report.contents import ReportContents

HOSTILE = '<script>alert("x")</script> & </svg>\u202e\x1b\nx'
KINDS = ("combined", "network", "forest", "linear")
CLASS_FIGURES = {"class_accuracy_over_datasets": 37, "class_accuracy": 41, "class_precision": 43}
BASELINES = ("majority", "logistic_regression")
FIGURES = (
    "accuracy",
    "mean_over_datasets",
    "mean_over_classes",
    "balanced_accuracy",
    "balanced_accuracy_at_equal_priors",
)


def class_names(classes: int) -> tuple[str, ...]:
    """Return names of classes; the second is long and the third contains markup."""
    usual = [f"tissue {number:02}" for number in range(classes)]
    usual[1] = "bone marrow mesenchymal stromal cell of the umbilical cord"
    usual[2] = HOSTILE
    return tuple(usual)


def release_summary(classes: tuple[str, ...], status: str = "live") -> ReleaseSummary:
    """Return a tissue release with everything recorded."""
    made = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)
    return ReleaseSummary(
        release_id=12,
        field="tissue",
        status=status,
        preset="default",
        classes=classes,
        features=2346,
        reasons=(
            "Nothing is live yet, so there is no release to compare with.",
            "On 600 held-out samples, balanced accuracy 0.1100 is not above the 0.1200 of always"
            " naming the largest class (must be above by more than 0.0000, and is not).",
        ),
        created_at=made,
        promoted_at=made if status in ("live", "retired") else None,
        retired_at=made if status == "retired" else None,
        seed=20200330,
        folds="whole datasets held out, grouped into 10 folds",
        host="atlas.example.org",
        versions={"numpy": "2.4.0", "scikit-learn": "1.7.2"},
        configuration={
            "trust": {"target_precision": 0.95},
            "preset": {"name": "default"},
            "field": {"name": "tissue", "scheme": "ontology", "level": "group"},
        },
        configuration_hash="c" * 64,
        cohort_hash="a" * 64,
        trained_for=421.0,
    )


def held_out(classes: tuple[str, ...], samples: int, seed: int) -> HeldOutPredictions:
    """Return predictions that are mostly right, but all wrong for the last dataset."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, len(classes), samples)
    datasets = np.array([f"SRP{number % 23:06}" for number in range(samples)], dtype=object)
    probabilities = {}
    for kind in KINDS:
        score = generator.normal(size=(samples, len(classes)))
        score[np.arange(samples), truth] += np.where(datasets == "SRP000022", -9.0, 2.5)
        shares = np.exp(score)
        probabilities[kind] = shares / shares.sum(axis=1, keepdims=True)
    return HeldOutPredictions(
        sample_ids=np.array([f"SRR{number:07}" for number in range(samples)], dtype=object),
        dataset_ids=datasets,
        truth=np.array(classes, dtype=object)[truth],
        folds=np.arange(samples, dtype=np.int64) % 10,
        classes=classes,
        probabilities=probabilities,
    )


def metrics(classes: tuple[str, ...], level: float) -> tuple[Metric, ...]:
    """Return metrics of every kind, baseline and class."""
    found = [
        Metric(kind, name, None, level - place / 50, 600, 23)
        for place, kind in enumerate((*KINDS, *BASELINES))
        for name in FIGURES
    ]
    found += [
        Metric(kind, metric, name, (level * factor * (number + 3)) % 1.0, 20 + number, 4)
        for metric, factor in CLASS_FIGURES.items()
        for number, name in enumerate(classes)
        for kind in KINDS
    ]
    return (
        *found,
        Metric("combined", "answered", None, 0.7, 600, 23),
        Metric("combined", "precision", None, 0.948, 420, 23),
        Metric("combined", "expected_calibration_error", None, 0.031, 600, 23),
        Metric("combined", "prediction_set_size", None, 1.9, 600, 23),
        Metric("combined", "accuracy_of_learned_terms", None, 0.929, 410, 21),
        Metric("combined", "precision_of_learned_terms", None, 0.984, 344, 20),
        Metric("combined", "accuracy_of_new_terms", None, 0.658, 190, 12),
        Metric("combined", "answered_of_new_terms", None, 0.0, 190, 12),
    )


def curves() -> tuple[Curve, ...]:
    """Return one curve of each name, for two model kinds."""
    at = np.linspace(0.1, 1.0, 10)
    return tuple(
        Curve(
            name,
            kind,
            tuple(CurvePoint(float(x), float(y), 60) for x, y in zip(at, values, strict=True)),
        )
        for kind, bend in (("combined", 1.0), ("network", 1.3))
        for name, values in (("reliability", at**bend), ("risk_coverage", 0.3 * at**bend))
    )


def explanations(classes: tuple[str, ...], samples: int, seed: int) -> ReleaseExplanations:
    """Return markers, similarities, enrichments and a map."""
    generator = np.random.default_rng(seed)
    features = [f"hsa-miR-{number}-{arm}p" for number in range(100, 160) for arm in (3, 5)]
    markers = []
    for number, name in enumerate(classes):
        for rank in range(1, 31):
            expression = generator.gamma(0.5, 40.0, len(classes))
            expression[number] += 900 / rank
            markers.append(
                ClassMarker(
                    name,
                    rank,
                    features[(7 * number + rank) % len(features)],
                    2.0 / rank,
                    rank + rank % 3,
                    int(rank * 1.5) if rank % 4 else None,
                    1 - rank / 40 if rank % 5 else None,
                    tuple(float(value) for value in expression),
                )
            )
    similarities = [
        ClassSimilarity(one, other, 40, 40 - (a * b) % 3, 5.0 + 7 * abs(a - b))
        for a, one in enumerate(classes)
        for b, other in enumerate(classes)
        if a != b
    ]
    similarities += [
        ClassSimilarity(name, None, 40, 40, 9.0 + number) for number, name in enumerate(classes)
    ]
    sets = [
        ClassEnrichment(
            "table4",
            f"{name} (miRNAs)",
            name,
            2346,
            6,
            30,
            min(5, number % 6),
            float(10.0 ** -(number % 9)),
            float(min(1.0, 3 * 10.0 ** -(number % 9))),
            tuple(features[: min(5, number % 6)]),
        )
        for number, name in enumerate(classes)
    ]
    place = generator.normal(size=(samples, 2)).astype(np.float32) * 8
    return ReleaseExplanations(
        tuple(markers),
        tuple(similarities),
        tuple(sets),
        SampleMap(
            np.array([f"SRR{number:07}" for number in range(samples)], dtype=object),
            np.array([f"SRP{number % 23:06}" for number in range(samples)], dtype=object),
            np.array(classes, dtype=object)[generator.integers(0, len(classes), samples)],
            place,
        ),
    )


def explained_samples(classes: tuple[str, ...]) -> tuple[ExplainedSample, ...]:
    """A right and a wrong sample of each of the first three classes."""
    found = []
    for place, name in enumerate(classes[:3]):
        other = classes[place - 1]
        contributions = tuple(
            ClassContributions(
                "combined",
                "weighted_sum",
                each,
                rank,
                tuple(f"hsa-miR-{number + rank}-5p" for number in range(100, 120)),
                tuple(float(x) for x in np.linspace(2.0, -1.5, 20) / rank),
                tuple(float(x) for x in np.geomspace(1, 9000, 20)),
            )
            for rank, each in enumerate((name, other), start=1)
        )
        for is_right in (True, False):
            label = name if is_right else other
            sample = ExplainedSample(
                f"SRR9{place}{is_right:d}", "SRP9", name, 0.9, True, label, is_right, contributions
            )
            found.append(sample)
    return tuple(found)


def made_contents(
    classes: int = 12, samples: int = 600, seed: int = 1, status: str = "live"
) -> ReportContents:
    """Return complete contents."""
    named = class_names(classes)
    generator = np.random.default_rng(seed)
    cohort = [
        CohortPart(
            f"SRP{dataset:06}",
            f"small RNAs of study {dataset} {HOSTILE if dataset == 3 else ''}",
            named[int(place)],
            int(generator.integers(1, 40)),
        )
        for dataset in range(23)
        for place in generator.choice(classes, 3, replace=False)
    ]
    return ReportContents(
        release=release_summary(named, status),
        cohort=(*cohort, CohortPart("SRP000001", "small RNAs of study 1", "", 7)),
        metrics={"one-dataset-out": metrics(named, 0.8), "cv": metrics(named, 0.95)},
        held_out=held_out(named, samples, seed),
        curves=curves(),
        explanations=explanations(named, samples, seed),
        groups={name: f"group {number % 4}" for number, name in enumerate(named)},
        suspects=tuple(
            Suspect(
                rank,
                f"SRR{rank:07}",
                f"SRP{rank % 23:06}",
                named[rank % classes],
                named[(rank + 1) % classes],
                0.9 / rank,
                {"summary": "tissue 04 has probability 0.91; 3 of 4 model kinds contradict"},
            )
            for rank in range(1, 40)
        ),
        explained_samples=explained_samples(named),
    )


def bare_contents(status: str = "retired") -> ReportContents:
    """Return minimal contents, of a release made before explanations were recorded."""
    return ReportContents(
        release=release_summary(class_names(3), status),
        cohort=(),
        metrics={},
        held_out=None,
        curves=(),
    )
