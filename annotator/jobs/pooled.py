"""Probabilities of samples, with what the other samples of their datasets say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.learn.folds import take_profiles
from annotator.learn.pooling import MOST_SPEAKERS
from annotator.store.dataset_mates import dataset_mates
from annotator.store.expression import read_profiles
from annotator.store.work import SUSPECT_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain import ClaimedSample, Profiles
    from annotator.jobs.live_models import LiveModel
    from annotator.learn.field_model import FieldModel


@dataclass(frozen=True, eq=False)
class Mates:
    """Samples that speak for others of their datasets.

    Attributes
    ----------
    dataset_of
        Each to its dataset.
    profiles
        The expression of those that are not being annotated themselves.
    """

    dataset_of: Mapping[str, str]
    profiles: Profiles

    def without(self, unusable: Collection[str]) -> Mates:
        """Return the others only."""
        names = self.profiles.sample_ids
        rows = np.array([i for i, name in enumerate(names) if name not in unusable], dtype=int)
        dataset_of = {name: of for name, of in self.dataset_of.items() if name not in unusable}
        return replace(self, dataset_of=dataset_of, profiles=take_profiles(self.profiles, rows))


def read_mates(
    conn: psycopg.Connection,
    live: LiveModel,
    samples: Sequence[tuple[str, str]],
) -> Mates | None:
    """Read the samples that speak for some others; ``None`` where the release does not pool.

    Parameters
    ----------
    conn
        Read in the caller's transaction.
    live
        The release and its models.
    samples
        Names and datasets of those that are annotated.
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
    further = [mate.sample_id for mate in mates if mate.sample_id not in annotated]
    return Mates(
        {mate.sample_id: mate.dataset_id for mate in mates}, read_profiles(conn, further).profiles
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
    said = model.predict_raw(mates.profiles) if len(mates.profiles.sample_ids) else {}
    together = {kind: np.concatenate([p, said[kind]]) if said else p for kind, p in raw.items()}
    further = mates.profiles.sample_ids.tolist()
    datasets = [*dataset_ids, *(mates.dataset_of[name] for name in further)]
    speakers = np.array([name in mates.dataset_of for name in (*sample_ids, *further)])
    found = model.calibrated(together, np.array(datasets, dtype=object), speakers)
    return {kind: p[: len(sample_ids)] for kind, p in found.items()}
