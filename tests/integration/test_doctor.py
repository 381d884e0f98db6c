"""The doctor: break each thing, and see it named together with what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from annotator.cli.commands import command_line
from annotator.cli.watch_text import findings_lines
from annotator.jobs.watch.doctor import clock, connection, disk
from annotator.jobs.watch.doctor.examine import examine
from annotator.jobs.watch.doctor.findings import Finding
from annotator.learn.release.json_files import FORMAT
from annotator.settings import Settings
from annotator.store.server.health import ServerFacts
from annotator.store.watch import daemons as service
from tests.support.crafted import CRAFTED
from tests.support.stored_releases import put_live, stored


def findings(settings: Settings, subject: str, *, quick: bool = True) -> list[Finding]:
    return [finding for finding in examine(settings, quick=quick) if finding.subject == subject]


def troubles(settings: Settings, subject: str, *, quick: bool = True) -> list[tuple[str, str]]:
    found = findings(settings, subject, quick=quick)
    assert all((finding.fix is None) == (finding.level == "ok") for finding in found)
    return [(finding.level, finding.found) for finding in found if finding.level != "ok"]


def execute(database: Any, *statements: str) -> None:
    with database.connect(autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


STOCKED = (
    "insert into atlas.dataset (dataset_id) values ('D1')",
    "insert into atlas.sample (sample_id, dataset_id) values ('a', 'D1')",
    "insert into atlas.expression values ('a', 0, '{}', '{}')",
    "insert into annotator.training_run (field, preset, seed, host, status, finished_at)"
    " values ('tissue', 'default', 1, 'here', 'succeeded', now())",
    "insert into annotator.release (field, run_id, status, classes, features, promoted_at, digests)"
    " select 'tissue', run_id, 'live', '{liver,lung}', 10, now(),"
    " jsonb_build_object('model.json', encode(sha256('{}'), 'hex')) from annotator.training_run",
    "insert into annotator.artefact (release_id, name, media_type, sha256, size, content)"
    " select release_id, 'model.json', 'application/json', encode(sha256('{}'), 'hex'), 2, '{}'"
    " from annotator.release",
)


@pytest.fixture
def stocked(database: Any) -> Any:
    """A database with a sample, a live release and a daemon; nothing is wrong with it."""
    execute(database, *STOCKED)
    with database.connect() as conn:
        from annotator import __version__

        service.beat(conn, "w1", "here", 1, __version__, "idle")
    return database


def test_features_that_are_no_rna_are_named(settings: Settings, stocked: Any) -> None:
    execute(
        stocked,
        "insert into atlas.feature (name, kind) values ('__no_feature', 'srna'), ('Total', 'srna')",
        "update atlas.expression set nnz = 1, counts = '{5}', feature_ids ="
        " (select array[feature_id] from atlas.feature where name = '__no_feature')",
    )
    ((level, found),) = troubles(settings, "mirror")
    assert level == "warning"
    assert "1 sample has" in found
    assert "__no_feature" in found


def test_nothing_is_wrong_with_a_good_set_up(stocked: Any, settings: Settings) -> None:
    found = examine(settings, quick=True)
    # Tests log in as the superuser of the server.
    assert [finding.found for finding in found if finding.level != "ok"] == [
        "annotator is a superuser"
    ]
    assert [finding.subject for finding in found if finding.level == "ok"] == [
        "connection", "clock", "schema", "mirror", "roles", "artefacts", "daemons", "disk",
    ]  # fmt: skip


BREAKAGES: dict[str, tuple[str, str, str, str]] = {
    "a newer schema": (
        "update annotator.alembic_version set version_num = '9999'",
        "schema", "wrong", "newer than that of this version",
    ),
    "an older schema": (
        "update annotator.alembic_version set version_num = '0001'",
        "schema", "wrong", "at schema revision 0001",
    ),
    "a schema that was never published": (
        "drop table annotator.release_comparison cascade;"
        " update annotator.alembic_version set version_num = '0003'",
        "schema", "wrong", "revision 0003 of a version of annotator that was never published",
    ),
    "no schema": ("drop schema annotator cascade", "schema", "wrong", "no annotator schema"),
    "a read-only database": (
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on',"
        " current_database()); end $$",
        "connection", "wrong", "is read-only",
    ),
    "a daemon that may not write": (
        "revoke insert on annotator.prediction from annotator_daemon",
        "roles", "wrong", "annotator_daemon: insert on annotator.prediction",
    ),
    "a mirror nobody may read": (
        "revoke usage on schema atlas from annotator_reader",
        "roles", "wrong", "annotator_reader: select on atlas.dataset",
    ),
    "a curator who may not decide": (
        "revoke execute on function annotator.accept_suggestion(bigint, text)"
        " from annotator_curator",
        "roles", "wrong", "annotator_curator: execute on annotator.accept_suggestion",
    ),
    "a daemon that may write the mirror": (
        "grant update on atlas.sample to annotator_daemon",
        "roles", "wrong", "annotator_daemon: update on atlas.sample",
    ),
    "everybody may delete reviews": (
        "grant delete on annotator.review to public",
        "roles", "wrong", "annotator_curator: delete on annotator.review",
    ),
    "a daemon that may make tables": (
        "grant create on schema annotator to annotator_daemon",
        "roles", "wrong", "annotator_daemon: create in schema annotator",
    ),
    "a daemon that may rewrite releases": (
        "grant update on annotator.release to annotator_daemon",
        "roles", "wrong", "annotator_daemon: update on annotator.release",
    ),
    "a reader who may read models": (
        "grant select (content) on annotator.artefact to annotator_reader",
        "roles", "wrong", "annotator_reader: select on annotator.artefact",
    ),
    "an event log that can be changed": (
        "alter table annotator.event disable trigger append_only",
        "roles", "wrong", "append_only on annotator.event",
    ),
    "everybody may make objects in public": (
        "grant create on schema public to public",
        "roles", "warning", "may create objects in schema public",
    ),
    "a role with settings": (
        "do $$ begin execute format('alter role annotator_curator in database %I set search_path ="
        " public', current_database()); end $$",
        "roles", "warning", "annotator_curator: search_path=public",
    ),
    "a missing relation": (
        "alter table atlas.term_parent rename to gone",
        "mirror", "wrong", "atlas.term_parent missing",
    ),
    "a column of another type": (
        "alter table atlas.dataset alter title type integer using 0",
        "mirror", "wrong", "atlas.dataset.title must be text",
    ),
    "samples that come twice": (
        "alter table atlas.sample rename to kept;"
        " create view atlas.sample as select * from atlas.kept union all select * from atlas.kept;"
        " grant select on atlas.sample to annotator_daemon, annotator_curator, annotator_reader",
        "mirror", "wrong", "1 rows more than samples",
    ),
    "samples without a time": (
        "alter table atlas.sample alter updated_at drop not null;"
        " update atlas.sample set updated_at = null",
        "mirror", "warning", "1 samples have no updated_at",
    ),
    "samples without counts": (
        "delete from atlas.expression", "mirror", "warning", "1 of 1 samples have no row",
    ),
    "features of another kind": (
        "alter table atlas.feature drop constraint feature_kind_check;"
        " insert into atlas.feature (name, kind) values ('x', 'gene')",
        "mirror", "wrong", "of kind gene",
    ),
    "an empty mirror": ("truncate atlas.sample cascade", "mirror", "warning", "is empty"),
    "no live release": (
        "update annotator.release set status = 'rejected'",
        "artefacts", "warning", "no release is live",
    ),
    "a damaged file": (
        "alter table annotator.artefact drop constraint content_is_what_it_was;"
        " update annotator.artefact set content = '[]'",
        "artefacts", "wrong", "release 1 of tissue: model.json damaged",
    ),
    "a file of another release": (
        "update annotator.artefact set content = '[]', sha256 = encode(sha256('[]'), 'hex')",
        "artefacts", "wrong", "release 1 of tissue: model.json damaged",
    ),
    "files that are gone": (
        "delete from annotator.artefact", "artefacts", "wrong", "no stored models",
    ),
    "no daemon": ("delete from annotator.heartbeat", "daemons", "warning", "no daemon is running"),
    "a stuck daemon": (
        "update annotator.heartbeat set state = 'needs a person'",
        "daemons", "wrong", "w1 on here needs a person",
    ),
    "a daemon of another version": (
        "update annotator.heartbeat set version = '0.0.1'",
        "daemons", "warning", "is version 0.0.1",
    ),
    "a log from the future": (
        "insert into annotator.event (kind, at) values ('x', now() + interval '2 hours')",
        "clock", "wrong", "was set back",
    ),
}  # fmt: skip


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_what_is_broken_is_named(stocked: Any, settings: Settings, breakage: str) -> None:
    statement, subject, level, words = BREAKAGES[breakage]
    execute(stocked, statement)
    found = troubles(settings, subject)
    assert any(found_level == level and words in text for found_level, text in found), found
    # The other subjects say what they can, and nothing more is called wrong.
    others = [f for f in examine(settings, quick=True) if f.subject != subject]
    assert [f for f in others if f.level == "wrong"] == []


def test_of_an_empty_database_only_the_migration_is_missing(
    database: Any, settings: Settings
) -> None:
    execute(database, "drop schema annotator cascade", "drop schema atlas cascade")
    wrong = [finding for finding in examine(settings, quick=True) if finding.level == "wrong"]
    assert [finding.subject for finding in wrong] == ["schema"]
    assert "annotator migrate" in str(wrong[0].fix)


def test_a_role_without_rights_is_told_what_to_be_granted(stocked: Any, settings: Settings) -> None:
    name = conninfo_to_dict(stocked.conninfo)["dbname"]
    role = f"stranger_{name}"
    identifier = sql.Identifier(role)
    with stocked.connect(autocommit=True) as conn:
        conn.execute(sql.SQL("create role {} login").format(identifier))
        try:
            stranger = replace(
                settings,
                database_url=settings.database_url.replace("//annotator@", f"//{role}@"),
            )
            assert troubles(stranger, "schema") == [
                ("wrong", f"role '{role}' may not read schema annotator; grant it one of"
                          " annotator_daemon, annotator_curator, annotator_reader")
            ]  # fmt: skip
            conn.execute(sql.SQL("grant annotator_daemon to {}").format(identifier))
            assert troubles(stranger, "roles") == []
            (good,) = findings(stranger, "roles")
            assert good.found.endswith("with the rights of annotator_daemon")
        finally:
            conn.execute(sql.SQL("drop role {}").format(identifier))


def test_models_that_do_not_load_are_found_without_quick(stocked: Any, settings: Settings) -> None:
    assert troubles(settings, "artefacts") == []
    ((level, found),) = troubles(settings, "artefacts", quick=False)
    assert level == "wrong"
    assert "features.safetensors" in found or "model.json" in found


@pytest.mark.parametrize("name", ["a pseudocount of 0", "-1 trees", "directions that make NaN"])
def test_models_that_cannot_be_used_are_found(database: Any, settings: Settings, name: str) -> None:
    with database.connect() as conn:
        put_live(conn, CRAFTED[name](stored(FORMAT)))
    assert [level for level, _ in troubles(settings, "artefacts", quick=False)] == ["wrong"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me@127.0.0.1:1/atlas", "cannot be reached"),
        ("postgresql:///nowhere?host={host}&user=annotator", "refuses the login"),
        ("http://somewhere", "not a PostgreSQL URL"),
    ],
)
def test_a_database_that_cannot_be_had(
    settings: Settings, server: str, url: str, words: str
) -> None:
    url = url.format(host=conninfo_to_dict(server)["host"])
    found = examine(replace(settings, database_url=url), quick=True)
    assert [finding.subject for finding in found] == ["connection", "disk"]
    assert words in found[0].found
    assert found[0].fix


def test_an_embedded_database_that_was_never_made_is_not_made(tmp_path: Any) -> None:
    home = tmp_path / "home"
    found = examine(Settings(home=home), quick=True)
    assert found[0].level == "wrong"
    assert "annotator migrate" in (found[0].fix or "")
    assert not home.exists()


def test_a_full_or_read_only_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    embedded = replace(settings, database_url=None, home=tmp_path)

    def free(size: int) -> Callable[[object], object]:
        return lambda folder: SimpleNamespace(free=size)

    levels = []
    for size in (10 * disk.LOW, disk.LOW - 1, disk.TOO_LOW - 1):
        monkeypatch.setattr(shutil, "disk_usage", free(size))
        levels.append([finding.level for finding in disk.check_disk(embedded)])
    assert levels == [["ok", "ok"], ["warning", "warning"], ["wrong", "wrong"]]

    def refuse(**_options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", refuse)
    assert all("Read-only" in finding.found for finding in disk.check_disk(embedded))


@pytest.mark.parametrize(
    ("minutes", "level", "words"),
    [
        (0, "ok", "agree"),
        (1, "warning", "60 s ahead"),
        (60, "wrong", "ahead"),
        (-60, "wrong", "behind"),
    ],
)
def test_a_clock_that_is_off(
    stocked: Any,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    level: str,
    words: str,
) -> None:
    class Host(datetime):
        @classmethod
        def now(cls, zone: Any = None) -> datetime:
            return datetime.now(zone) - timedelta(minutes=minutes)

    monkeypatch.setattr(clock, "datetime", Host)
    with stocked.connect() as conn:
        first, *_ = clock.check_clock(conn)
    assert first.level == level
    assert words in first.found
    assert datetime.now(UTC)


def test_a_server_that_is_new_or_nearly_full_or_not_in_utf8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = ServerFacts(990001, "99.1", "me", "atlas", False, False, 81, 100, "LATIN1")
    monkeypatch.setattr(connection, "server_facts", lambda _connection: facts)
    found = list(connection.check_connection(None))  # type: ignore[arg-type]
    assert [finding.level for finding in found] == ["warning", "wrong", "warning", "ok"]
    assert "99.1" in found[0].found
    assert "LATIN1" in found[1].found
    assert "81 of 100" in found[2].found


def test_the_command_exits_1_when_something_is_wrong(
    stocked: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANNOTATOR_DATABASE_URL", settings.database_url or "")
    runner = CliRunner()
    good = runner.invoke(command_line, ["doctor", "--quick"])
    assert good.exit_code == 0, good.output
    execute(stocked, "delete from annotator.artefact")
    bad = runner.invoke(command_line, ["doctor", "--quick", "--json"])
    assert bad.exit_code == 1
    wrong = [f for f in json.loads(bad.stdout)["findings"] if f["level"] == "wrong"]
    assert [f["subject"] for f in wrong] == ["artefacts"]
    assert "retrain" in wrong[0]["fix"]


def test_values_that_are_not_used_are_counted(stocked, settings) -> None:
    execute(
        stocked,
        "insert into atlas.sample (sample_id, dataset_id)"
        " select name, 'D1' from unnest('{b,c,d}'::text[]) as name",
        "insert into atlas.annotation (sample_id, field, value) values ('a', 'sex', 'm'),"
        " ('b', 'sex', 'x1'), ('c', 'sex', 'x1'), ('d', 'sex', 'NA'), ('a', 'age', 'NA')",
    )
    age, sex = sorted(findings(settings, "labels"), key=lambda each: each.values.field)
    assert (age.level, sex.level) == ("ok", "warning")
    assert "1 of 4 values of sex" in sex.found
    assert "synonyms" in sex.fix
    shown = findings_lines([sex])
    assert "3 are not: 'x1' 2" in shown
    assert "'NA' 1 (missing)" in shown


def test_a_class_that_means_missing_is_a_warning(stocked, settings) -> None:
    execute(stocked, "update annotator.release set classes = '{liver,NA}'")
    ((level, found),) = troubles(settings, "labels")
    assert level == "warning"
    assert "'NA'" in found
