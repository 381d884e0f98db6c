"""Small simulated atlases, and loading them into the mirror."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from annotator.atlas.simulate import SimulatedAtlas, SimulationOptions, simulate_atlas
from annotator.domain.fields import FeatureKind
from annotator.domain.imports import ImportedCounts
from annotator.store.mirror.importing import apply_import
from tests.support.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from annotator.store.server.connection import Database

OPTIONS = SimulationOptions(samples=140, datasets=16, srnas=160, contaminants=20, seed=5)


@cache
def small_atlas() -> SimulatedAtlas:
    """Return the atlas that most tests share, which must not be changed."""
    return simulate_atlas(OPTIONS)


def load_atlas(
    database: Database,
    atlas: SimulatedAtlas | None = None,
    *,
    terms: Mapping[str, tuple[str, ...]] | None = None,
    kinds: Collection[FeatureKind] = tuple(FeatureKind),
    without_contaminants: Collection[int] = (),
) -> None:
    """Load an atlas into the mirror.

    Parameters
    ----------
    database
        A migrated database.
    atlas
        The atlas; :func:`small_atlas` by default.
    terms
        Terms and their parents, in place of the atlas's own.
    kinds
        Kinds of features to load.
    without_contaminants
        Rows of the samples whose contaminant counts are set to zero.
    """
    atlas = small_atlas() if atlas is None else atlas
    for kind in kinds:
        columns = np.flatnonzero(atlas.profiles.kinds == kind.value)
        counts = atlas.profiles.counts[:, columns]
        if kind is FeatureKind.CONTAMINANT and without_contaminants:
            counts = counts.tolil()
            counts[list(without_contaminants)] = 0
            counts = counts.tocsr()
        with database.connect() as connection:
            apply_import(
                connection,
                samples=atlas.samples,
                counts=ImportedCounts(
                    list(atlas.profiles.features[columns]),
                    kind.value,
                    [(tuple(atlas.profiles.sample_ids), counts)],
                ),
                terms=terms_of(atlas.terms if terms is None else terms),
            )
            connection.commit()
