"""Find sets of features that are enriched among the markers of a release."""

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
        GMT files; the source of a set is the name of its file, without the folder.

    Raises
    ------
    InputError
        A file cannot be read or is not a GMT file.
    SettingsError
        Two files have the same name.
    """
    sources = {TABLE4: sets_of(table4(), "enriched miRNAs for tissue prediction (paper, Table 4)")}
    for path in files:
        if path.name in sources:
            raise SettingsError(
                f"feature_sets has two files named {path.name!r}: rename or remove {path}"
            )
        sources[path.name] = read_gmt(path)
    return sources


def named_features(names: Sequence[str], background: Sequence[str]) -> Collection[str]:
    """Return the features of the background that the names of a set refer to.

    Names may come from another namespace, as for samples
    (:func:`annotator.learn.features.matching.match_features`). A name refers to at most
    one feature: a mature miRNA to one of the identical copies of its stem-loop, because
    copies with the same counts would be taken for independent findings.
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
    """Test sets of features for enrichment among the markers of a release.

    Parameters
    ----------
    sources
        Sets by source, from :func:`reference_sets`.
    markers
        Markers of all classes; only those count that their class expresses more than the
        median class (:func:`annotator.explain.enrichment.expressed_features`).
    classes
        The release's classes; a class that expresses nothing above the median is left out.
    features
        Features of the release's models.
    expression
        Mean expression in each class, shape ``(classes, features)``.

    Returns
    -------
    tuple of ClassEnrichment
        Ordered by source, class and set; q-values are adjusted within a source.
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
    """Return the markers of each class that are in the class's background, best first."""
    known = {name: set(background) for name, background in backgrounds.items()}
    kept: dict[str, list[str]] = {name: [] for name in backgrounds}
    for marker in sorted(markers, key=lambda marker: marker.rank):
        if marker.feature in known.get(marker.class_name, ()):
            kept[marker.class_name].append(marker.feature)
    return kept
