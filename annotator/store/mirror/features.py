"""The features of the mirror, as the columns of expression matrices."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from numpy.typing import NDArray

LARGEST_TABLED_ID = 4_000_000


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of the mirror, in the order of the columns of profiles.

    The order is by name, so it depends neither on the ids of features nor on the
    order of imports.

    Attributes
    ----------
    ids
        ``feature_id`` of each column, int64.
    names, kinds
        Dtype object (str).
    digests
        First 64 bits of the SHA-256 of each name, uint64; used for the feature in
        the hash of a sample.
    """

    ids: NDArray[np.int64]
    names: NDArray[np.object_]
    kinds: NDArray[np.object_]
    digests: NDArray[np.uint64]
    _table: NDArray[np.int64] | None = field(repr=False)
    _ascending: NDArray[np.int64] = field(repr=False)

    def columns_of_ids(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return the column of each feature id, -1 if there is no such feature."""
        ids = ids.astype(np.int64)
        if self._table is not None:
            # Ids that are too small or too large are mapped to the last place, which has -1.
            places = np.maximum(np.minimum(ids, len(self._table) - 1), -1)
            found: NDArray[np.int64] = self._table[places]
            return found
        if len(self.ids) == 0:
            return np.full(len(ids), -1, dtype=np.int64)
        places = np.searchsorted(self.ids, ids, sorter=self._ascending)
        columns: NDArray[np.int64] = self._ascending[places.clip(max=len(self.ids) - 1)]
        columns[self.ids[columns] != ids] = -1
        return columns

    def columns_of_names(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the column of each name, -1 if there is no such feature."""
        columns = {name: column for column, name in enumerate(self.names)}
        return np.array([columns.get(name, -1) for name in names], dtype=np.int64)


def as_objects(values: Sequence[str]) -> NDArray[np.object_]:
    """Return texts as an array of dtype object, shape ``(len(values),)``."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def feature_table(ids: Sequence[int], names: Sequence[str], kinds: Sequence[str]) -> FeatureTable:
    """Build the table of features, given in any order with unique ids and names."""
    order = sorted(range(len(names)), key=names.__getitem__)
    by_name = np.array([ids[place] for place in order], dtype=np.int64)
    table = None
    if len(ids) and min(ids) >= 0 and max(ids) <= LARGEST_TABLED_ID:
        table = np.full(max(ids) + 2, -1, dtype=np.int64)
        table[by_name] = np.arange(len(ids))
    digests = b"".join(hashlib.sha256(names[place].encode()).digest()[:8] for place in order)
    return FeatureTable(
        ids=by_name,
        names=as_objects([names[place] for place in order]),
        kinds=as_objects([kinds[place] for place in order]),
        digests=np.frombuffer(digests, dtype="<u8"),
        _table=table,
        _ascending=np.argsort(by_name),
    )


def read_features(conn: psycopg.Connection) -> FeatureTable:
    """Read the features of the mirror.

    Raises
    ------
    SchemaError
        ``atlas.feature`` is a view that breaks the contract.
    """
    with conn.cursor(binary=True) as cursor:
        cursor.execute("select feature_id::int8, name::text, kind::text from atlas.feature")
        rows = cursor.fetchall()
    return _checked_table(tuple(rows))


@lru_cache(maxsize=1)  # features hardly ever change, and each batch reads them
def _checked_table(rows: tuple[tuple[int, str, str], ...]) -> FeatureTable:
    kinds = {str(kind) for kind in FeatureKind}
    for feature_id, name, kind in rows:
        if feature_id is None or not name or kind not in kinds:
            raise SchemaError(
                f"atlas.feature: feature {feature_id} has the name {name!r} and the kind {kind!r};"
                f" define it so that each has an id, a name and one of {sorted(kinds)}"
            )
    ids, names = [row[0] for row in rows], [row[1] for row in rows]
    for column, found in (("feature_id", ids), ("name", names)):
        if len(set(found)) != len(found):
            twice = next(value for place, value in enumerate(found) if value in found[:place])
            raise SchemaError(f"atlas.feature: {column} {twice!r} occurs twice; it must be unique")
    return feature_table(ids, names, [row[2] for row in rows])


def samples_with_features(conn: psycopg.Connection, ids: Sequence[int]) -> int:
    """Return how many samples have counts of any of these features."""
    row = conn.execute(
        "select count(*) from atlas.expression where feature_ids::bigint[] && %s::bigint[]",
        [[*ids]],
    ).fetchone()
    return int(row[0]) if row is not None else 0
