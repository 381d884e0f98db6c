"""Tables of why models say what they say: markers, similarity, enrichment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.report.tables.cells import (
    Cell,
    Table,
    count,
    first_of,
    names,
    number,
    probability,
    share,
    table_of,
    text,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from annotator.domain.explanations import ClassMarker, ClassSimilarity, ExplainedSample
    from annotator.report.contents import ReportContents

LEADING = 8
MARKERS_SHOWN = 20
MOST_PAIRS = 30
MOST_EXPLAINED = 20  # classes
MOST_ENRICHMENTS = 100
SIGNIFICANT = 0.05
CHANGED: tuple[tuple[str, Callable[[ClassSimilarity], Cell]], ...] = (
    ("Samples tried", lambda each: count(each.samples)),
    (
        "Share that changed",
        lambda each: share(each.changed / each.samples if each.samples else None),
    ),
)


def leading_markers(contents: ReportContents) -> Table | None:
    """Return a row for each class with its first markers."""
    return table_of(
        "leading-markers",
        f"The first {LEADING} markers of each class",
        _by_class(contents),
        [
            (words("Class"), lambda found: text(found[0].class_name)),
            (
                words("Leading markers, the first one first", long=True),
                lambda found: names(marker.feature for marker in found[:LEADING]),
            ),
            (
                "Found again by models made without some datasets",
                lambda found: share(_mean(marker.stability for marker in found)),
            ),
            ("Leading in the forest, too", lambda found: share(_also_leading_in_trees(found))),
            ("Markers in all", lambda found: count(len(found))),
        ],
        (0, "ascending"),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def markers(contents: ReportContents) -> Table | None:
    """Return the first markers of each class, one a row."""
    classes = contents.release.classes
    return table_of(
        "markers",
        f"The first {MARKERS_SHOWN} markers of each class",
        [each for found in _by_class(contents) for each in found[:MARKERS_SHOWN]],
        [
            (words("sRNA"), lambda each: text(each.feature)),
            (words("Class"), lambda each: text(each.class_name)),
            ("Rank", lambda each: count(each.rank)),
            ("Score (logits)", lambda each: number(each.score, 3)),
            ("Mean in the class (RPM)", lambda each: number(_own_expression(each, classes), 1)),
            ("Highest mean elsewhere (RPM)", lambda each: number(_strongest(each, classes)[0], 1)),
            (words("which is"), lambda each: text(_strongest(each, classes)[1])),
            ("Rank in the forest", lambda each: count(each.tree_rank)),
            ("Found again", lambda each: share(each.stability)),
        ],
    )


def shown_samples(contents: ReportContents) -> tuple[ExplainedSample, ...]:
    """Return the samples whose heatmaps are drawn: those of the classes with most samples."""
    sizes = contents.class_sizes()
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
    return table_of(
        "explained-samples",
        "The samples of the heatmaps, and the sRNAs that contribute most to the predicted class",
        shown_samples(contents),
        [
            (words("Sample"), lambda sample: text(sample.sample_id)),
            (words("Dataset"), lambda sample: text(sample.dataset_id)),
            (words("Predicted"), lambda sample: text(sample.class_name)),
            ("Confidence", lambda sample: share(sample.confidence)),
            (words("Verdict"), lambda sample: text(verdict(sample))),
            (words("Leading sRNAs, by absolute contribution", long=True), _leading_features),
        ],
    )


def _leading_features(sample: ExplainedSample) -> Cell:
    return names(
        f"{feature} ({score:+.2f})"
        for first in sample.contributions[:1]
        for feature, score in zip(first.features[:LEADING], first.scores[:LEADING], strict=True)
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
    return table_of(
        "similar-classes",
        f"Which classes are nearest to one another{first_of(pairs, MOST_PAIRS)}",
        pairs[:MOST_PAIRS],
        [
            (words("Samples of"), lambda pair: text(pair.class_name)),
            (words("Are taken for"), lambda pair: text(pair.rival)),
            ("After so many sRNAs, on average", lambda pair: number(pair.mean_steps, 1)),
            *CHANGED,
        ],
        (2, "ascending"),
    )


def stabilities(contents: ReportContents) -> Table | None:
    """Return how many steps each class stands before it is taken for any other."""
    found = sorted(
        (pair for pair in contents.explanations.answer_similarities if pair.rival is None),
        key=lambda pair: (pair.mean_steps is None, pair.mean_steps or 0.0, pair.class_name),
    )
    return table_of(
        "stability",
        "How many sRNAs each class can lose before its samples are taken for another",
        found,
        [
            (words("Class"), lambda each: text(each.class_name)),
            ("sRNAs, on average", lambda each: number(each.mean_steps, 1)),
            *CHANGED,
        ],
        (1, "ascending"),
    )


def enrichments(contents: ReportContents) -> Table | None:
    """Return the sets that are over-represented among a class's markers."""
    found = sorted(
        (each for each in contents.explanations.enrichments if each.q_value <= SIGNIFICANT),
        key=lambda each: (each.q_value, each.p_value, each.source, each.set_name, each.class_name),
    )
    return table_of(
        "enrichments",
        f"Sets of sRNAs with more markers of a class than chance gives, q at most"
        f" {SIGNIFICANT}{first_of(found, MOST_ENRICHMENTS)}",
        found[:MOST_ENRICHMENTS],
        [
            (words("Set"), lambda each: text(each.set_name)),
            (words("Source"), lambda each: text(each.source)),
            (words("Class"), lambda each: text(each.class_name)),
            ("In both", lambda each: count(each.overlap)),
            ("Set", lambda each: count(each.set_size)),
            ("Markers", lambda each: count(each.markers)),
            ("Background", lambda each: count(each.background)),
            ("p", lambda each: probability(each.p_value)),
            ("q", lambda each: probability(each.q_value)),
            (words("sRNAs in both", long=True), lambda each: names(_first_names(each.features))),
        ],
        (8, "ascending"),
    )


def _first_names(features: Sequence[str]) -> list[str]:
    shown = list(features[:LEADING])
    further = len(features) - len(shown)
    return [*shown, f"and {further} more"] if further else shown


def _by_class(contents: ReportContents) -> list[list[ClassMarker]]:
    """Return the markers of each class by rank, classes by name."""
    found = contents.markers_by_class()
    return [found[name] for name in sorted(found, key=str.casefold)]


def _also_leading_in_trees(of_class: Sequence[ClassMarker]) -> float | None:
    """Return the share of the leading markers that the forest ranks among as many as are listed."""
    leading = of_class[:LEADING]
    if all(marker.tree_rank is None for marker in of_class):
        return None
    inside = [
        marker.tree_rank is not None and marker.tree_rank <= len(of_class) for marker in leading
    ]
    return sum(inside) / len(inside)


def _own_expression(marker: ClassMarker, classes: Sequence[str]) -> float | None:
    """Return the mean expression in the class that it marks."""
    if marker.class_name not in classes or len(marker.expression) != len(classes):
        return None
    return marker.expression[classes.index(marker.class_name)]


def _strongest(
    marker: ClassMarker, classes: Sequence[str]
) -> tuple[float, str] | tuple[None, None]:
    """Return the highest mean expression in another class, and which class that is."""
    if len(marker.expression) != len(classes):
        return None, None
    others = zip(marker.expression, classes, strict=True)
    return max((each for each in others if each[1] != marker.class_name), default=(None, None))
