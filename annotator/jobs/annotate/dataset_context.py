"""Probabilities of samples, with what the other samples of their datasets say."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.jobs.annotate.quality import unusable_samples
from annotator.learn.selective.pooling import MOST_CONTRIBUTING
from annotator.store.answers.dataset_samples import other_samples_in
from annotator.store.answers.work import SUSPECT_ATTEMPTS
from annotator.store.mirror.expression import read_profiles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.answers import ClaimedSample
    from annotator.domain.quality import Quality
    from annotator.jobs.annotate.live_models import LiveModel
    from annotator.learn.release.field_model import Answers, FieldModel


ROWS_AT_ONCE = 256  # of samples whose expression is in memory at a time
MOST_REMEMBERED = 2048  # samples


@dataclass(frozen=True, eq=False)
class DatasetSamples:
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

    def without(self, unusable: Collection[str]) -> DatasetSamples:
        """Let some of those that are being annotated not speak."""
        dataset_of = {name: of for name, of in self.dataset_of.items() if name not in unusable}
        return replace(self, dataset_of=dataset_of)


class Remembered:
    """Predictions of samples that the next batches of a pass may need again.

    A dataset may be larger than a batch: its first samples are needed in each of its batches.
    Only the :data:`MOST_REMEMBERED` samples that were asked for last are kept, so a pass over
    any number of samples needs the same memory.
    """

    def __init__(self) -> None:
        self._raw: OrderedDict[tuple[str, str], Mapping[str, NDArray[np.float64]]] = OrderedDict()

    def find(self, sample_id: str, input_hash: str) -> Mapping[str, NDArray[np.float64]] | None:
        """Return each model kind's probabilities, ``(classes,)``, of a sample and its input."""
        found = self._raw.get((sample_id, input_hash))
        if found is not None:
            self._raw.move_to_end((sample_id, input_hash))
        return found

    def add(self, sample_id: str, input_hash: str, raw: Mapping[str, NDArray[np.float64]]) -> None:
        """Remember each model kind's probabilities, ``(classes,)``."""
        self._raw[sample_id, input_hash] = raw
        if len(self._raw) > MOST_REMEMBERED:
            self._raw.popitem(last=False)


def predict_once(
    model: FieldModel,
    sample_ids: Sequence[str],
    hashes: NDArray[np.object_],
    inputs: NDArray[np.float32],
    remembered: Remembered | None,
) -> dict[str, NDArray[np.float64]]:
    """Predict samples, except for those that the pass has predicted already.

    Parameters
    ----------
    model
        The release's models.
    sample_ids, hashes
        The samples and the hashes of their expression, ``(samples,)``.
    inputs
        From :meth:`FieldModel.inputs`, ``(samples, features)``.
    remembered
        Earlier predictions; these join them.

    Returns
    -------
    dict
        As :meth:`FieldModel.predict_raw_inputs`.
    """
    if remembered is None:
        return model.predict_raw_inputs(inputs)
    names = list(zip(sample_ids, hashes.tolist(), strict=True))
    found = [remembered.find(*name) for name in names]
    new = [row for row, of_sample in enumerate(found) if of_sample is None]
    fresh = model.predict_raw_inputs(inputs[new]) if new else {}
    for place, row in enumerate(new):
        # Copies: a view would keep the predictions of the whole batch in memory.
        found[row] = of_row = {kind: table[place].copy() for kind, table in fresh.items()}
        remembered.add(*names[row], of_row)
    kept = [of_sample for of_sample in found if of_sample is not None]
    return {kind: np.stack([of_sample[kind] for of_sample in kept]) for kind in kept[0]}


def read_dataset_samples(
    conn: psycopg.Connection,
    live: LiveModel,
    samples: Sequence[tuple[str, str]],
    quality: Quality,
    remembered: Remembered | None = None,
) -> DatasetSamples | None:
    """Ask the samples that speak for some others; ``None`` where the release does not pool.

    Parameters
    ----------
    conn
        Connection; committed, and no transaction is open while models compute.
    live
        The release and its models.
    samples
        Names and datasets of those that are annotated.
    quality
        Says which of the others are usable.
    remembered
        What the models predicted earlier in the pass.
    """
    model = live.model
    if not model.pools:
        return None
    dataset_samples = other_samples_in(
        conn,
        live.release.field,
        live.release.release_id,
        [dataset_id for _, dataset_id in samples],
        MOST_CONTRIBUTING,
    )
    annotated = {sample_id for sample_id, _ in samples}
    dataset_of = {sample.sample_id: sample.dataset_id for sample in dataset_samples}
    further = [name for name in dataset_of if name not in annotated]
    usable: list[str] = []
    said: list[dict[str, NDArray[np.float64]]] = []
    for start in range(0, len(further), ROWS_AT_ONCE):
        read = read_profiles(conn, further[start : start + ROWS_AT_ONCE])
        conn.commit()
        aligned = model.aligned(read.profiles)
        known = model.known_share(aligned.expressed)
        unusable = unusable_samples(live, read.profiles, quality, known)
        keep = np.flatnonzero([name not in unusable for name in read.profiles.sample_ids])
        if len(keep):
            names = read.profiles.sample_ids[keep].tolist()
            inputs = model.aligned_inputs(aligned.take(keep))
            usable += names
            said.append(predict_once(model, names, read.hashes[keep], inputs, remembered))
    conn.commit()
    speaking = annotated.union(usable)
    return DatasetSamples(
        {name: of for name, of in dataset_of.items() if name in speaking},
        tuple(usable),
        {kind: np.concatenate([part[kind] for part in said]) for kind in (said[0] if said else ())},
    )


def stands_alone(claimed: Sequence[ClaimedSample]) -> bool:
    """Say whether a batch is one sample that ended its worker even when claimed alone.

    It may be another sample of the dataset that does it: the next attempt looks at none.
    """
    return any(sample.attempts > SUSPECT_ATTEMPTS + 1 for sample in claimed)


def pooled_answers(
    model: FieldModel,
    raw: Mapping[str, NDArray[np.float64]],
    sample_ids: Sequence[str],
    dataset_ids: Sequence[str],
    dataset_samples: DatasetSamples | None,
) -> Answers:
    """Calibrate, combine and pool.

    Parameters
    ----------
    model
        The release's models.
    raw
        What they said of each sample, model kind to ``(samples, classes)``.
    sample_ids, dataset_ids
        The samples and their datasets.
    dataset_samples
        Usable ones; ``None``: every sample stands alone.

    Returns
    -------
    Answers
        Of the samples only.
    """
    if dataset_samples is None:
        return model.answers(raw)
    together = {
        kind: np.concatenate([p, dataset_samples.raw[kind]]) if dataset_samples.sample_ids else p
        for kind, p in raw.items()
    }
    further = dataset_samples.sample_ids
    datasets = [*dataset_ids, *(dataset_samples.dataset_of[name] for name in further)]
    contributing = np.array(
        [name in dataset_samples.dataset_of for name in (*sample_ids, *further)]
    )
    found = model.answers(together, np.array(datasets, dtype=object), contributing)
    return found.first(len(sample_ids))
