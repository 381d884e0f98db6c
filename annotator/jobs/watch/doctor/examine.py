"""Run every check, in the order in which they depend on each other."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg

from annotator.errors import AnnotatorError, DatabaseUnavailableError
from annotator.jobs.watch.doctor.artefacts import check_artefacts, check_organisms
from annotator.jobs.watch.doctor.clock import check_clock
from annotator.jobs.watch.doctor.connection import check_connection
from annotator.jobs.watch.doctor.daemons import check_daemons
from annotator.jobs.watch.doctor.disk import check_disk
from annotator.jobs.watch.doctor.findings import WRONG, Finding, wrong
from annotator.jobs.watch.doctor.labels import check_labels
from annotator.jobs.watch.doctor.mirror import check_relations
from annotator.jobs.watch.doctor.other_rows import check_other_rows
from annotator.jobs.watch.doctor.roles import check_roles
from annotator.jobs.watch.doctor.schema import check_revision
from annotator.jobs.watch.doctor.terms import check_terms
from annotator.store.server.connection import open_database, translating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from annotator.settings import Settings

STATEMENT_SECONDS = "60s"


def examine(settings: Settings, *, quick: bool = False) -> tuple[Finding, ...]:
    """Check the whole installation; every problem is a finding and never an error.

    Parameters
    ----------
    settings
        The settings of the installation.
    quick
        Neither load the models nor compare libraries, which takes seconds.

    Returns
    -------
    tuple of Finding
        The findings, grouped by subject.
    """
    disk = _checked("disk", lambda: check_disk(settings))
    with ExitStack() as stack:
        try:
            if settings.database_url is None and not _has_cluster(settings):
                return (*_no_cluster(settings), *disk)
            database = stack.enter_context(open_database(settings))
            connection = stack.enter_context(
                database.connect(autocommit=True, application_name="annotator doctor")
            )
        except AnnotatorError as error:
            return (wrong("connection", str(error), _connection_fix(settings, error)), *disk)
        connection.execute("select set_config('statement_timeout', %s, false)", [STATEMENT_SECONDS])
        found = _checked("connection", lambda: check_connection(connection))
        found += _checked("clock", lambda: check_clock(connection))
        schema = _checked("schema", lambda: check_revision(connection))
        found += schema
        mirror = _checked("mirror", lambda: check_relations(connection))
        found += mirror
        if not quick and mirror and all(finding.level != WRONG for finding in mirror):
            found += _checked("libraries", lambda: _check_libraries(connection))
        if all(finding.level != WRONG for finding in schema):
            found += _checked("mirror", lambda: check_other_rows(connection))
            embedded = database.embedded
            found += _checked("roles", lambda: check_roles(connection, embedded=embedded))
            found += _checked("artefacts", lambda: check_artefacts(connection, quick=quick))
            found += _checked("labels", lambda: check_labels(connection, settings.fields))
            found += _checked("labels", lambda: check_terms(connection, settings))
            found += _checked("artefacts", lambda: check_organisms(connection))
            found += _checked("daemons", lambda: check_daemons(connection, settings))
    return (*found, *disk)


def _checked(subject: str, check: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    """Run one check; an error that ends it early is a finding, too."""
    found: list[Finding] = []
    try:
        with translating():
            found.extend(check())
    except (AnnotatorError, psycopg.Error) as error:
        text = " ".join(str(error).split())
        found.append(
            wrong(subject, f"the check failed: {text}", "fix the cause that the message names")
        )
    return tuple(found)


def _check_libraries(connection: psycopg.Connection) -> Iterable[Finding]:
    # SciPy takes a while to import.
    from annotator.jobs.watch.doctor.libraries import check_libraries

    return check_libraries(connection)


def _has_cluster(settings: Settings) -> bool:
    from annotator.store.server.home import has_cluster

    return has_cluster(settings.home_folder())


def _no_cluster(settings: Settings) -> tuple[Finding, ...]:
    return (
        wrong(
            "connection",
            f"there is no embedded database in {settings.home_folder()}, and no database_url",
            "run `annotator migrate` or `annotator demo`, or set ANNOTATOR_DATABASE_URL or"
            " ANNOTATOR_HOME",
        ),
    )


def _connection_fix(settings: Settings, error: AnnotatorError) -> str:
    if settings.database_url is None:
        return f"read {settings.home_folder()}/cluster/server.log"
    if isinstance(error, DatabaseUnavailableError):
        return (
            "make sure that the server is running and accepts connections from this machine;"
            " correct host and port in ANNOTATOR_DATABASE_URL"
        )
    return (
        "change what the message names: role, password, database or address in"
        " ANNOTATOR_DATABASE_URL, or the server itself"
    )
