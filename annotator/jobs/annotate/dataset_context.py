"""Class probabilities of samples, pooled with the other samples in their datasets."""

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
    from annotator.jobs.annotate.live_models import LiveModel
    from annotator.jobs.annotate.plan import AnnotatePlan
    from annotator.learn.release.field_model import Answers, FieldModel


ROWS_AT_ONCE = 256  # maximum number of samples whose expression is in memory
MOST_REMEMBERED = 2048  # samples


@dataclass(frozen=True, eq=False)
class DatasetSamples:
    """Predictions for the samples that are pooled with others in their datasets.

    Attributes
    ----------
    dataset_of
        Sample to dataset, for all samples that are pooled.
    sample_ids
        The samples that are not being annotated themselves.
    raw
        Model kind to its probabilities for ``sample_ids``, ``(samples, classes)``.
    """

    dataset_of: Mapping[str, str]
    sample_ids: tuple[str, ...]
    raw: Mapping[str, NDArray[np.float64]]

    def without(self, unusable: Collection[str]) -> DatasetSamples:
        """Exclude some of the samples that are being annotated from pooling."""
        dataset_of = {name: of for name, of in self.dataset_of.items() if name not in unusable}
        return replace(self, dataset_of=dataset_of)


class Remembered:
    """Predictions that later batches of a pass may need again.

    A dataset may be larger than a batch, and its first samples are needed in each of its
    batches. Only the :data:`MOST_REMEMBERED` most recently used samples are kept, so the
    memory that a pass needs does not grow with the number of samples.
    """

    def __init__(self) -> None:
        self._raw: OrderedDict[tuple[str, str], Mapping[str, NDArray[np.float64]]] = OrderedDict()

    def find(self, sample_id: str, input_hash: str) -> Mapping[str, NDArray[np.float64]] | None:
        """Return each model kind's probabilities, ``(classes,)``, for a sample and its input."""
        found = self._raw.get((sample_id, input_hash))
        if found is not None:
            self._raw.move_to_end((sample_id, input_hash))
        return found

    def add(self, sample_id: str, input_hash: str, raw: Mapping[str, NDArray[np.float64]]) -> None:
        """Store each model kind's probabilities, ``(classes,)``."""
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
    """Predict the samples that the pass has not predicted yet; return the predictions of all.

    Parameters
    ----------
    model
        The release's models.
    sample_ids, hashes
        The samples and the hashes of their expression, ``(samples,)``.
    inputs
        From :meth:`FieldModel.inputs`, ``(samples, features)``.
    remembered
        Earlier predictions of the pass; the new ones are added.

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
    plan: AnnotatePlan,
    remembered: Remembered | None = None,
) -> DatasetSamples | None:
    """Predict the other samples in the datasets of some samples.

    Returns ``None`` if the release does not pool.

    Parameters
    ----------
    conn
        Connection; committed, and no transaction is open while models compute.
    live
        The release and its models.
    samples
        Names and datasets of the samples that are being annotated.
    plan
        The plan, with the requirements that the other samples must meet.
    remembered
        Earlier predictions of the pass.
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
    raw: list[dict[str, NDArray[np.float64]]] = []
    for start in range(0, len(further), ROWS_AT_ONCE):
        read = read_profiles(conn, further[start : start + ROWS_AT_ONCE])
        conn.commit()
        aligned = model.aligned(read.profiles)
        known = model.known_ratio(aligned.expressed)
        unusable = unusable_samples(live, read.profiles, plan, known)
        keep = np.flatnonzero([name not in unusable for name in read.profiles.sample_ids])
        if len(keep):
            names = read.profiles.sample_ids[keep].tolist()
            inputs = model.aligned_inputs(aligned.take(keep))
            usable += names
            raw.append(predict_once(model, names, read.hashes[keep], inputs, remembered))
    conn.commit()
    pooled = annotated.union(usable)
    return DatasetSamples(
        {name: of for name, of in dataset_of.items() if name in pooled},
        tuple(usable),
        {kind: np.concatenate([part[kind] for part in raw]) for kind in (raw[0] if raw else ())},
    )


def stands_alone(claimed: Sequence[ClaimedSample]) -> bool:
    """Return whether a batch is one sample that crashed its worker even when claimed alone.

    Another sample in its dataset may be the cause, so the next attempt reads none of them.
    """
    return any(sample.attempts > SUSPECT_ATTEMPTS + 1 for sample in claimed)


def pooled_answers(
    model: FieldModel,
    raw: Mapping[str, NDArray[np.float64]],
    sample_ids: Sequence[str],
    dataset_ids: Sequence[str],
    dataset_samples: DatasetSamples | None,
) -> Answers:
    """Calibrate, combine and pool the probabilities of samples.

    Parameters
    ----------
    model
        The release's models.
    raw
        Model kind to its probabilities for the samples, ``(samples, classes)``.
    sample_ids, dataset_ids
        The samples and their datasets.
    dataset_samples
        The samples to pool with; ``None`` to predict every sample by itself.

    Returns
    -------
    Answers
        Answers for ``sample_ids`` only.
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
