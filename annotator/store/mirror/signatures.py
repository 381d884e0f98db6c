"""Digests of the expression of imported samples, by which copies are found at once."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.domain.imports import LEAST_SHARED_FEATURES, CopiedSample

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import psycopg
    from scipy.sparse import csr_matrix

    from annotator.store.mirror.features import FeatureTable


def signatures_of(features: FeatureTable, counts: csr_matrix) -> list[bytes | None]:
    """Return a digest of the sRNA counts of each sample, ``None`` if it expresses few of them.

    Parameters
    ----------
    features
        The columns of ``counts``.
    counts
        Raw counts with sorted indices, ``(samples, features)``.
    """
    is_srna = features.kinds == FeatureKind.SRNA.value
    digests: list[bytes | None] = []
    for start, end in itertools.pairwise(counts.indptr.tolist()):
        columns, values = counts.indices[start:end], counts.data[start:end]
        kept = is_srna[columns] & (values != 0)
        content = hashlib.sha256(features.digests[columns[kept]].astype("<u8").tobytes())
        content.update(values[kept].astype("<f4").tobytes())
        usable = np.count_nonzero(kept) >= LEAST_SHARED_FEATURES
        digests.append(content.digest()[:16] if usable else None)
    return digests


def write_signatures(conn: psycopg.Connection, signatures: Mapping[str, bytes | None]) -> None:
    """Replace the digests of samples, in the current transaction."""
    conn.execute(
        "delete from annotator.sample_signature where sample_id = any(%s)", [[*signatures]]
    )
    with (
        conn.cursor() as cursor,
        cursor.copy("copy annotator.sample_signature (sample_id, signature) from stdin") as copy,
    ):
        for sample_id, signature in signatures.items():
            if signature is not None:
                copy.write_row((sample_id, signature))


_COPIES = """
select distinct on (mine.sample_id)
    mine.sample_id, of_mine.dataset_id, other.sample_id, of_other.dataset_id
from unnest(%s::text[]) as written (sample_id)
join annotator.sample_signature mine using (sample_id)
join annotator.sample_signature other
    on other.signature = mine.signature and other.sample_id <> mine.sample_id
join atlas.sample of_mine on of_mine.sample_id = mine.sample_id
join atlas.sample of_other on of_other.sample_id = other.sample_id
where of_other.dataset_id <> of_mine.dataset_id
order by mine.sample_id, of_other.dataset_id, other.sample_id
"""


def copies_of(conn: psycopg.Connection, sample_ids: Collection[str]) -> tuple[CopiedSample, ...]:
    """Find samples whose sRNA counts equal those of a sample in another dataset.

    Returns
    -------
    tuple of CopiedSample
        One per sample, with the first of its copies, in the order of the samples.
    """
    if not sample_ids:
        return ()
    conn.execute("analyze annotator.sample_signature")
    rows = conn.execute(_COPIES, [sorted(sample_ids)]).fetchall()
    return tuple(CopiedSample(*row) for row in rows)
