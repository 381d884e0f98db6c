"""The schema and the rights on every version of PostgreSQL that this machine has.

``--postgresql FOLDER`` runs all other integration tests on one of them, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from annotator.errors import NeedsPersonError
from annotator.jobs.watch.doctor.connection import check_connection
from annotator.store.answers import work
from annotator.store.server import binaries
from annotator.store.server.connection import MINIMUM_POSTGRESQL, Database
from annotator.store.server.query import run_query
from annotator.store.server.schema import REQUIRED_REVISION, downgrade, migrate
from annotator.store.watch.daemons import snapshot
from tests.support.servers import installed, server_of
from tests.support.store import add_release, add_samples, execute, rows

# The other integration tests run on the embedded version.
EMBEDDED = int(binaries.major_version(binaries.folder()))
OTHERS = {
    major: programs
    for major, programs in sorted(installed().items())
    if major >= MINIMUM_POSTGRESQL and major != EMBEDDED
}
pytestmark = pytest.mark.skipif(not OTHERS, reason="no other version of PostgreSQL is installed")


@pytest.fixture(
    scope="module", params=[pytest.param(OTHERS[each], id=f"{each}") for each in OTHERS]
)
def owner(request) -> Iterator[Database]:
    """A migrated database, as its owner, who may create roles but is no superuser."""
    with server_of(request.param) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as superuser:
            superuser.execute("create role owner login createrole")
            superuser.execute("create database atlas owner owner")
        made = Database(make_conninfo(conninfo, user="owner", dbname="atlas"))
        migrate(made)
        for role in ("daemon", "curator", "reader"):
            execute(made, f"create role {role} login in role annotator_{role}")
        execute(made, "create role stranger login")
        yield made


def login(database: Database, role: str) -> Database:
    return Database(make_conninfo(database.conninfo, user=role))


@pytest.mark.parametrize(
    ("role", "assumed"),
    [
        ("curator", "annotator_curator"),
        ("reader", "annotator_reader"),
    ],
)
def test_sql_runs_as_the_role_of_the_login(owner, role, assumed):
    assert run_query(login(owner, role), "select current_user").rows == [(assumed,)]


def test_sql_is_refused_to_the_owner(owner):
    with pytest.raises(NeedsPersonError, match="log in as a curator"):
        run_query(owner, "select 1")


def test_sql_is_refused_to_a_stranger(owner):
    execute(owner, "grant usage on schema annotator to stranger")
    execute(owner, "grant select on annotator.alembic_version to stranger")
    with pytest.raises(NeedsPersonError, match="neither a curator nor a reader"):
        run_query(login(owner, "stranger"), "select 1")


def test_a_daemon_claims_and_a_migration_is_repeated(owner):
    with owner.connect() as connection:
        add_samples(connection, "a", "b")
        release = add_release(connection)
    with login(owner, "daemon").connect() as connection:
        work.queue_pending(connection, "tissue", release)
        assert len(work.claim(connection, "w", "tissue", release, 10, 60)) == 2
        assert snapshot(connection).samples == 2
        assert work.release_claims(connection, "w") == 2
    assert migrate(owner)[:2] == (REQUIRED_REVISION, REQUIRED_REVISION)


def test_the_doctor_has_nothing_against_the_version(owner):
    with owner.connect() as connection:
        assert [finding.level for finding in check_connection(connection)] == ["ok"]


def test_every_view_can_be_read(owner):
    views = rows(owner, "select viewname from pg_views where schemaname = 'annotator'")
    with login(owner, "daemon").connect(autocommit=True) as connection:
        for (view,) in views:
            connection.execute(f"select * from annotator.{view}")
    assert len(views) > 10


def test_the_schema_can_be_removed(owner):
    """Last, because nothing is left of it."""
    downgrade(owner)
    assert rows(owner, "select from pg_namespace where nspname = 'annotator'") == []
