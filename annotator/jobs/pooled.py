"""Probabilities of samples, with what the other samples of their datasets say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.jobs.usable import unusable_samples
from annotator.learn.folds import take_profiles
from annotator.learn.pooling import MOST_SPEAKERS
from annotator.store.dataset_mates import dataset_mates
from annotator.store.expression import read_profiles
from annotator.store.work import SUSPECT_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain import ClaimedSample
    from annotator.jobs.live_models import LiveModel
    from annotator.learn.field_model import FieldModel
    from annotator.settings import Settings


ROWS_AT_ONCE = 256  # of samples whose expression is in memory at a time


@dataclass(frozen=True, eq=False)
class Mates:
    """What samples say that speak for others of their datasets.

    Attributes
    ----------
    dataset_of
        Each to its dataset.
    sample_ids
        Those that are not being annotated themselves.
    raw
        What the models said of these, model kind to ``(samples, classes)``.
    """

    dataset_of: Mapping[str, str]
    sample_ids: tuple[str, ...]
    raw: Mapping[str, NDArray[np.float64]]

    def without(self, unusable: Collection[str]) -> Mates:
        """Let some of those that are being annotated not speak."""
        dataset_of = {name: of for name, of in self.dataset_of.items() if name not in unusable}
        return replace(self, dataset_of=dataset_of)


def read_mates(
    conn: psycopg.Connection,
    live: LiveModel,
    samples: Sequence[tuple[str, str]],
    settings: Settings,
) -> Mates | None:
    """Ask the samples that speak for some others; ``None`` where the release does not pool.

    Parameters
    ----------
    conn
        Connection; committed, and no transaction is open while models compute.
    live
        The release and its models.
    samples
        Names and datasets of those that are annotated.
    settings
        Say which of the others are usable.
    """
    if not live.model.pools:
        return None
    mates = dataset_mates(
        conn,
        live.release.field,
        live.release.release_id,
        [dataset_id for _, dataset_id in samples],
        MOST_SPEAKERS,
    )
    annotated = {sample_id for sample_id, _ in samples}
    dataset_of = {mate.sample_id: mate.dataset_id for mate in mates}
    further = [name for name in dataset_of if name not in annotated]
    usable: list[str] = []
    said: list[dict[str, NDArray[np.float64]]] = []
    for start in range(0, len(further), ROWS_AT_ONCE):
        profiles = read_profiles(conn, further[start : start + ROWS_AT_ONCE]).profiles
        conn.commit()
        unusable = unusable_samples(live, profiles, settings)
        keep = np.flatnonzero([name not in unusable for name in profiles.sample_ids])
        if len(keep):
            usable += profiles.sample_ids[keep].tolist()
            said.append(live.model.predict_raw(take_profiles(profiles, keep)))
    conn.commit()
    speaking = annotated.union(usable)
    return Mates(
        {name: of for name, of in dataset_of.items() if name in speaking},
        tuple(usable),
        {kind: np.concatenate([part[kind] for part in said]) for kind in (said[0] if said else ())},
    )


def stands_alone(claimed: Sequence[ClaimedSample]) -> bool:
    """Say whether a batch is one sample that ended its worker even when claimed alone.

    It may be another sample of the dataset that does it: the next attempt looks at none.
    """
    return any(sample.attempts > SUSPECT_ATTEMPTS + 1 for sample in claimed)


def pooled_probabilities(
    model: FieldModel,
    raw: Mapping[str, NDArray[np.float64]],
    sample_ids: Sequence[str],
    dataset_ids: Sequence[str],
    mates: Mates | None,
) -> dict[str, NDArray[np.float64]]:
    """Calibrate, combine and pool.

    Parameters
    ----------
    model
        The release's models.
    raw
        What they said of each sample, model kind to ``(samples, classes)``.
    sample_ids, dataset_ids
        The samples and their datasets.
    mates
        Usable ones; ``None``: every sample stands alone.

    Returns
    -------
    dict
        As :meth:`FieldModel.predict`, of the samples only.
    """
    if mates is None:
        return model.calibrated(raw)
    together = {
        kind: np.concatenate([p, mates.raw[kind]]) if mates.sample_ids else p
        for kind, p in raw.items()
    }
    further = mates.sample_ids
    datasets = [*dataset_ids, *(mates.dataset_of[name] for name in further)]
    speakers = np.array([name in mates.dataset_of for name in (*sample_ids, *further)])
    found = model.calibrated(together, np.array(datasets, dtype=object), speakers)
    return {kind: p[: len(sample_ids)] for kind, p in found.items()}
