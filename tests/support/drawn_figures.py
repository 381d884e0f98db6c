"""Made-up contents for figures, and what is written in their SVG, where it lies."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from annotator.domain.answers import ClassContributions
from annotator.domain.explanations import (
    ClassEnrichment,
    ClassMarker,
    ClassSimilarity,
    ExplainedSample,
    ReleaseExplanations,
    SampleMap,
)
from annotator.domain.held_out import HeldOutPredictions
from annotator.domain.reports import CohortPart, ReleaseSummary
from annotator.learn.validation.metrics import metrics_of
from annotator.learn.validation.selective_metrics import curves
from annotator.report.contents import ReportContents
from annotator.report.figures.theme import (
    luminance,
)

NAMES = (
    "map-by-group",
    "map-by-dataset",
    "accuracy-by-kind",
    "accuracy-by-class",
    "accuracy-of-classes-of-9",
    "confusion-combined",
    "confusion-network",
    "confusion-forest",
    "reliability",
    "risk-coverage",
    "markers",
    "marker-expression",
    "sample-1",
    "sample-2",
    "similarity",
    "stability",
    "enrichment",
)
KINDS = ("combined", "forest", "network")
SVG = "{http://www.w3.org/2000/svg}"
LONG = "immortal human B-lymphoblastoid cell line, EBV-transformed"
AGES = ("[0;45]", "(45;70]", "(70;110]")
BY_SIZE = ("blood", "brain", "skin", "hematopoietic stem cell")
HOSTILE = '<b onload="x">&amp; $\\alpha^2$ ]]> \x07\ttab\n\x1b[2J\u202e\u2028 肝臓 😀'


def contents(
    classes=("blood", "brain", "hematopoietic stem cell", "skin"),
    *,
    field="tissue",
    samples=120,
    datasets=8,
    markers=12,
    sets=("brain", "skin"),
    groups=None,
    level="term",
):
    """Return made-up contents of a report with every part filled."""
    rng = np.random.default_rng(7)
    classes = tuple(classes)
    number = len(classes)
    truth_index = np.arange(samples) % number
    truth = np.array(classes, dtype=object)[truth_index]
    sample_ids = np.array([f"GSM{1000 + row}" for row in range(samples)], dtype=object)
    dataset_ids = np.array(
        [f"GSE{200 + row // number % datasets}" for row in range(samples)], dtype=object
    )
    probabilities = {}
    for kind, strength in (("combined", 2.0), ("forest", 1.2), ("network", 1.8)):
        logits = rng.normal(size=(samples, number)) + strength * np.eye(number)[truth_index]
        probabilities[kind] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    held_out = HeldOutPredictions(
        sample_ids,
        dataset_ids,
        truth,
        (np.arange(samples) % 4).astype(np.int64),
        classes,
        probabilities,
    )
    metrics = metrics_of(held_out)
    found = tuple(
        ClassMarker(
            name,
            rank,
            f"hsa-miR-{100 + place}{'abc'[rank % 3]}-{3 + rank % 2 * 2}p-{rank}",
            1.0 / rank,
            rank,
            rank if rank % 3 else None,
            0.9 if rank % 4 else None,
            tuple(float(x) for x in rng.gamma(1, 50, size=number)),
        )
        for place, name in enumerate(classes)
        for rank in range(1, markers + 1)
    )
    similarities = tuple(
        ClassSimilarity(name, rival, 10, changed, 5.0 + 3 * changed if changed else None)
        for place, name in enumerate(classes)
        for other, rival in enumerate((*classes, None))
        if rival != name
        for changed in ((place + other) % 4 if rival else 9,)
    )
    enrichments = tuple(
        ClassEnrichment(
            "table4", name, each, 2500, 10, markers, hit, 10.0**-hit, 10.0 ** -(hit - 1), ()
        )
        for name in sets
        for each in classes
        for hit in (8 if name == each else 1,)
    )
    sizes = {}
    for name, dataset in zip(truth, dataset_ids, strict=True):
        sizes[dataset, name] = sizes.get((dataset, name), 0) + 1
    release = ReleaseSummary(
        7, field, "live", "default", classes, 2500, (), datetime(2026, 1, 2, tzinfo=UTC), None,
        None, 1, "8 folds", "host", {},
        {"trust": {"target_precision": 0.9}, "labels": {"tissue_level": level}}, None, None, None,
    )  # fmt: skip
    positions = np.column_stack([truth_index * 30.0, rng.normal(size=samples)]).astype(np.float32)
    return ReportContents(
        release,
        tuple(CohortPart(dataset, "", name, n) for (dataset, name), n in sizes.items()),
        {"one-dataset-out": metrics, "cv": metrics},
        held_out,
        curves(held_out),
        ReleaseExplanations(
            found, similarities, enrichments, SampleMap(sample_ids, dataset_ids, truth, positions)
        ),
        groups or {},
        explained_samples=tuple(
            ExplainedSample(
                f"GSM{number}",
                "GSE9",
                classes[0],
                0.9 - number / 10,
                True,
                classes[-number],
                not number,
                tuple(
                    ClassContributions(
                        "combined", "weighted_sum", name, place + 1, features, scores, (7.0, 8.0)
                    )
                    for place, (name, features, scores) in enumerate(
                        (
                            (classes[0], ("hsa-let-7a-5p", "hsa-miR-9-5p"), (1.5, -0.5)),
                            (classes[-1], ("hsa-miR-9-5p", "hsa-miR-21-5p"), (0.7, 0.2)),
                        )
                    )
                ),
            )
            for number in range(2)
        ),
    )


def named(drawn):
    """Return figures by name."""
    return {figure.name: figure for figure in drawn}


def texts(svg):
    """Return what is written, without title and description."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def text_width(text, size, weight):
    """Return the width in pixels in a font that is wider than those of pages."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def inherited(element, looks=()):
    """Yield each text with its attributes and those of the groups that it is in."""
    own = dict(looks) | element.attrib
    if element.tag == f"{SVG}text":
        yield element, own
    for child in element:
        yield from inherited(child, own)


def boxes(svg):
    """Return each text and its left, top, right and bottom, by the widths of a wide font."""
    found = []
    for element, look in inherited(ElementTree.fromstring(svg)):
        size = float(look["font-size"].removesuffix("px"))
        length = text_width(element.text or "", size, int(look.get("font-weight", 400)))
        moved = element.get("transform", "")
        if moved.startswith("translate("):
            x, y = map(float, moved.removeprefix("translate(").partition(")")[0].split())
        else:
            x, y = float(element.get("x")), float(element.get("y"))
        start = {"middle": length / 2, "end": length}.get(look.get("text-anchor"), 0.0)
        if moved.startswith("rotate(-90"):
            box = (x - 0.75 * size, y - length + start, x, y + start)
        else:
            box = (x - start, y - 0.75 * size, x - start + length, y)
        found.append((element.text, box))
    return found


def outside(svg):
    """Return the texts that a page would cut off."""
    root = ElementTree.fromstring(svg)
    x, y, width, height = (float(value) for value in root.get("viewBox").split())
    return [
        (text, (left, top, right, bottom))
        for text, (left, top, right, bottom) in boxes(svg)
        if left < x - 1 or top < y - 1 or right > x + width + 1 or bottom > y + height + 1
    ]


def overlapping(svg):
    """Return the pairs of texts that lie upon each other."""
    found = boxes(svg)
    left, top, right, bottom = np.array([box for _, box in found]).T
    upon = (left + 1 < right[:, None]) & (left[:, None] + 1 < right)
    upon &= (top + 1 < bottom[:, None]) & (top[:, None] + 1 < bottom)
    return [(found[i], found[j]) for i, j in np.argwhere(np.triu(upon, 1))]


def contrast(first, second):
    """Return the contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
