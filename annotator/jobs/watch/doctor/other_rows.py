"""Check that the features of the mirror are RNAs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.other_rows import is_summary, spike_ins
from annotator.domain.wording import counted, some
from annotator.jobs.watch.doctor.findings import Finding, warning
from annotator.store.mirror.features import read_features, samples_with_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


def check_other_rows(connection: psycopg.Connection) -> Iterator[Finding]:
    """Check that no sample has counts of sums, leftovers or spike-ins among its features."""
    features = read_features(connection)
    names = features.names.tolist()
    spikes = spike_ins(names)
    found = [at for at, name in enumerate(names) if name in spikes or is_summary(name)]
    samples = samples_with_features(connection, features.ids[found].tolist()) if found else 0
    if samples:
        yield warning(
            "mirror",
            f"{counted(samples, 'sample has', 'samples have')} counts of features that are no RNA"
            " but sums, reads without a feature or spike-ins:"
            f" {some([names[at] for at in found])}",
            "import these counts again in place of the old ones, or leave the features out of"
            " the view atlas.expression",
        )
