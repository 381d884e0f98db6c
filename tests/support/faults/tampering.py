"""Change stored models and check that they are refused before they are parsed, and replaced."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tempfile
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError
from annotator.jobs.annotate.fallback import fallback_release
from annotator.jobs.annotate.live_models import LiveModels
from annotator.learn.release.files import read_model
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.registry import live_release
from tests.support.atlas import load_atlas
from tests.support.crafted import CRAFTED
from tests.support.faults.atlas import Outcome, make_releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

FIELD = "sex"
Files = dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Tampering:
    """A change to the files of a release, which are given by name."""

    name: str
    change: Callable[[Files, np.random.Generator], Files]


class _Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _one(files: Files, random: np.random.Generator) -> str:
    return str(random.choice(sorted(files)))


def flip(files: Files, random: np.random.Generator) -> Files:
    """Flip one random bit of one random byte of all."""
    names = sorted(files)
    sizes = np.array([len(files[name]) for name in names])
    name = str(random.choice(names, p=sizes / sizes.sum()))
    content = bytearray(files[name])
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    return files | {name: bytes(content)}


def truncate(files: Files, random: np.random.Generator) -> Files:
    """Truncate one file at a random position."""
    name = _one(files, random)
    return files | {name: files[name][: random.integers(len(files[name]))]}


def append(files: Files, random: np.random.Generator) -> Files:
    """Add bytes to one file."""
    name = _one(files, random)
    return files | {name: files[name] + random.bytes(1 + random.integers(64))}


def remove(files: Files, random: np.random.Generator) -> Files:
    """Remove one file."""
    name = _one(files, random)
    return {other: content for other, content in files.items() if other != name}


def plants(canary: Path) -> dict[str, bytes]:
    """Return contents that would run code or write files if they were trusted."""
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        keras_lambda = path.read_bytes()
    escape = io.BytesIO()
    with zipfile.ZipFile(escape, "w") as archive:
        archive.writestr(f"../../../../../../..{canary}", b"x")
        archive.writestr("schema.json", b"{}")
    return {
        "a pickle": pickle.dumps(_Canary(canary)),
        "a Keras Lambda": keras_lambda,
        "a zip that leaves its folder": escape.getvalue(),
        "a shell script": f"#!/bin/sh\nmkdir {canary}\n".encode(),
    }


def planted(content: bytes) -> Callable[[Files, np.random.Generator], Files]:
    """Replace a random file with other content."""

    def change(files: Files, random: np.random.Generator) -> Files:
        return files | {_one(files, random): content}

    return change


def stored(connection: psycopg.Connection, release_id: int) -> Files:
    """Return the stored files of a release."""
    rows = connection.execute(
        "select name, content from annotator.artefact where release_id = %s", (release_id,)
    ).fetchall()
    return {name: bytes(content) for name, content in rows}


def put(
    connection: psycopg.Connection, release_id: int, files: Files, *, with_digests: bool
) -> None:
    """Replace the files of a release, as the owner of the table can.

    Parameters
    ----------
    connection
        Connection of the owner.
    release_id
        The release.
    files
        The new files.
    with_digests
        Whether the digests beside the files are updated to match.
    """
    before = stored(connection, release_id)
    if not with_digests:
        connection.execute(
            "alter table annotator.artefact drop constraint if exists content_is_what_it_was"
        )
    for name in before.keys() - files.keys():
        connection.execute(
            "delete from annotator.artefact where release_id = %s and name = %s",
            (release_id, name),
        )
    for name, content in files.items():
        if content == before.get(name):
            continue
        digest = hashlib.sha256(content).hexdigest() if with_digests else None
        connection.execute(
            "update annotator.artefact set content = %(content)s,"
            " sha256 = coalesce(%(digest)s, sha256),"
            " size = case when %(digest)s::text is null then size else %(size)s end"
            " where release_id = %(release)s and name = %(name)s",
            {
                "content": content,
                "digest": digest,
                "size": len(content),
                "release": release_id,
                "name": name,
            },
        )


@contextmanager
def undone(connection: psycopg.Connection) -> Iterator[None]:
    """Roll back all changes of the block."""
    with connection.transaction(force_rollback=True):
        yield


def refused(connection: psycopg.Connection, release_id: int) -> bool:
    """Return whether the files of a release are refused without being parsed."""
    try:
        load_artefacts(connection, release_id)
    except ArtefactError:
        return True
    return False


def tamper(
    connection: psycopg.Connection,
    release_id: int,
    tampering: Tampering,
    times: int,
    seed: int = 1,
) -> list[Outcome]:
    """Tamper repeatedly, first with the original digests, then with matching ones."""
    random = np.random.default_rng(seed)
    files = stored(connection, release_id)
    outcomes = []
    for with_digests, remark in (
        (False, "digest beside the file"),
        (True, "the release's digest"),
    ):
        held = 0
        for _ in range(times):
            with undone(connection):
                changed = tampering.change(files, random)
                put(connection, release_id, changed, with_digests=with_digests)
                held += refused(connection, release_id)
        outcomes.append(Outcome(tampering.name, times, held, f"refused unparsed: {remark}"))
    return outcomes


def set_right_digests(connection: psycopg.Connection, release_id: int) -> None:
    """Make the digests of a release those of its stored files."""
    connection.execute(
        "update annotator.release r set digests = (select jsonb_object_agg(name, sha256)"
        " from annotator.artefact a where a.release_id = r.release_id)"
        " where r.release_id = %s",
        (release_id,),
    )


def served_instead(
    connection: psycopg.Connection,
    field: str,
    earlier_id: int,
    tampering: Tampering,
    *,
    with_nothing_to_tell: bool = False,
) -> Outcome:
    """Check that the fallback release goes live if the live one was tampered with."""
    live = live_release(connection, field)
    assert live is not None
    with undone(connection):
        models = LiveModels()
        changed = tampering.change(stored(connection, live.release_id), np.random.default_rng(1))
        put(connection, live.release_id, changed, with_digests=True)
        if with_nothing_to_tell:
            set_right_digests(connection, live.release_id)
        now = fallback_release(connection, models, live)
        event = connection.execute(
            "select detail from annotator.event where kind = 'failure' order by event_id desc"
        ).fetchone()
        status = connection.execute(
            "select status::text from annotator.release where release_id = %s", (live.release_id,)
        ).fetchone()
        good = (
            now.release_id == earlier_id
            and event is not None
            and event[0]["release_id"] == live.release_id
            and event[0]["reinstated"] == earlier_id
            and status == ("rejected",)
        )
    return Outcome(tampering.name, 1, int(good), "the release before serves, an event says so")


def parsed(
    connection: psycopg.Connection, release_id: int, tampering: Tampering, times: int, seed: int = 2
) -> Outcome:
    """Tamper where no digest can detect it, so that files are parsed.

    A changed weight gives a model like any other; the only allowed results are a model or
    a refusal.
    """
    random = np.random.default_rng(seed)
    files = stored(connection, release_id)
    ends: Counter[str] = Counter()
    for _ in range(times):
        with undone(connection):
            changed = tampering.change(files, random)
            put(connection, release_id, changed, with_digests=True)
            set_right_digests(connection, release_id)
            try:
                read_model(load_artefacts(connection, release_id))
            except ArtefactError:
                ends["refused"] += 1
            except Exception as error:  # noqa: BLE001 any other error is a failure of the test
                ends[repr(error)[:60]] += 1
            else:
                ends["another model"] += 1
    good = ends["refused"] + ends["another model"]
    remark = ", ".join(f"{count} {end}" for end, count in ends.most_common())
    return Outcome(f"{tampering.name}, with nothing to tell", times, good, remark)


def run_tampering(database: Database, settings: Settings, times: int = 1000) -> list[Outcome]:
    """Tamper with the live release in every way.

    Parameters
    ----------
    database, settings
        A migrated database that nothing else uses.
    times
        Number of flipped random bytes; other tampering is done a tenth as often.
    """
    load_atlas(database)
    earlier_id, live_id = make_releases(database, settings, FIELD, [1, 2])
    return tampered(database, earlier_id, live_id, times)


def tampered(database: Database, earlier_id: int, live_id: int, times: int) -> list[Outcome]:
    """Tamper with a live release of sex that has a fallback release.

    Parameters
    ----------
    database
        A database with both releases, which is restored afterwards.
    earlier_id, live_id
        The fallback and the live release.
    times
        As in :func:`run_tampering`.
    """
    few = max(1, times // 10)
    with (
        tempfile.TemporaryDirectory() as folder,
        database.connect(autocommit=True) as connection,
    ):
        canary = Path(folder) / "canary"
        others = stored(connection, earlier_id)
        exchanges = [
            Tampering("all files of another release", lambda _files, _random: others),
            Tampering("one file of another release", _exchange_one(others)),
        ]
        code = [Tampering(name, planted(content)) for name, content in plants(canary).items()]
        outcomes = tamper(connection, live_id, Tampering("a flipped bit", flip), times)
        for tampering in (
            Tampering("a file cut off", truncate),
            Tampering("bytes added", append),
            *exchanges,
            *code,
        ):
            outcomes += tamper(connection, live_id, tampering, few)
        held = sum(_removed(connection, live_id, seed) for seed in range(few))
        outcomes.append(
            Outcome("a file removed", few, held, "refused unparsed: the release's digest")
        )
        for tampering in (Tampering("a flipped bit", flip), *exchanges, *code):
            outcomes.append(served_instead(connection, FIELD, earlier_id, tampering))
        outcomes.append(parsed(connection, live_id, Tampering("a flipped bit", flip), few))
        outcomes.append(parsed(connection, live_id, Tampering("a file cut off", truncate), few))
        for tampering in code:
            outcome = parsed(connection, live_id, tampering, few)
            outcomes.append(outcome)
        for name, change in CRAFTED.items():
            tampering = Tampering(name, lambda files, _random, change=change: change(files))
            outcomes.append(
                served_instead(connection, FIELD, earlier_id, tampering, with_nothing_to_tell=True)
            )
        outcomes.append(
            Outcome(
                "planted code",
                len(code) * few,
                len(code) * few * (not canary.exists()),
                "never ran",
            )
        )
    return outcomes


def _removed(connection: psycopg.Connection, release_id: int, seed: int) -> bool:
    with undone(connection):
        files = remove(stored(connection, release_id), np.random.default_rng(seed))
        put(connection, release_id, files, with_digests=True)
        return refused(connection, release_id)


def _exchange_one(others: Files) -> Callable[[Files, np.random.Generator], Files]:
    def change(files: Files, random: np.random.Generator) -> Files:
        names = [name for name in sorted(files) if files[name] != others.get(name)]
        name = str(random.choice(names))
        return files | {name: others[name]}

    return change
