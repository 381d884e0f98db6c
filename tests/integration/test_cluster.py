"""Retraining on a real Dask cluster: a scheduler and two workers, some of which are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import distributed
import numpy as np
import pytest
from psycopg.conninfo import conninfo_to_dict

from annotator.domain.profiles import Profiles
from annotator.errors import (
    CohortError,
    NeedsPersonError,
    RetryableError,
    SettingsError,
)
from annotator.jobs.retrain.ablation import ablate
from annotator.jobs.retrain.ablation import as_json as ablation_json
from annotator.jobs.retrain.evaluate import as_json, evaluate
from annotator.jobs.retrain.mirror_source import MirrorSource
from annotator.jobs.retrain.retrain import retrain
from annotator.learn.running import cluster as cluster_module
from annotator.learn.running.cluster import Cluster
from annotator.learn.running.cluster_worker import packed, run_task
from annotator.learn.running.parallel import Parallelism, run_all
from annotator.settings import Settings
from annotator.store.server.connection import Database
from tests.support import ROOT, cluster_work
from tests.support.atlas import load_atlas
from tests.support.dask_cluster import DaskCluster, dask_cluster
from tests.support.databases import name_of, new_database
from tests.support.faults.processes import SETTINGS, url_of, wait_for
from tests.support.presets import LIGHT, LIGHT_WITHOUT_NETWORK
from tests.support.store import execute, rows

FAST = MappingProxyType(
    {
        "preset": str(LIGHT_WITHOUT_NETWORK),
        "folds": 3,
        "cross_validation_folds": 2,
        "workers": 1,
        "marker_count": 10,
        "similarity_samples": 5,
        "baseline_margin": -1.0,
    }
)
DATA = np.arange(300_000, dtype=np.float64).reshape(-1, 3)

TABLES = (
    *("artefact", "metric", "validation_prediction", "validation_curve", "label_suspicion"),
    *("class_marker", "class_similarity", "class_enrichment", "sample_map", "release_comparison"),
)
"""The tables that hold a release."""

COLUMNS = """
select string_agg(format('%%I::text', column_name), ', ' order by ordinal_position)
from information_schema.columns
where table_schema = 'annotator' and table_name = %s
    and column_name not in ('release_id', 'run_id') and data_type not like 'timestamp%%'
"""


def nothing(done: int, total: int) -> None:
    """Show no progress."""


def reader_url(database: Database) -> str:
    """Return the URL of a login that can only read."""
    user = conninfo_to_dict(database.conninfo)["user"]
    return url_of(database).replace(f"//{user}@", "//annotator_reader@")


@pytest.fixture(scope="module")
def loaded(server) -> Iterator[Database]:
    """The mirror that workers read; tests retrain on clones of it."""
    with new_database(server) as made:
        load_atlas(made)
        yield made


@pytest.fixture
def database(server, loaded) -> Iterator[Database]:
    with new_database(server, name_of(loaded)) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory, loaded) -> Iterator[DaskCluster]:
    """A scheduler and two workers; tests that kill a worker start another."""
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def cluster(shared, loaded) -> DaskCluster:
    for name in ("first", "second"):
        if name not in shared.workers:
            shared.start(name, ANNOTATOR_DATABASE_URL=reader_url(loaded))
    return shared


@pytest.fixture
def parallel(cluster) -> Parallelism:
    return Parallelism("dask", cluster=Cluster(cluster.address))


@pytest.fixture
def alone(tmp_path) -> Iterator[DaskCluster]:
    """A scheduler without workers."""
    with dask_cluster(tmp_path / "alone") as made:
        yield made


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(cluster_module, "PATIENCE_SECONDS", 2.0)


def on(cluster: DaskCluster, **more: object) -> Settings:
    return Settings(**{**FAST, **more}, parallel_backend="dask", dask_scheduler=cluster.address)


def released(database: Database) -> dict[str, list[str]]:
    """Return the rows of a release, without ids and times."""
    found = {}
    for table in TABLES:
        ((columns,),) = rows(database, COLUMNS, table)
        selected = rows(database, f"select {columns} from annotator.{table}")
        found[table] = sorted(map(repr, selected))
    return found


def live(database: Database) -> list[tuple]:
    return rows(database, "select release_id from annotator.release where status = 'live'")


def runs(database: Database) -> list[tuple]:
    return rows(database, "select status::text from annotator.training_run order by run_id")


# --- Calls ----------------------------------------------------------------------------------------


def test_workers_give_what_this_process_gives(parallel):
    seen: list[tuple[int, int]] = []
    here = run_all(cluster_work.column_sum, DATA, [0, 1, 2], Parallelism(), nothing)
    there = run_all(
        cluster_work.column_sum, DATA, [0, 1, 2], parallel, lambda *step: seen.append(step)
    )
    assert sorted(result[:2] for result in there) == [result[:2] for result in here]
    assert os.getpid() not in {result[2] for result in there}
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_an_error_keeps_its_kind_and_words(parallel):
    with pytest.raises(CohortError, match="cannot be done"):
        run_all(cluster_work.fail, None, [0, 1], parallel, nothing)


def test_a_bug_comes_with_the_traceback_of_the_worker(parallel):
    with pytest.raises(KeyError) as caught:
        run_all(cluster_work.bug, {}, [0], parallel, nothing)
    assert any("cluster_work.py" in note for note in caught.value.__notes__)


def test_a_call_whose_worker_is_killed_is_done_by_another(cluster, parallel, tmp_path):
    found = run_all(cluster_work.end_first_worker, str(tmp_path), range(5), parallel, nothing)
    assert sorted(found) == list(range(5))
    _forget_ended(cluster)


def test_data_that_were_lost_with_a_worker_are_sent_again(alone, tmp_path):
    alone.start("only")
    parallel = Parallelism("dask", cluster=Cluster(alone.address))

    def replaced(done: int, total: int) -> None:
        if done == 1:
            alone.start("next")
            alone.kill("only")

    found = run_all(cluster_work.column_sum, DATA, [0, 1, 2], parallel, replaced)
    assert sorted(number for number, _, _ in found) == [0, 1, 2]


def test_a_call_that_ends_every_worker_ends_the_run(alone, impatient):
    for name in ("first", "second", "third"):
        alone.start(name)
    parallel = Parallelism("dask", cluster=Cluster(alone.address))
    with pytest.raises(NeedsPersonError, match="ended during the same task"):
        run_all(cluster_work.end_every_worker, None, [0, 1, 2], parallel, nothing)


def test_a_worker_that_joins_later_gets_work(alone, tmp_path):
    parallel = Parallelism("dask", cluster=Cluster(alone.address))
    alone.start("first")

    def joined(done: int, total: int) -> None:
        if done == 1:
            alone.start("second")

    found = run_all(cluster_work.slow, None, range(12), parallel, joined)
    assert len(set(found)) == 2


def test_a_worker_with_several_threads_computes_one_call_at_a_time(alone, tmp_path):
    alone.start("wide", "--nthreads", "3")
    with distributed.Client(alone.address, set_as_default=False) as client:
        call = packed(cluster_work.one_at_a_time, str(tmp_path), None)
        versions = cluster_module.expected_versions()
        futures = [client.submit(run_task, call, number, versions) for number in range(4)]
        outcomes = client.gather(futures)
    assert [outcome.error for outcome in outcomes] == [None] * 4


def test_an_interrupt_takes_back_the_calls(cluster, parallel, tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(cluster_work.slow, None, range(6), parallel, interrupt)
    wait_for(lambda: not tasks(cluster) or None, 30, "the end of all tasks")


def tasks(cluster: DaskCluster) -> int:
    with distributed.Client(cluster.address, set_as_default=False) as client:
        return client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def _forget_ended(cluster: DaskCluster) -> None:
    """Have workers that ended by themselves replaced by the next test."""
    for name, process in list(cluster.workers.items()):
        if process.poll() is not None:
            del cluster.workers[name]


# --- Workers that are left out --------------------------------------------------------------------


def _other_version(folder: Path) -> dict[str, str]:
    made = folder / "other" / "srna_annotator-0.0.1.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: srna-annotator\nVersion: 0.0.1\n")
    return {"PYTHONPATH": f"{made.parent}:{ROOT}"}


def test_a_worker_of_another_version_is_left_out(cluster, parallel, tmp_path, caplog):
    cluster.start("old", **_other_version(tmp_path))
    try:
        found = run_all(cluster_work.slow, None, range(6), parallel, nothing)
        assert cluster.workers["old"].pid not in found
        assert len(set(found)) == 2
        (line,) = [record.getMessage() for record in caplog.records]
        assert "srna-annotator is 0.0.1" in line
    finally:
        cluster.kill("old")


def test_only_workers_of_another_version_are_an_error_for_a_person(alone, impatient, tmp_path):
    alone.start("old", **_other_version(tmp_path))
    parallel = Parallelism("dask", cluster=Cluster(alone.address))
    with pytest.raises(SettingsError, match=r"srna-annotator is 0\.0\.1"):
        run_all(cluster_work.column_sum, DATA, [0], parallel, nothing)


def test_a_worker_without_the_package_is_left_out(alone, impatient, tmp_path):
    without = tmp_path / "without.py"
    without.write_text("import sys\nsys.modules['annotator'] = None\n")
    alone.start("bare", "--preload", str(without))
    parallel = Parallelism("dask", cluster=Cluster(alone.address))
    with pytest.raises(SettingsError, match="annotator"):
        run_all(cluster_work.column_sum, DATA, [0], parallel, nothing)
    alone.start("whole")
    assert len(run_all(cluster_work.column_sum, DATA, [0, 1, 2], parallel, nothing)) == 3


def test_a_cluster_without_workers_can_be_tried_again(alone, impatient):
    parallel = Parallelism("dask", cluster=Cluster(alone.address))
    with pytest.raises(RetryableError, match="no workers"):
        run_all(cluster_work.column_sum, DATA, [0], parallel, nothing)


def test_a_scheduler_that_is_not_there_can_be_tried_again(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1)
    parallel = Parallelism("dask", cluster=Cluster("tcp://127.0.0.1:1"))
    with pytest.raises(RetryableError, match="cannot be reached") as caught:
        run_all(cluster_work.column_sum, DATA, [0], parallel, nothing)
    assert "\n" not in str(caught.value)


# --- Profiles -------------------------------------------------------------------------------------


def _profiles(database: Database) -> Profiles:
    from annotator.store.mirror.expression import read_profiles

    with database.connect() as connection:
        return read_profiles(connection).profiles


def test_workers_read_profiles_once_per_host_and_give_them_up(alone, loaded):
    profiles = _profiles(loaded)
    source = MirrorSource({}, {})
    for name in ("first", "second"):
        alone.start(name, ANNOTATOR_DATABASE_URL=reader_url(loaded))
    parallel = Parallelism("dask", cluster=Cluster(alone.address, source=source))
    here = cluster_work.total(profiles, 0)[0]
    found = run_all(cluster_work.total, profiles, range(8), parallel, nothing)
    assert {total for total, _ in found} == {here}
    assert len({process for _, process in found}) == 2
    (folder,) = alone.folder.glob("annotator-cohort-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert set(_mapping(folder)) == {process for _, process in found}
    alone.kill("first")  # as the kernel does if memory is short
    alone.workers["second"].terminate()
    alone.workers["second"].wait()
    assert not folder.exists()


def _mapping(folder: Path) -> set[int]:
    """Return the processes that map a file of a folder."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if str(folder) in maps.read_text():
                found.add(int(maps.parent.name))
        except OSError:
            continue
    return found


def test_profiles_are_not_sent(loaded):
    profiles = _profiles(loaded)
    sent = packed(cluster_work.total, profiles, MirrorSource({}, {}))
    names = sum(map(len, [*profiles.sample_ids, *profiles.features]))
    assert len(sent) < names + 16 * (len(profiles.sample_ids) + 2 * len(profiles.features))
    assert profiles.counts.data.tobytes()[:64] not in sent


def test_a_mirror_that_changed_in_the_meantime_ends_the_run(cluster, database):
    """The workers' mirror is that of before, so it looks to them as if it had changed."""
    execute(
        database,
        "update atlas.expression set counts[1] = counts[1] + 1 where sample_id = any("
        " select sample_id from atlas.annotation where field = 'tissue' order by 1 limit 2)",
    )
    with pytest.raises(RetryableError, match="reads 2 of"):
        retrain(database, on(cluster), "tissue")
    assert runs(database) == [("failed",)]


def test_a_worker_without_the_database_is_left_out(alone, database, loaded, impatient):
    alone.start("lost")
    with pytest.raises(SettingsError, match="ANNOTATOR_DATABASE_URL"):
        evaluate(database, on(alone), "tissue", "one-dataset-out")
    alone.start("set-up", ANNOTATOR_DATABASE_URL=reader_url(loaded))
    evaluate(database, on(alone), "tissue", "one-dataset-out")


# --- Jobs -----------------------------------------------------------------------------------------


def test_a_release_is_the_same_as_on_this_machine(server, cluster, database, loaded):
    settings = Settings(**{**FAST, "preset": str(LIGHT), "workers": 2})
    with new_database(server, name_of(loaded)) as here:
        assert retrain(here, settings, "sex").release_id
        expected = released(here)
    assert all(expected[name] for name in ("artefact", "metric", "class_similarity", "sample_map"))
    assert retrain(database, on(cluster, preset=str(LIGHT)), "sex").release_id
    assert released(database) == expected


@pytest.fixture(scope="module")
def expected(server, loaded) -> dict[str, list[str]]:
    """The release of tissue that this process makes."""
    with new_database(server, name_of(loaded)) as here:
        assert retrain(here, Settings(**FAST), "tissue").release_id
        return released(here)


def test_a_retraining_survives_the_end_of_a_worker(cluster, database, expected):
    def end_one(done: int, total: int) -> None:
        if done == 1:
            cluster.kill("first")

    assert retrain(database, on(cluster), "tissue", progress=end_one).release_id
    assert released(database) == expected


def test_the_end_of_the_scheduler_ends_the_run_and_the_next_one_works(
    cluster, alone, database, loaded, expected
):
    assert retrain(database, on(cluster), "tissue").status == "promoted"
    before = live(database)
    alone.start("first", ANNOTATOR_DATABASE_URL=reader_url(loaded))

    def end(done: int, total: int) -> None:
        if done == 1:
            alone.scheduler.kill()

    with pytest.raises(RetryableError, match="lost"):
        retrain(database, on(alone, seed=2), "tissue", progress=end)
    assert live(database) == before
    assert runs(database)[-1] == ("failed",)
    assert retrain(database, on(cluster, seed=2), "tissue").release_id


def test_evaluation_and_ablation_give_what_this_process_gives(cluster, database):
    for job, written in (
        (evaluate, lambda found: as_json("sex", "light", found)),
        (ablate, ablation_json),
    ):
        here = job(database, Settings(**FAST), "sex", "one-dataset-out")
        there = job(database, on(cluster), "sex", "one-dataset-out")
        assert written(there) == written(here)


def test_a_retraining_that_is_stopped_takes_back_its_calls(cluster, database, tmp_path):
    """The daemon runs a retraining as a process of its own, and stops it by SIGTERM."""
    given = {
        **SETTINGS,
        "PYTHONPATH": str(ROOT),
        "ANNOTATOR_DATABASE_URL": url_of(database),
        "ANNOTATOR_HOME": str(tmp_path / "home"),
        "ANNOTATOR_PARALLEL_BACKEND": "dask",
        "ANNOTATOR_DASK_SCHEDULER": cluster.address,
        "ANNOTATOR_FOLDS": "10",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "annotator", "retrain"],
            env=os.environ | given,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: tasks(cluster) or None, 120, "the first task")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()
    assert runs(database) == [("interrupted",)]
    wait_for(lambda: not tasks(cluster) or None, 30, "the end of all tasks")
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_settings_that_do_not_fit_are_refused_before_a_run_is_recorded(database):
    settings = Settings(**FAST, parallel_backend="dask")
    with pytest.raises(SettingsError, match="dask_scheduler"):
        retrain(database, settings, "tissue")
    with pytest.raises(SettingsError, match="dask_key"):
        retrain(database, replace(settings, dask_scheduler="tls://127.0.0.1:1"), "tissue")
    assert runs(database) == []


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, Path]:
    """An authority that nobody else knows, and a certificate that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes")
    for command in (
        [*new, "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        [*new, "-subj", "/CN=cluster", "-keyout", "key.pem", "-out", "request.pem"],
        [
            *("openssl", "x509", "-req", "-in", "request.pem", "-CA", "ca.pem"),
            *("-CAkey", "ca.key", "-CAcreateserial", "-out", "certificate.pem"),
        ],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {
        "ca_file": folder / "ca.pem",
        "certificate": folder / "certificate.pem",
        "key": folder / "key.pem",
    }


def test_an_encrypted_cluster_works_for_those_with_a_certificate(
    certificates, tmp_path, monkeypatch
):
    options = [
        *("--tls-ca-file", str(certificates["ca_file"])),
        *("--tls-cert", str(certificates["certificate"])),
        *("--tls-key", str(certificates["key"])),
    ]
    with dask_cluster(tmp_path / "encrypted", *options) as encrypted:
        assert encrypted.address.startswith("tls://")
        encrypted.start("first")
        parallel = Parallelism("dask", cluster=Cluster(encrypted.address, **certificates))
        assert len(run_all(cluster_work.column_sum, DATA, [0, 1], parallel, nothing)) == 2
        monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2)
        stranger = Cluster(encrypted.address.replace("tls", "tcp"))
        with pytest.raises(RetryableError, match="cannot be reached"):
            run_all(
                cluster_work.column_sum, DATA, [0], replace(parallel, cluster=stranger), nothing
            )
