"""The explanation of a sample as text, and as a heatmap like the paper's."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from annotator.domain.held_out import COMBINED
from annotator.domain.organisms import DEFAULT_ORGANISM, of_organism
from annotator.domain.wording import visible
from annotator.explain.top import ANSWERING, leading_columns
from annotator.learn.models.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annotator.jobs.explain import KindExplanation, SampleExplanation
    from annotator.report.figures import Figure

DRAWN = 15
"""Minimum number of features for the class that are drawn, and as many against it."""
WORDS = {COMBINED: "all models combined", "network": "the network"}
STRONGEST = 9  # the digit of the largest score in a heatmap


def explanation_text(found: SampleExplanation) -> str:
    """Return an explanation as text for a terminal.

    Classes are numbered in the order of their probability, and the columns of the
    tables refer to these numbers.
    """
    parts = [_head(found), _classes(found), *_answer_parts(found)]
    parts += [_leading(found, name, kind) for name, kind in found.kinds.items()]
    if found.kinds:
        parts.append(_heat_map(found))
    else:
        parts.append("no model of this release can be explained by features")
    if found.stored is not None:
        parts.append(f"{found.stored} contributions were stored with the current prediction")
    return "\n\n".join(parts)


def _head(found: SampleExplanation) -> str:
    release, decision = found.release, found.decision
    if decision.value is not None:
        answer = f"answered {decision.value} ({decision.confidence:.3f})"
    else:
        answer = f"not answered: {decision.reason}"
    field = of_organism(release.field, release.organism, [DEFAULT_ORGANISM])
    lines = [
        f"{found.sample_id}, {field} by release {release.release_id} ({release.preset}): {answer}"
    ]
    if found.learned_as is not None:
        lines.append(f"The release learned this sample as {found.learned_as}.")
    return "\n".join(map(visible, lines))


def _classes(found: SampleExplanation) -> str:
    rows = [
        [str(place), name, f"{probability:.3f}"]
        for place, (name, probability) in enumerate(
            zip(found.classes, found.probabilities.tolist(), strict=True), start=1
        )
    ]
    return (
        f"{_columns(['', 'class', 'probability'], rows, left=(1,))}\n\n"
        "Columns 1, 2, ... are these classes: the percentage of their training samples in which\n"
        "the sRNA is less abundant than in this sample (50: the median)."
    )


def _answer_parts(found: SampleExplanation) -> list[str]:
    """Return the weights of the kinds, and the contribution of other samples in the dataset."""
    parts = []
    if found.weights:
        shares = ", ".join(f"{kind} {share:.0%}" for kind, share in found.weights.items())
        parts.append(f"Weights in the combination: {shares}.")
    if found.other_samples is not None:
        parts.append(
            "The other samples in the dataset contribute"
            f" {found.other_samples[0]:+#.3g} logits to {visible(found.classes[0])}."
        )
    return parts


def _leading(found: SampleExplanation, name: str, kind: KindExplanation) -> str:
    """Return the leading features of a kind, with the percentiles of their expression."""
    headers = ["", "feature", "score", "RPM", *_numbers(found)]
    rows = [
        [
            "for" if kind.scores[0, column] > 0 else "against",
            found.features[column],
            f"{kind.scores[0, column]:+#.3g}",
            f"{found.expression[column]:.1f}",
            *(_percentile(value) for value in found.percentiles[column].tolist()),
        ]
        for column in kind.leading
    ]
    title = f"{name} ({kind.method}, {_unit(name)}): features for and against {found.classes[0]}"
    return f"{visible(title)}\n{_columns(headers, rows, left=(0, 1))}"


def _unit(kind: str) -> str:
    """Return the unit of the contributions of a model kind, or of those to the answer."""
    return "logit" if kind == COMBINED else KINDS[kind].unit


def _percentile(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0f}"


def _heat_map(found: SampleExplanation) -> str:
    name, kind = _drawn_kind(found)
    largest = max(abs(kind.scores[:, list(kind.leading)]).max(initial=0.0), 1e-300)
    rows = [
        [
            found.features[column],
            *(_digit(score / largest) for score in kind.scores[:, column].tolist()),
        ]
        for column in kind.leading
    ]
    title = (
        f"{name}: scores for each class, from -{STRONGEST} to +{STRONGEST},"
        f" {STRONGEST} being {largest:.3g}"
    )
    return f"{title}\n{_columns(['feature', *_numbers(found)], rows, left=(0,))}"


def _digit(share: float) -> str:
    digit = round(STRONGEST * share)
    return f"{digit:+d}" if digit else "."


def _numbers(found: SampleExplanation) -> list[str]:
    return [str(place) for place in range(1, len(found.classes) + 1)]


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    from tabulate import tabulate

    sides = ["left" if place in left else "right" for place in range(len(headers))]
    return tabulate(
        [map(visible, row) for row in rows],
        headers=headers,
        tablefmt="simple",
        disable_numparse=True,
        colalign=sides,
    )


def _drawn_kind(found: SampleExplanation) -> tuple[str, KindExplanation]:
    """Return the kind whose scores are drawn: the answer, else the network, else the first."""
    name = next((each for each in ANSWERING if each in found.kinds), next(iter(found.kinds)))
    return name, found.kinds[name]


def explanation_plot(found: SampleExplanation) -> Figure | None:
    """Draw the scores of the leading features for every class (paper, figure 8).

    Returns
    -------
    Figure or None
        ``None`` if no model kind has scores.
    """
    from annotator.report.figures.sample import heatmap_of_sample

    if not found.kinds:
        return None
    name, kind = _drawn_kind(found)
    count = max(DRAWN, len(kind.supporting))
    supporting, opposing = leading_columns(kind.scores[0], found.features, count)
    columns = [*supporting, *opposing]
    if not columns:
        return None
    return heatmap_of_sample(
        kind.scores[:, columns],
        found.classes,
        [found.features[column] for column in columns],
        found.expression[columns],
        f"{found.sample_id}: {found.classes[0]} by {WORDS.get(name, name)}",
    )


def plot_file_name(found: SampleExplanation) -> str:
    """Return the file name of a sample's plot, without characters that file systems refuse."""
    return re.sub(r"[^\w.+-]", "_", f"{found.sample_id}-{found.release.field}.svg").lstrip(".-")
