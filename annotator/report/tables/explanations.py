"""Tables of why models say what they say: markers, similarity, enrichment."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from annotator.report.tables.cells import (
    Cell,
    Table,
    count,
    names,
    number,
    probability,
    share,
    table,
    text,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.domain.explanations import ClassMarker, ExplainedSample
    from annotator.report.contents import ReportContents

LEADING = 8
MARKERS_SHOWN = 20
MOST_PAIRS = 30
MOST_EXPLAINED = 20  # classes
MOST_ENRICHMENTS = 100
SIGNIFICANT = 0.05


def leading_markers(contents: ReportContents) -> Table | None:
    """Return a row for each class with its first markers."""
    rows = []
    for class_name, markers in _by_class(contents).items():
        known = [marker.stability for marker in markers if marker.stability is not None]
        rows.append(
            [
                text(class_name),
                names(marker.feature for marker in markers[:LEADING]),
                share(sum(known) / len(known) if known else None),
                share(_also_leading_in_trees(markers)),
                count(len(markers)),
            ]
        )
    return table(
        "leading-markers",
        f"The first {LEADING} markers of each class",
        [
            words("Class"),
            words("Leading markers, the first one first", long=True),
            "Found again by models made without some datasets",
            "Leading in the forest, too",
            "Markers in all",
        ],
        rows,
        (0, "ascending"),
    )


def markers(contents: ReportContents) -> Table | None:
    """Return the first markers of each class, one a row."""
    classes = contents.release.classes
    rows = [
        [
            text(marker.feature),
            text(class_name),
            count(marker.rank),
            number(marker.score, 3),
            number(_expression_in(marker, class_name, classes), 1),
            *_strongest_other(marker, class_name, classes),
            count(marker.tree_rank),
            share(marker.stability),
        ]
        for class_name, found in _by_class(contents).items()
        for marker in found[:MARKERS_SHOWN]
    ]
    return table(
        "markers",
        f"The first {MARKERS_SHOWN} markers of each class",
        [
            words("sRNA"),
            words("Class"),
            "Rank",
            "Score (logits)",
            "Mean in the class (RPM)",
            "Highest mean elsewhere (RPM)",
            words("which is"),
            "Rank in the forest",
            "Found again",
        ],
        rows,
    )


def shown_samples(contents: ReportContents) -> tuple[ExplainedSample, ...]:
    """Return the samples whose heatmaps are drawn: those of the classes with most samples."""
    sizes: Counter[str] = Counter()
    for part in contents.cohort:
        sizes[part.class_name] += part.samples
    names = {sample.class_name for sample in contents.explained_samples}
    largest = sorted(names, key=lambda name: (-sizes[name], name))[:MOST_EXPLAINED]
    return tuple(
        sample
        for name in largest
        for sample in contents.explained_samples
        if sample.class_name == name
    )


def verdict(sample: ExplainedSample) -> str:
    """Return in words what became of the prediction of a sample."""
    if sample.is_right is not None:
        word = "right" if sample.is_right else "wrong"
        return f"{word} (labelled {sample.label})" if sample.label else f"{word} (rejected)"
    return "not judged yet" if sample.is_answered else "left unanswered"


def explained_samples(contents: ReportContents) -> Table | None:
    """Return a row for each sample whose heatmap is drawn."""
    return table(
        "explained-samples",
        "The samples of the heatmaps, and the sRNAs that contribute most to the predicted class",
        [
            words("Sample"),
            words("Dataset"),
            words("Predicted"),
            "Confidence",
            words("Verdict"),
            words("Leading sRNAs, by absolute contribution", long=True),
        ],
        [
            [
                text(sample.sample_id),
                text(sample.dataset_id),
                text(sample.class_name),
                share(sample.confidence),
                text(verdict(sample)),
                names(
                    f"{feature} ({score:+.2f})"
                    for first in sample.contributions[:1]
                    for feature, score in zip(
                        first.features[:LEADING], first.scores[:LEADING], strict=True
                    )
                ),
            ]
            for sample in shown_samples(contents)
        ],
    )


def similar_pairs(contents: ReportContents) -> Table | None:
    """Return the ordered pairs of classes that need the fewest steps."""
    pairs = sorted(
        (
            pair
            for pair in contents.explanations.answer_similarities
            if pair.rival is not None and pair.mean_steps is not None
        ),
        key=lambda pair: (pair.mean_steps, pair.class_name, pair.rival),
    )
    more = f" (the first {MOST_PAIRS} of {len(pairs):,})" if len(pairs) > MOST_PAIRS else ""
    return table(
        "similar-classes",
        f"Which classes are nearest to one another{more}",
        [
            words("Samples of"),
            words("Are taken for"),
            "After so many sRNAs, on average",
            "Samples tried",
            "Share that changed",
        ],
        [
            [
                text(pair.class_name),
                text(pair.rival),
                number(pair.mean_steps, 1),
                count(pair.samples),
                share(pair.changed / pair.samples if pair.samples else None),
            ]
            for pair in pairs[:MOST_PAIRS]
        ],
        (2, "ascending"),
    )


def stabilities(contents: ReportContents) -> Table | None:
    """Return how many steps each class stands before it is taken for any other."""
    found = sorted(
        (pair for pair in contents.explanations.answer_similarities if pair.rival is None),
        key=lambda pair: (pair.mean_steps is None, pair.mean_steps or 0.0, pair.class_name),
    )
    return table(
        "stability",
        "How many sRNAs each class can lose before its samples are taken for another",
        [words("Class"), "sRNAs, on average", "Samples tried", "Share that changed"],
        [
            [
                text(each.class_name),
                number(each.mean_steps, 1),
                count(each.samples),
                share(each.changed / each.samples if each.samples else None),
            ]
            for each in found
        ],
        (1, "ascending"),
    )


def enrichments(contents: ReportContents) -> Table | None:
    """Return the sets that are over-represented among a class's markers."""
    found = sorted(
        (each for each in contents.explanations.enrichments if each.q_value <= SIGNIFICANT),
        key=lambda each: (each.q_value, each.p_value, each.source, each.set_name, each.class_name),
    )
    more = (
        f" (the first {MOST_ENRICHMENTS} of {len(found):,})"
        if len(found) > MOST_ENRICHMENTS
        else ""
    )
    return table(
        "enrichments",
        f"Sets of sRNAs with more markers of a class than chance gives, q at most"
        f" {SIGNIFICANT}{more}",
        [
            words("Set"),
            words("Source"),
            words("Class"),
            "In both",
            "Set",
            "Markers",
            "Background",
            "p",
            "q",
            words("sRNAs in both", long=True),
        ],
        [
            [
                text(each.set_name),
                text(each.source),
                text(each.class_name),
                count(each.overlap),
                count(each.set_size),
                count(each.markers),
                count(each.background),
                probability(each.p_value),
                probability(each.q_value),
                names(_first_names(each.features)),
            ]
            for each in found[:MOST_ENRICHMENTS]
        ],
        (8, "ascending"),
    )


def _first_names(features: Sequence[str]) -> list[str]:
    shown = list(features[:LEADING])
    further = len(features) - len(shown)
    return [*shown, f"and {further} more"] if further else shown


def _by_class(contents: ReportContents) -> Mapping[str, list[ClassMarker]]:
    """Return the markers of each class by rank, classes by name."""
    found: defaultdict[str, list[ClassMarker]] = defaultdict(list)
    for marker in contents.explanations.markers:
        found[marker.class_name].append(marker)
    return {
        name: sorted(found[name], key=lambda marker: marker.rank)
        for name in sorted(found, key=str.casefold)
    }


def _also_leading_in_trees(of_class: Sequence[ClassMarker]) -> float | None:
    """Return the share of the leading markers that the forest ranks among as many as are listed."""
    leading = of_class[:LEADING]
    if all(marker.tree_rank is None for marker in of_class):
        return None
    inside = [
        marker.tree_rank is not None and marker.tree_rank <= len(of_class) for marker in leading
    ]
    return sum(inside) / len(inside)


def _expression_in(marker: ClassMarker, class_name: str, classes: Sequence[str]) -> float | None:
    if class_name not in classes or len(marker.expression) != len(classes):
        return None
    return marker.expression[classes.index(class_name)]


def _strongest_other(
    marker: ClassMarker, class_name: str, classes: Sequence[str]
) -> tuple[Cell, Cell]:
    """Return the highest mean expression in another class, and which class that is."""
    others = [
        (expression, name)
        for name, expression in zip(classes, marker.expression, strict=False)
        if name != class_name
    ]
    if not others or len(marker.expression) != len(classes):
        return number(None), text(None)
    expression, name = max(others)
    return number(expression, 1), text(name)
