"""Candidates of releases with made-up held-out predictions, for tests of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import HeldOutPredictions, Metric
from annotator.domain.releases import Artefact, CandidateRelease
from annotator.store.releases import registry, runs
from annotator.store.releases.runs import RunStart
from tests.support.store import run

if TYPE_CHECKING:
    import psycopg

CLASSES = ("brain", "liver", "skin")
ARTEFACTS = (
    Artefact("forest.safetensors", "application/zip", bytes(range(256)) * 40),
    Artefact("configuration.json", "application/json", b"{}"),
)


def start(conn: psycopg.Connection, field: str = "tissue") -> int:
    """Start a training run; return its id."""
    return runs.start_run(
        conn,
        RunStart(
            field=field,
            preset="default",
            seed=7,
            configuration={"network": {"epochs": 50}},
            configuration_hash="c1",
            versions={"numpy": "2"},
            host="here",
        ),
    )


def held_out(samples: int = 6, seed: int = 1) -> HeldOutPredictions:
    """Return predictions of two model kinds for samples of three classes and datasets."""
    generator = np.random.default_rng(seed)

    def probabilities() -> np.ndarray:
        return generator.dirichlet(np.ones(len(CLASSES)), size=samples)

    return HeldOutPredictions(
        sample_ids=np.array([f"s{number:03}" for number in range(samples)], dtype=object),
        dataset_ids=np.array([f"D{number % 3}" for number in range(samples)], dtype=object),
        truth=np.array([CLASSES[number % 3] for number in range(samples)], dtype=object),
        folds=np.arange(samples, dtype=np.int64) % 3,
        classes=CLASSES,
        probabilities={"network": probabilities(), "combined": probabilities()},
    )


METRICS = {
    "one-dataset-out": (
        Metric("combined", "accuracy", None, 0.8125, 6, 3),
        Metric("combined", "class_accuracy", "liver", 0.5, 2, 1),
        Metric("network", "accuracy", None, 0.75, 6, 3),
    )
}


def candidate(
    conn: psycopg.Connection, field: str = "tissue", artefacts: tuple[Artefact, ...] = ARTEFACTS
) -> int:
    """Start a run and store its candidate; return the id of the release."""
    run_id = start(conn, field)
    return registry.save_candidate(
        conn, run_id, CandidateRelease(field, CLASSES, 12, artefacts, held_out(), METRICS)
    )


def finish(conn: psycopg.Connection, release_id: int) -> None:
    """Finish the run behind a release."""
    ((run_id,),) = run(
        conn, "select run_id from annotator.release where release_id = %s", release_id
    )
    runs.finish_run(conn, run_id, "succeeded", None)


def statuses(conn: psycopg.Connection) -> list[str]:
    """Return the statuses of all releases, the oldest first."""
    return [
        row[0]
        for row in run(conn, "select status::text from annotator.release order by release_id")
    ]
