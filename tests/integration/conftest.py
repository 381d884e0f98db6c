"""One real PostgreSQL for the whole run, and a clean migrated database for each test.

All workers of a parallel run share the server: it lives under the run's common
temporary folder, and the embedded server serves any number of users at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from annotator.settings import Settings
from annotator.store.server.connection import Database
from annotator.store.server.embedded import running_server
from tests.support.databases import EMPTY, make_migrated, new_database
from tests.support.presets import LIGHT_FOREST
from tests.support.servers import server_of
from tests.support.store import SEARCH_PATH, as_daemon


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, request) -> Iterator[str]:
    """Connection string of the superuser, to database ``annotator``."""
    programs = request.config.getoption("--postgresql")
    if programs is not None:  # one per worker: it is stopped with the tests that use it
        with server_of(programs) as conninfo:
            make_migrated(conninfo)
            yield conninfo
        return
    with running_server(_run_folder(tmp_path_factory) / "server") as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            # A test database need not survive a power failure.
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set full_page_writes = off")
            # It would change statistics, and with them plans, at any moment.
            connection.execute("alter system set autovacuum = off")
            connection.execute("select pg_reload_conf()")
        make_migrated(conninfo)
        yield conninfo


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    """A clean database at the current schema."""
    with new_database(server) as made:
        yield made


@pytest.fixture
def empty_database(server: str) -> Iterator[Database]:
    """A database without any schema of ours."""
    with new_database(server, EMPTY) as made:
        yield made


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """The superuser's connection to it; autocommit off, and names need no schema."""
    with database.connect() as opened:
        opened.execute(SEARCH_PATH)
        opened.commit()
        yield opened


@pytest.fixture
def daemon(database: Database, connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection with the rights of the daemon; the superuser's is open beside it."""
    with as_daemon(database) as opened:
        yield opened


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings whose URL leads to it."""
    parts = conninfo_to_dict(database.conninfo)
    url = f"postgresql://{parts['user']}@:{parts['port']}/{parts['dbname']}?host={parts['host']}"
    return Settings(home=tmp_path / "home", database_url=url)


@dataclass(frozen=True)
class Reviewable:
    """A live tissue release, and what it said; ``ids`` by sample."""

    release_id: int
    ids: dict[str, int]


_REVIEWABLE = """
insert into atlas.dataset (dataset_id) values ('D1'), ('D2');
insert into atlas.sample (sample_id, dataset_id)
values ('a', 'D1'), ('b', 'D1'), ('c', 'D2'), ('d', 'D2');
insert into atlas.term (term_id, name)
values ('liver', 'liver'), ('lung', 'lung'), ('organ', 'organ'), ('cortex', 'cortex');
insert into atlas.term_parent values ('liver', 'organ'), ('lung', 'organ');
insert into atlas.annotation (sample_id, field, value) values ('d', 'tissue', 'blood');
insert into annotator.training_run (field, preset, seed, host, status, finished_at)
values ('tissue', 'default', 1, 'here', 'succeeded', now());
insert into annotator.release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{liver,lung}', 10, now() from annotator.training_run;
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, reason, models
)
select
    s.sample_id, s.dataset_id, 'tissue', r.release_id, repeat('0', 64), s.updated_at, made.value,
    array[made.value, 'organ'], made.confidence, made.status::annotator.prediction_status,
    made.reason, '{"network": {"value": "liver", "probability": 0.9}}'
from annotator.release r
cross join (values
    ('a', 'liver', 0.9, 'suggested', null),
    ('b', 'liver', 0.8, 'suggested', null),
    ('c', 'lung', 0.6, 'suggested', null),
    ('d', 'lung', 0.3, 'abstained', 'not sure enough')
) as made (sample_id, value, confidence, status, reason)
join atlas.sample s using (sample_id);
"""


@pytest.fixture(scope="session")
def make_reviewable() -> Callable[[psycopg.Connection], Reviewable]:
    """Make them in any migrated database; committed."""

    def make(connection: psycopg.Connection) -> Reviewable:
        connection.execute(_REVIEWABLE)
        query = "select sample_id, prediction_id, release_id from annotator.prediction"
        found = connection.execute(query).fetchall()
        connection.commit()
        return Reviewable(found[0][2], {sample: prediction for sample, prediction, _ in found})

    return make


@pytest.fixture
def reviewable(connection: psycopg.Connection, make_reviewable) -> Reviewable:
    """Four committed predictions in two datasets, one of them an abstention."""
    return make_reviewable(connection)


@pytest.fixture
def job_settings(settings: Settings) -> Settings:
    """Settings with a small preset, for tests of what jobs do with the samples."""
    return replace(
        settings,
        preset=str(LIGHT_FOREST),
        folds=2,
        cross_validation_folds=0,
        workers=1,
        marker_count=10,
        similarity_samples=5,
        baseline_margin=-1.0,
    )
