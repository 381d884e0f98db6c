"""Measure the cost of explanations to a daemon by annotating with and without them."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from annotator.domain.imports import ImportedCounts, SampleRecord
from annotator.jobs.annotate import predict
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from annotator.jobs.retrain.retrain import retrain
from annotator.settings import Settings
from annotator.store.mirror.importing import apply_import
from tests.support.faults.atlas import own_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles
    from annotator.store.server.connection import Database

_FORGET = "truncate annotator.prediction, annotator.quarantine, annotator.work cascade"
_STORED = "select count(*), count(distinct (prediction_id, class)) from annotator.contribution"


def load(
    database: Database,
    parts: list[tuple[Profiles, NDArray[Any], NDArray[Any]]],
) -> None:
    """Load samples; those of the first part have labels."""
    for number, (profiles, labels, datasets) in enumerate(parts):
        names = [f"{number}-{name}" for name in profiles.sample_ids]
        records = [
            SampleRecord(name, f"{number}-{dataset}", {"tissue": label} if number == 0 else {}, {})
            for name, label, dataset in zip(names, labels, datasets, strict=True)
        ]
        with database.connect() as connection:
            apply_import(
                connection,
                samples=records,
                counts=ImportedCounts(list(profiles.features), "srna", [(names, profiles.counts)]),
            )
            connection.commit()


@contextmanager
def unexplained() -> Iterator[None]:
    """Make predictions without contributions."""

    def no_contributions(_live: Any, inputs: Any, *_rest: Any) -> list[list[dict[str, Any]]]:
        return [[{} for _ in inputs]]

    with mock.patch.object(predict, "contributions_to", no_contributions):
        yield


def pass_over(database: Database, settings: Settings, models: LiveModels) -> tuple[float, float]:
    """Annotate all pending samples again; return wall-clock and processor seconds."""
    with database.connect() as connection:
        connection.execute(_FORGET)
        connection.commit()
    server = server_seconds(database)
    started = time.perf_counter(), time.process_time()
    summary = annotate(database, settings, worker="benchmark", models=models)
    spent = time.perf_counter() - started[0], time.process_time() - started[1]
    assert not summary.quarantined.get("tissue"), summary
    return spent[0], spent[1] + server_seconds(database) - server


def server_seconds(database: Database) -> float:
    """Return the processor seconds of all ended sessions of the server."""
    with database.connect() as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        parent = _stat(row[0])[1]
    time.sleep(0.2)  # until the server has noticed the end
    of_children = _stat(int(parent))[13:15]
    return sum(map(int, of_children)) / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """Return the fields of a process's ``/proc`` status, starting with its state."""
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()


def with_and_without(
    parts: list[tuple[Profiles, NDArray[Any], NDArray[Any]]], repeats: int
) -> tuple[list[list[Any]], int, int]:
    """Annotate the second part's samples alternately with and without explanations.

    Returns
    -------
    rows
        Description, median wall-clock and processor seconds (of this process and the
        server's sessions), and both as a multiple of annotating without explanations.
    contributions, explained
        Number of stored rows and of explained classes, over all samples.
    """
    with tempfile.TemporaryDirectory() as folder, own_database(Path(folder)) as (database, base):
        load(database, parts)
        settings = replace(base, batch_size=Settings().batch_size, cross_validation_folds=0)
        outcome = retrain(database, settings, "tissue")
        assert outcome.status == "promoted", outcome
        models = LiveModels()
        plain, explained = [], []
        for number in range(repeats + 1):
            with unexplained():
                plain.append(pass_over(database, settings, models))
            explained.append(pass_over(database, settings, models))
            if number == 0:  # to warm up
                plain.clear()
                explained.clear()
        with database.connect() as connection:
            stored = connection.execute(_STORED).fetchone()
    assert stored is not None
    of_plain, of_all = (
        [statistics.median(spent) for spent in zip(*each, strict=True)]
        for each in (plain, explained)
    )
    extra = [a - b for a, b in zip(of_all, of_plain, strict=True)]
    rows = [
        [what, *spent, *(one / other for one, other in zip(spent, of_plain, strict=True))]
        for what, spent in (
            ("annotate without explanations", of_plain),
            ("annotate with them", of_all),
            ("what they cost", extra),
        )
    ]
    return rows, int(stored[0]), int(stored[1])
