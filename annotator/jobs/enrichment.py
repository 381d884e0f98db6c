"""Sets of features that are looked for among the markers of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.names import table4
from annotator.errors import SettingsError
from annotator.explain.enrichment import enrichments, expressed_markers
from annotator.explain.feature_sets import read_gmt, sets_of
from annotator.learn.feature_names import match_features

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from annotator.domain import ClassEnrichment, ClassMarker
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
    (:func:`annotator.learn.feature_names.match_features`). A name stands for one
    feature at most: a mature miRNA for one of the identical copies of its stem-loop,
    since copies that are counted alike would be taken for independent findings.
    """
    pairs = match_features(background, names).pairs
    return {background[pair.model_column] for pair in pairs}


def release_enrichments(
    sources: Mapping[str, Sequence[FeatureSet]],
    markers: Iterable[ClassMarker],
    classes: Sequence[str],
    background: Sequence[str],
) -> tuple[ClassEnrichment, ...]:
    """Look for sets among the markers of a release.

    Parameters
    ----------
    sources
        What :func:`reference_sets` returned.
    markers
        Of all classes; those count that a class expresses more than the median class.
    classes
        The release's classes; one without markers is listed too.
    background
        The features of the release's models.

    Returns
    -------
    tuple of ClassEnrichment
        By source, class and set; q-values hold for one source.
    """
    by_class = expressed_markers(markers, classes)
    return tuple(
        found
        for source, sets in sources.items()
        for found in enrichments(source, sets, by_class, background, named_features)
    )
