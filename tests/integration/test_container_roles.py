"""The secrets and roles of docker-compose.yml give the rights that are needed, and no more."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store.server.connection import Database
from annotator.store.server.schema import migrate
from tests.support.containers import made_database

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="secrets are given to users by root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="module")
def login(folder):
    """Return the database as the user of a secret sees it; migrated by its owner."""
    with made_database(folder) as conninfo:
        port = conninfo_to_dict(conninfo)["port"]

        def log_in(name: str) -> Database:
            url = (folder / f"secrets/{name}_url").read_text()
            return Database(make_conninfo(url, hostaddr="127.0.0.1", port=port))

        migrate(log_in("owner"))
        yield log_in


def test_a_secret_can_be_read_by_one_user_only(login, folder):
    seen = {each.name: each.stat() for each in (folder / "secrets").iterdir()}
    assert {name: (f"{of.st_mode & 0o777:o}", of.st_uid) for name, of in seen.items()} == {
        "postgres_password": ("400", 999),
        "owner_password": ("400", 999),
        "daemon_password": ("400", 999),
        "reader_password": ("400", 999),
        "owner_url": ("400", 10001),
        "daemon_url": ("400", 10001),
        "reader_url": ("400", 10001),
    }


@pytest.mark.parametrize("name", ["owner", "daemon", "reader"])
def test_no_login_has_rights_on_the_server(login, name):
    with login(name).connect() as connection:
        rights = connection.execute(
            "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
            " from pg_catalog.pg_roles where rolname = current_user"
        ).fetchone()
    assert rights == (False,) * 5


def test_the_daemon_writes_provenance_but_changes_no_structure(login):
    with login("daemon").connect() as connection:
        connection.execute("insert into annotator.annotation_run (worker, host) values ('w', 'h')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table annotator.mine ()")


def test_the_workers_of_a_cluster_read_the_mirror_and_write_nothing(login):
    with login("reader").connect() as connection:
        connection.execute("select count(*) from atlas.expression")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("insert into atlas.dataset (dataset_id) values ('mine')")
