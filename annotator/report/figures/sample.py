"""Why a sample was predicted to be what it was: scores for every class (paper, Fig. 8 to 10)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.domain.wording import counted
from annotator.report.figures.drawing import draw
from annotator.report.figures.matrix import Matrix, draw_matrix
from annotator.report.tables.explanations import shown_samples, verdict
from annotator.report.words import listed, significant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

MOST_FEATURES: Final = 60


def heatmap_of_sample(
    scores: ArrayLike,
    class_names: Sequence[str],
    feature_names: Sequence[str],
    expression_rpm: ArrayLike,
    title: str,
    *,
    name: str = "sample-scores",
    headed: bool = True,
) -> Figure:
    """Draw the contribution of each feature of a sample to each class.

    Parameters
    ----------
    scores
        Contributions in the models' unit, shape ``(classes, features)``; NaN where a class's
        score of a feature is not known.
    class_names, feature_names
        Of the rows and columns; they are drawn in this order, features downwards.
    expression_rpm
        The sample's expression of the features in reads per million, ``(features,)``.
    title
        Such as the sample and what it was predicted to be.
    name, headed
        Name of the figure, and whether the title is written above it.

    Returns
    -------
    Figure
        Of more than 60 features those with the largest scores.

    Raises
    ------
    ValueError
        The shapes do not fit one another, or nothing is to be drawn.
    """
    values = np.asarray(scores, dtype=np.float64)
    expression = np.asarray(expression_rpm, dtype=np.float64)
    if values.shape != (len(class_names), len(feature_names)) or values.size == 0:
        raise ValueError(
            f"scores have the shape {values.shape}, for {len(class_names)} classes and"
            f" {len(feature_names)} features"
        )
    if expression.shape != (len(feature_names),):
        raise ValueError(f"expression has the shape {expression.shape}")
    largest = np.argsort(-np.nanmax(np.abs(values), axis=0), kind="stable")[:MOST_FEATURES]
    rows = np.sort(largest)
    shown = values[:, rows].T
    most = float(np.nanmax(np.abs(shown))) or 1.0
    features = [feature_names[row] for row in rows]
    matrix = Matrix(
        rows=features,
        columns=class_names,
        shares=0.5 + shown / (2 * most),
        texts=[["" if np.isnan(x) else _score(x, most) for x in row] for row in shown],
        ramp="diverging",
        row_title="sRNA",
        column_title="score for",
        bar=[(0, _score(-most, most)), (0.5, "0"), (1, _score(most, most))],
        bar_title="counts against or supports the class",
        notes=[significant(float(value)) for value in expression[rows]],
        notes_title="RPM",
        square=False,
    )
    return draw(
        name,
        title,
        _text(values, class_names, feature_names, len(features)),
        partial(draw_matrix, matrix),
        heading=title if headed else "",
    )


def samples(contents: ReportContents) -> Iterable[Figure]:
    """Yield a heatmap for each sample that the report shows (paper, Fig. 8 to 10)."""
    for number, sample in enumerate(shown_samples(contents), start=1):
        features = list(
            dict.fromkeys(name for each in sample.contributions for name in each.features)
        )
        place = {name: column for column, name in enumerate(features)}
        scores = np.full((len(sample.contributions), len(features)), np.nan)
        expression = np.zeros(len(features))
        for row, each in enumerate(sample.contributions):
            columns = [place[name] for name in each.features]
            scores[row, columns] = each.scores
            expression[columns] = each.expression
        if features:
            yield heatmap_of_sample(
                scores,
                [each.class_name for each in sample.contributions],
                features,
                expression,
                f"{sample.sample_id}: predicted {sample.class_name}, {verdict(sample)}",
                name=f"sample-{number}",
                headed=False,
            )


def _score(value: float, most: float) -> str:
    """Return a score with as many digits as the largest needs, with a true minus sign."""
    digits = max(0, 1 - int(np.floor(np.log10(most))))
    text = f"{value:.{min(digits, 4)}f}"
    return text.replace("-", "−") if float(text) else "0"


def _text(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    class_names: Sequence[str],
    feature_names: Sequence[str],
    shown: int,
) -> str:
    text = f"Contributions of {counted(shown, 'sRNA')} to {counted(len(class_names), 'class')}."
    if shown < len(feature_names):
        text = f"{text[:-1]}, those with the largest of {len(feature_names):,}."
    leading = []
    for name, row in zip(class_names[:8], values[:8], strict=True):
        best = int(np.nanargmax(row))
        if row[best] > 0:
            leading.append(f"{feature_names[best]} for {name} ({row[best]:+.3g})")
    return f"{text} Largest: {listed(leading)}." if leading else text
