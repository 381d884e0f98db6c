"""Check that the models of the live releases can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.mirror.organisms import samples_without_release
from annotator.store.releases.registry import live_releases
from annotator.store.server.health import StoredFiles, stored_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "artefacts"
_FIX = (
    "run `annotator retrain --field {field}`; until then, daemons use the fallback release if"
    " there is one"
)


def check_organisms(connection: psycopg.Connection) -> Iterator[Finding]:
    """Check that the organism of every sample has a release."""
    for waiting in samples_without_release(connection):
        yield warning(
            SUBJECT,
            waiting.sentence,
            f"label enough samples of {waiting.organism}, then run `annotator retrain"
            f" --organism '{waiting.organism}'`",
        )


def check_artefacts(connection: psycopg.Connection, *, quick: bool) -> Iterator[Finding]:
    """Check the digests of stored models, and load them unless ``quick``."""
    stored = stored_files(connection)
    if not stored:
        yield warning(SUBJECT, "no release is live", "run `annotator retrain`")
    for files in stored:
        if files.files == 0 or files.damaged:
            state = ", ".join(files.damaged) + " damaged" if files.files else "no stored models"
            yield wrong(
                SUBJECT,
                f"release {files.release_id} of {files.field}: {state}",
                _FIX.format(field=files.field),
            )
    intact = [files for files in stored if files.files and not files.damaged]
    if quick:
        yield from (_described(files, "digests are right; not loaded") for files in intact)
    else:
        yield from _loaded(connection, intact)


def _loaded(connection: psycopg.Connection, intact: list[StoredFiles]) -> Iterator[Finding]:
    if not intact:
        return
    from annotator.jobs.annotate.live_models import LiveModels  # its libraries take seconds

    releases = {release.release_id: release for release in live_releases(connection)}
    models = LiveModels()
    for files in intact:
        release = releases.get(files.release_id)
        if release is None:  # replaced a moment ago
            continue
        try:
            models.load(connection, release)
        except ArtefactError as error:
            yield wrong(SUBJECT, str(error), _FIX.format(field=files.field))
        else:
            yield _described(files, "digests are right and the models load")


def _described(files: StoredFiles, how: str) -> Finding:
    return good(SUBJECT, f"release {files.release_id} of {files.field}: {files.files} files, {how}")
