"""Make a small simulated atlas with live releases, for experiments with faults."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.jobs.retrain.retrain import retrain
from annotator.settings import Settings
from annotator.store.server.connection import Database
from annotator.store.server.embedded import running_server
from annotator.store.server.schema import migrate
from tests.support.presets import LIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Outcome:
    """The outcome of one kind of fault.

    Attributes
    ----------
    fault
        The fault.
    tried, withstood
        Number of trials, and of those with the right outcome.
    remark
        How the fault was withstood, or further numbers.
    """

    fault: str
    tried: int
    withstood: int
    remark: str = ""


def fault_settings(settings: Settings) -> Settings:
    """Return settings with which every candidate goes live, with small, quickly trained models."""
    return replace(
        settings,
        preset=str(LIGHT),
        folds=2,
        cross_validation_folds=0,
        marker_count=20,
        similarity_samples=5,
        workers=1,
        batch_size=64,
        baseline_margin=-1.0,
        gate_margin=1.0,
        target_precision=0.5,
    )


def make_releases(
    database: Database, settings: Settings, field: str, seeds: Sequence[int]
) -> list[int]:
    """Retrain a field once per seed; every release but the last is retired."""
    made = []
    for seed in seeds:
        outcome = retrain(database, replace(settings, seed=seed, preset=str(LIGHT)), field)
        assert outcome.status == "promoted", outcome
        assert outcome.release_id is not None
        made.append(outcome.release_id)
    return made


@contextmanager
def own_database(folder: Path) -> Iterator[tuple[Database, Settings]]:
    """Open a new migrated embedded database in a folder."""
    with running_server(folder / "home") as conninfo:
        database = Database(conninfo, embedded=True)
        migrate(database)
        yield database, fault_settings(Settings(home=folder / "home"))
