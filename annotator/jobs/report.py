"""Write the report of a release: one HTML file, and its figures as SVG files beside it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, FieldDefinition, LabelScheme
from annotator.errors import AnnotatorError, InputError, RetryableError
from annotator.plain_data import typed
from annotator.store.releases import registry, reports
from annotator.store.releases.comparisons import read_comparisons
from annotator.store.releases.explained_samples import read_explained_samples
from annotator.store.releases.explanations import read_explanations
from annotator.store.releases.held_out import held_out_of
from annotator.store.releases.live_accuracy import live_accuracy_of
from annotator.store.server.schema import check_schema
from annotator.store.watch.daemons import record_event

if TYPE_CHECKING:
    import psycopg

    from annotator.domain.reports import ReleaseSummary
    from annotator.report.contents import ReportContents
    from annotator.settings import Settings
    from annotator.store.releases.reports import ReportRow
    from annotator.store.server.connection import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """One report on disk.

    Attributes
    ----------
    release_id, field
        The release and its field.
    path
        The HTML file, absolute. The figures lie in the folder of the same name.
    figures
        Names of the figures.
    sha256, size
        Of the HTML file, hexadecimal and in bytes.
    """

    release_id: int
    field: str
    path: Path
    figures: tuple[str, ...]
    sha256: str
    size: int


def report(database: Database, release_id: int | None, folder: Path) -> tuple[WrittenReport, ...]:
    """Write the report of one release, or of every live one, where a person wants it.

    Nothing is written to the database, so whoever may read may do this.

    Parameters
    ----------
    database
        Where the releases are.
    release_id
        Any release; ``None`` for every live one.
    folder
        Created if it does not exist. Files of the same name are replaced.

    Raises
    ------
    InputError
        There is no such release, nothing is live, or the folder cannot be written.
    """
    with database.connect() as connection:
        check_schema(connection)
        wanted = [release_id] if release_id is not None else _live(connection)
        if not wanted:
            raise InputError(
                "no release is live: name one with --release, or run `annotator retrain` first"
            )
        return tuple(write_report(read_contents(connection, number), folder) for number in wanted)


def _live(connection: psycopg.Connection) -> list[int]:
    return [release.release_id for release in registry.live_releases(connection)]


def bring_up_to_date(database: Database, settings: Settings) -> tuple[WrittenReport, ...]:
    """Write the reports that are due and remove those that are too old.

    Due are those of live releases and of the newest ``keep_reports`` of each field that
    were decided on, where they are missing or no longer say what became of the release,
    or how right a live one is in use.
    Problems with a report are logged and become events of kind ``failure``,
    which the status shows; it stops nothing.

    Parameters
    ----------
    database
        Where releases are, and reports are recorded.
    settings
        ``report_folder`` and ``keep_reports``.

    Returns
    -------
    tuple of WrittenReport
        Those that were written.
    """
    host = socket.gethostname()
    with database.connect() as connection:
        due, standing = reports.kept_reports(connection, settings.keep_reports)
        lost = [row for row in standing if row.host == host and not Path(row.path or "").is_file()]
        written = [
            _written_and_recorded(connection, row, settings.reports_folder(), host)
            for row in (*due, *lost)
        ]
        for row in reports.outdated_reports(connection, settings.keep_reports, host):
            _remove(connection, row)
    return tuple(each for each in written if each is not None)


def _written_and_recorded(
    connection: psycopg.Connection, row: ReportRow, folder: Path, host: str
) -> WrittenReport | None:
    try:
        contents = read_contents(connection, row.release_id)
        made = write_report(contents, folder)
        reports.record_report(
            connection,
            row.release_id,
            contents.release.status,
            contents.live_accuracy,
            reports.WrittenFile(str(made.path), made.sha256, made.size, host),
        )
    except RetryableError:
        raise
    except Exception as error:
        what = f"the report of release {row.release_id} could not be written"
        if isinstance(error, AnnotatorError):
            reason = f"{what}: {error}"
            logger.warning("%s", reason)
        else:
            reason = f"{what}: {error!r}"
            logger.exception("%s", what)  # ours to fix; the release itself is unchanged
        record_event(
            connection, "failure", row.field, {"release_id": row.release_id, "reason": reason}
        )
        return None
    return made


def _remove(connection: psycopg.Connection, row: ReportRow) -> None:
    """Remove the files of a report, if they are what this program names them."""
    path = Path(row.path or "")
    try:
        if path.name == f"{_name(row.release_id, row.field)}.html":
            path.unlink(missing_ok=True)
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    except OSError as error:
        logger.warning("%s: an old report cannot be removed: %s", path, error.strerror)
        return
    reports.forget_report(connection, row.release_id)


def read_contents(connection: psycopg.Connection, release_id: int) -> ReportContents:
    """Read all that the report of a release is made from.

    Raises
    ------
    InputError
        There is no such release.
    """
    from annotator.report.contents import ReportContents

    found = reports.read_release(connection, release_id)
    if found is None:
        raise InputError(f"there is no release {release_id}; `annotator status` names live ones")
    run_id, release = found
    return ReportContents(
        release=release,
        cohort=reports.read_cohort_rows(connection, run_id),
        metrics=reports.read_gauges(connection, run_id),
        held_out=held_out_of(connection, run_id),
        curves=reports.read_curves(connection, run_id),
        explanations=read_explanations(connection, release_id),
        groups=_groups(connection, release),
        suspects=reports.read_suspects(connection, run_id),
        live_accuracy=live_accuracy_of(connection, release_id),
        comparisons=read_comparisons(connection, release_id),
        explained_samples=read_explained_samples(connection, release_id, release.field),
    )


def _groups(connection: psycopg.Connection, release: ReleaseSummary) -> dict[str, str]:
    """Return the broadest term above each class that is not too general."""
    from annotator.jobs.retrain.plan import read_ontology
    from annotator.learn.labels.answer_tree import label_tree
    from annotator.learn.labels.classes import lineages_of

    classes = release.classes
    definition = _definition(release)
    if definition is None or definition.scheme is not LabelScheme.ONTOLOGY:
        return {name: name for name in classes}
    ontology = read_ontology(connection, definition, classes)
    general = release.configuration.get("cohort", {}).get("too_general", ())
    tree = label_tree(classes, lineages_of(classes, ontology, definition, general))
    groups: dict[str, str] = {}
    for node in tree.top:
        for column in tree.members[node].nonzero()[0]:
            groups.setdefault(classes[column], tree.nodes[node])
    return {name: groups.get(name, name) for name in classes}


def _definition(release: ReleaseSummary) -> FieldDefinition | None:
    """Return the field as it was when the release was made."""
    if "field" in release.configuration:
        return typed(release.configuration["field"], FieldDefinition)
    return FIELDS.get(release.field)


def write_report(contents: ReportContents, folder: Path) -> WrittenReport:
    """Write a report into a folder: the page whole or not at all, then nothing is in the way.

    Raises
    ------
    InputError
        The folder is a file or cannot be written.
    """
    from annotator.report.figures import figures
    from annotator.report.html import page

    name = _name(contents.release.release_id, contents.release.field)
    drawn = figures(contents)
    content = page(contents, drawn).encode()
    try:
        folder = folder.expanduser().absolute()
    except RuntimeError as error:  # ~nobody has no home
        raise InputError("its home folder cannot be found", source=str(folder)) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as unfinished:
            made = Path(unfinished)
            (made / "page").write_bytes(content)
            (made / "figures").mkdir()
            for figure in drawn:
                (made / "figures" / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
            if (folder / name).exists():
                os.replace(folder / name, made / "before")
            os.replace(made / "figures", folder / name)
            os.replace(made / "page", folder / f"{name}.html")
    except OSError as error:
        raise InputError(
            f"the report cannot be written there: {error.strerror}", source=str(folder)
        ) from error
    return WrittenReport(
        contents.release.release_id,
        contents.release.field,
        folder / f"{name}.html",
        tuple(figure.name for figure in drawn),
        hashlib.sha256(content).hexdigest(),
        len(content),
    )


def _name(release_id: int, field: str) -> str:
    return f"release-{release_id}-{field}"
