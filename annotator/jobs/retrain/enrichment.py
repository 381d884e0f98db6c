"""Sets of features that are looked for among the markers of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.names import table4
from annotator.errors import SettingsError
from annotator.explain.enrichment import enrichments, expressed_features
from annotator.explain.feature_sets import read_gmt, sets_of
from annotator.learn.features.matching import match_features

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassEnrichment, ClassMarker
    from annotator.explain.feature_sets import FeatureSet

TABLE4 = "table4"


def reference_sets(files: Sequence[Path]) -> Mapping[str, tuple[FeatureSet, ...]]:
    """Return the paper's Table 4 and the sets of GMT files, by source.

    Parameters
    ----------
    files
        GMT files; the name of a file, without its folder, is its source.

    Raises
    ------
    InputError
        A file cannot be read or is no GMT file.
    SettingsError
        Two files have the same name.
    """
    sources = {TABLE4: sets_of(table4(), "enriched miRNAs for tissue prediction (paper, Table 4)")}
    for path in files:
        if path.name in sources:
            raise SettingsError(
                f"feature_sets names two sources {path.name!r}: rename {path} or leave it out"
            )
        sources[path.name] = read_gmt(path)
    return sources


def named_features(names: Sequence[str], background: Sequence[str]) -> Collection[str]:
    """Return the features of the background that the names of a set stand for.

    Names may be of another namespace, as for samples
    (:func:`annotator.learn.features.matching.match_features`). A name stands for one
    feature at most: a mature miRNA for one of the identical copies of its stem-loop,
    since copies that are counted alike would be taken for independent findings.
    """
    pairs = match_features(background, names)
    return {background[pair.model_column] for pair in pairs}


def release_enrichments(
    sources: Mapping[str, Sequence[FeatureSet]],
    markers: Iterable[ClassMarker],
    classes: Sequence[str],
    features: Sequence[str],
    expression: NDArray[np.floating],
) -> tuple[ClassEnrichment, ...]:
    """Look for sets among the markers of a release.

    Parameters
    ----------
    sources
        What :func:`reference_sets` returned.
    markers
        Of all classes; those count that a class expresses more than the median class
        (:func:`annotator.explain.enrichment.expressed_features`).
    classes
        The release's classes; one that expresses nothing above the median is left out.
    features
        Of the release's models.
    expression
        Mean expression in each class, shape ``(classes, features)``.

    Returns
    -------
    tuple of ClassEnrichment
        By source, class and set; q-values hold for one source.
    """
    backgrounds = {
        name: expressed
        for name, expressed in expressed_features(expression, classes, features).items()
        if expressed
    }
    by_class = _within(markers, backgrounds)
    return tuple(
        found
        for source, sets in sources.items()
        for found in enrichments(source, sets, by_class, backgrounds, named_features)
    )


def _within(
    markers: Iterable[ClassMarker], backgrounds: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the markers of each class that are in its background, best first."""
    known = {name: set(background) for name, background in backgrounds.items()}
    kept: dict[str, list[str]] = {name: [] for name in backgrounds}
    for marker in sorted(markers, key=lambda marker: marker.rank):
        if marker.feature in known.get(marker.class_name, ()):
            kept[marker.class_name].append(marker.feature)
    return kept
