"""The contribution of each kind of feature to accuracy (paper, Fig. 5 to 7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from annotator.domain.held_out import CROSS_VALIDATION
from annotator.report.figures.drawing import canvas_of, draw, strokes
from annotator.report.figures.rows import (
    WIDTH,
    height_of_rows,
    key,
    label_room,
    legend_above,
    low_end,
    mark,
    place_rows,
    scale,
    write_column,
    write_title,
)
from annotator.report.figures.theme import LIGHT, PAPER_KINDS
from annotator.report.paper_figures import PAPER_ABLATION
from annotator.report.tables.cells import kind_words
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure as Canvas

    from annotator.domain.held_out import Metric
    from annotator.report.figures.drawing import Figure

VALUE: Final = 56.0  # width of a column of per cent
MAJORITY: Final = "majority"

Values = dict[tuple[str, str], float]


def ablation_figure(field: str, scheme: str, metrics: Mapping[str, Sequence[Metric]]) -> Figure:
    """Draw the accuracy of models on each set of features, beside the paper's.

    Parameters
    ----------
    field, scheme
        The field, and the validation scheme.
    metrics
        Name of the feature set to the metrics of its models. Further entries may hold the
        metrics of baselines that see labels alone.

    Returns
    -------
    Figure
        Named ``ablation``.
    """
    values = {
        (features, each.model_kind): each.value
        for features, found in metrics.items()
        for each in found
        if each.name == "accuracy" and each.class_name is None
    }
    ours = {place: value for place, value in values.items() if place[1] in PAPER_KINDS}
    sets = list(dict.fromkeys(features for features, _ in ours))
    classes = {each.class_name for found in metrics.values() for each in found if each.class_name}
    paper = {
        (features, kind): value
        for (name, number, features, kind), value in PAPER_ABLATION.items()
        if (name, number) == (field, len(classes)) and features in sets
    }
    baseline = next((value for (_, kind), value in values.items() if kind == MAJORITY), None)
    how = "random cross-validation" if scheme == CROSS_VALIDATION else "held-out datasets"
    return draw(
        "ablation",
        f"Accuracy for {field} by kind of feature, {how}",
        _description(ours, paper, sets, how),
        partial(_draw, ours, paper, sets, baseline),
        heading=f"Accuracy for {field}, {how}",
    )


def _draw(ours: Values, paper: Values, sets: Sequence[str], baseline: float | None) -> Canvas:
    """Draw a panel for each set of features, a row for each kind of model in it."""
    here = key("here", LIGHT.categories[0], "o")
    there = key("paper, random cross-validation", LIGHT.text, "D", hollow=True)
    keys = [here, *([there] if paper else [])]
    if baseline is not None:
        keys.append(key(kind_words(MAJORITY), LIGHT.muted, "", line="--"))
    low = low_end([*ours.values(), *paper.values(), *([baseline] if baseline else [])])
    names = [kind_words(kind) for kind in PAPER_KINDS]
    height = height_of_rows(names)
    canvas = canvas_of(WIDTH, (height + 60) * len(sets))
    for number, features in enumerate(sets):
        axes, middles = place_rows(canvas, number * (height + 60), names)
        write_title(axes, features)
        scale(axes, low, 1.0)
        if baseline is not None:
            strokes(axes, [(baseline, 0, baseline, height)], LIGHT.muted, linestyle="--")
        heads = ("here", "paper" if paper else "") if number == 0 else ("", "")
        for values, style, size, head, column in (
            (ours, here, 7, heads[0], 1),
            (paper, there, 9, heads[1], 2),
        ):
            found = [
                (values.get((features, kind)), y)
                for kind, y in zip(PAPER_KINDS, middles, strict=True)
            ]
            mark(axes, found, style, size)
            texts = [(y, None if value is None else percent(value)) for value, y in found]
            colour = LIGHT.text if values is ours else LIGHT.muted
            write_column(axes, texts, column * VALUE, head, colour)
        if number == 0:
            legend_above(axes, keys, left=label_room(names), lift=28)
    return canvas


def _description(ours: Values, paper: Values, sets: Sequence[str], how: str) -> str:
    sentences = [
        f"{features}: "
        + listed(
            [
                f"{kind_words(kind)} {percent(ours[features, kind])}"
                for kind in PAPER_KINDS
                if (features, kind) in ours
            ]
        )
        for features in sets
    ]
    text = f"Share of samples whose class is predicted correctly in {how}. {'; '.join(sentences)}."
    if paper:
        facts = [
            f"{features}, {kind_words(kind)} {percent(value)}"
            for (features, kind), value in paper.items()
        ]
        text += (
            " The paper's accuracies, of its own samples in random cross-validation:"
            f" {listed(facts)}."
        )
    return text
