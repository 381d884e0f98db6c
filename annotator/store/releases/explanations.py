"""Storing and reading the explanations of a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annotator.domain.explanations import (
    ClassEnrichment,
    ClassMarker,
    ClassSimilarity,
    ReleaseExplanations,
    SampleMap,
)
from annotator.errors import NeedsPersonError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

_MARKERS = (
    "copy annotator.class_marker (release_id, class, rank, feature, score, network_rank, tree_rank,"
    " stability, mean_expression, expression) from stdin"
)
_SIMILARITIES = (
    "copy annotator.class_similarity (release_id, class, rival, samples, changed, mean_steps,"
    " model_kind) from stdin"
)
_ENRICHMENTS = (
    "copy annotator.class_enrichment (release_id, source, set_name, class, background, set_size,"
    " markers, overlap, p_value, q_value, features) from stdin"
)
_MAP = "copy annotator.sample_map (release_id, sample_id, dataset_id, class, x, y) from stdin"

_READ_MARKERS = """
select m.class, m.rank, m.feature, m.score, m.network_rank, m.tree_rank, m.stability, m.expression
from annotator.class_marker m
join annotator.release r using (release_id)
where m.release_id = %s
order by array_position(r.classes, m.class), m.rank
"""

_READ_SIMILARITIES = """
select s.class, s.rival, s.samples, s.changed, s.mean_steps, s.model_kind
from annotator.class_similarity s
join annotator.release r using (release_id)
where s.release_id = %s
order by s.model_kind collate "C", array_position(r.classes, s.class),
         array_position(r.classes, s.rival) nulls last
"""

_READ_ENRICHMENTS = """
select e.source, e.set_name, e.class, e.background, e.set_size, e.markers, e.overlap,
       e.p_value, e.q_value, e.features
from annotator.class_enrichment e
join annotator.release r using (release_id)
where e.release_id = %s
order by e.source collate "C", array_position(r.classes, e.class), e.p_value,
         e.set_name collate "C"
"""

_READ_MAP = """
select sample_id, dataset_id, class, x, y
from annotator.sample_map
where release_id = %s
order by sample_id collate "C"
"""


def copy_explanations(
    conn: psycopg.Connection, release_id: int, explanations: ReleaseExplanations
) -> None:
    """Store the explanations of a release, in the current transaction.

    Raises
    ------
    NeedsPersonError
        They name a class that the release does not have, or a marker does not have one
        mean expression per class.
    """
    row = conn.execute(
        "select classes from annotator.release where release_id = %s", (release_id,)
    ).fetchone()
    place = {name: position for position, name in enumerate(row[0] if row else ())}
    _check_classes(release_id, place, explanations)
    _copy(
        conn,
        _MARKERS,
        (
            (
                release_id,
                marker.class_name,
                marker.rank,
                marker.feature,
                float(marker.score),
                marker.network_rank,
                marker.tree_rank,
                marker.stability,
                float(marker.expression[place[marker.class_name]]),
                [float(value) for value in marker.expression],
            )
            for marker in explanations.markers
        ),
    )
    _copy(
        conn,
        _SIMILARITIES,
        (
            (
                release_id,
                item.class_name,
                item.rival,
                item.samples,
                item.changed,
                item.mean_steps,
                item.model_kind,
            )
            for item in explanations.similarities
        ),
    )
    _copy(
        conn,
        _ENRICHMENTS,
        (
            (
                release_id,
                item.source,
                item.set_name,
                item.class_name,
                item.background,
                item.set_size,
                item.markers,
                item.overlap,
                float(item.p_value),
                float(item.q_value),
                list(item.features),
            )
            for item in explanations.enrichments
        ),
    )
    if explanations.sample_map is not None:
        _copy(conn, _MAP, _map_rows(release_id, explanations.sample_map))


def _check_classes(
    release_id: int, place: dict[str, int], explanations: ReleaseExplanations
) -> None:
    named = {
        *(marker.class_name for marker in explanations.markers),
        *(item.class_name for item in explanations.similarities),
        *(item.rival for item in explanations.similarities if item.rival is not None),
        *(item.class_name for item in explanations.enrichments),
    }
    if explanations.sample_map is not None:
        named |= set(explanations.sample_map.classes.tolist())
    strange = sorted(named - place.keys())
    if strange:
        raise NeedsPersonError(
            f"explanations of class {strange[0]!r} do not fit release {release_id}, whose classes"
            f" are {', '.join(place)}; retrain"
        )
    for marker in explanations.markers:
        if len(marker.expression) != len(place):
            raise NeedsPersonError(
                f"marker {marker.feature} has {len(marker.expression)} mean expressions, but"
                f" release {release_id} has {len(place)} classes; retrain"
            )


def _copy(conn: psycopg.Connection, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _map_rows(release_id: int, sample_map: SampleMap) -> Iterable[tuple[object, ...]]:
    return zip(
        [release_id] * len(sample_map.sample_ids),
        sample_map.sample_ids.tolist(),
        sample_map.dataset_ids.tolist(),
        sample_map.classes.tolist(),
        *sample_map.positions.T.tolist(),
        strict=True,
    )


def read_explanations(conn: psycopg.Connection, release_id: int) -> ReleaseExplanations:
    """Read the explanations of a release.

    Parameters
    ----------
    conn
        Connection.
    release_id
        Any release; explanations that were not stored with it are empty.

    Returns
    -------
    ReleaseExplanations
        Markers and similarities in the order of the release's classes, enrichments by
        source, class and p-value, the map by sample. Mean expression has float32
        precision.
    """
    with conn.transaction(), conn.cursor() as cursor:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return cursor.execute(query, (release_id,), binary=True).fetchall()

        return ReleaseExplanations(
            markers=tuple(ClassMarker(*_with_tuple(row)) for row in rows(_READ_MARKERS)),
            similarities=tuple(ClassSimilarity(*row) for row in rows(_READ_SIMILARITIES)),
            enrichments=tuple(
                ClassEnrichment(*_with_tuple(row)) for row in rows(_READ_ENRICHMENTS)
            ),
            sample_map=_sample_map(rows(_READ_MAP)),
        )


def _with_tuple(row: Sequence[Any]) -> list[Any]:
    """Return a row whose last value, an array, is a tuple."""
    return [*row[:-1], tuple(row[-1])]


def _sample_map(rows: Sequence[tuple[Any, ...]]) -> SampleMap | None:
    import numpy as np

    if not rows:
        return None
    sample_ids, dataset_ids, classes = np.array([row[:3] for row in rows], dtype=object).T
    positions = np.array([row[3:] for row in rows], dtype=np.float32)
    return SampleMap(sample_ids, dataset_ids, classes, positions)


def training_classes(conn: psycopg.Connection, release_id: int) -> dict[str, str]:
    """Return the samples that a release was trained on, with their classes.

    Parameters
    ----------
    conn
        Connection.
    release_id
        Any release.

    Returns
    -------
    dict
        Class by sample, ordered by sample; empty if the cohort is not known.
    """
    with conn.transaction():
        rows = conn.execute(
            "select s.sample_id, s.class"
            " from annotator.release r"
            " join annotator.training_run t using (run_id)"
            " join annotator.cohort_sample s using (cohort_id)"
            " where r.release_id = %s and s.class is not null"
            ' order by s.sample_id collate "C"',
            (release_id,),
        ).fetchall()
    return dict(rows)
