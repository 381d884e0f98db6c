"""The way in which the workers of a cluster read a cohort from the mirror themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.errors import SettingsError
from annotator.learn.features.canonical import renamed_counts
from annotator.learn.running.cluster_worker import changed_since
from annotator.settings import load_settings
from annotator.store.mirror.expression import read_profiles
from annotator.store.mirror.features import as_objects
from annotator.store.server.connection import database_from_url, translating

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.store.mirror.cohorts import ReadCohort


@dataclass(frozen=True, eq=False)
class MirrorSource:
    """The mirror that a worker's own settings lead to.

    Attributes
    ----------
    renamed
        As in :class:`~annotator.store.mirror.cohorts.ReadCohort`.
    dataset_of
        The dataset of each sample of these datasets.
    """

    renamed: Mapping[str, Mapping[str, str]]
    dataset_of: Mapping[str, str]

    def read(
        self,
        sample_ids: NDArray[np.object_],
        features: NDArray[np.object_],
        kinds: NDArray[np.object_],
    ) -> csr_matrix:
        """Read as :class:`~annotator.learn.running.cluster_worker.ProfileSource` describes."""
        settings = load_settings()
        if settings.database_url is None:
            raise SettingsError(
                "ANNOTATOR_DATABASE_URL is not set there: workers read the cohort themselves, with"
                " a login of annotator_reader"
            )
        database = database_from_url(
            settings.database_url,
            statement_timeout=settings.statement_timeout,
            lock_timeout=settings.lock_timeout,
        )
        with (
            translating(),
            database.connect(application_name="annotator cluster worker") as connection,
        ):
            connection.read_only = True
            read = read_profiles(connection, sample_ids.tolist(), sorted(set(kinds)))
        if read.rejected:
            raise changed_since(len(read.rejected), len(sample_ids))
        column_of = {name: column for column, name in enumerate(read.profiles.features)}
        if any(name not in column_of for name in features):
            raise changed_since(len(sample_ids), len(sample_ids))
        columns = np.array([column_of[name] for name in features], dtype=np.int64)
        counts = read.profiles.counts
        if len(columns) != counts.shape[1]:  # features may have been added since
            counts = csr_matrix(counts[:, columns])
        datasets = as_objects([self.dataset_of.get(name, "") for name in sample_ids])
        return renamed_counts(counts, features, datasets, self.renamed)


def mirror_source(read: ReadCohort) -> MirrorSource:
    """Return the source of a cohort that was read from the mirror."""
    samples = zip(read.cohort.profiles.sample_ids, read.cohort.dataset_ids, strict=True)
    return MirrorSource(
        read.renamed, {sample: dataset for sample, dataset in samples if dataset in read.renamed}
    )
