"""The releases in ``tests/data/releases``, as files and in a database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.releases import Artefact, CandidateRelease
from annotator.store.releases import lifecycle, registry
from tests.support import ROOT
from tests.support.candidates import METRICS, finish, held_out, start

if TYPE_CHECKING:
    import psycopg

FOLDER = ROOT / "tests" / "data" / "releases"
EXPECTED = "expected.json"
CLASSES, FEATURES = ("blood", "brain", "skin"), 28


def stored(number: int) -> dict[str, bytes]:
    """Return the files of a release, as bytes."""
    folder: Path = FOLDER / f"format-{number}"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != EXPECTED}


def artefacts_of(contents: dict[str, bytes]) -> tuple[Artefact, ...]:
    """Return files as artefacts."""
    return tuple(Artefact(name, "x/y", content) for name, content in contents.items())


def put_live(conn: psycopg.Connection, contents: dict[str, bytes]) -> int:
    """Make these files the live release of tissue, with right digests; return its id."""
    run_id = start(conn)
    truth = held_out().truth
    truth[truth == "liver"] = "blood"
    predictions = replace(held_out(), classes=CLASSES, truth=truth)
    release = CandidateRelease(
        "tissue", CLASSES, FEATURES, artefacts_of(contents), predictions, METRICS
    )
    release_id = registry.save_candidate(conn, run_id, release)
    lifecycle.promote(conn, release_id, ["for a test"])
    finish(conn, release_id)
    return release_id
