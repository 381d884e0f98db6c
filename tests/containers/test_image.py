"""The image, built and run as docker-compose.yml says: unprivileged, on a read-only root."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from psycopg.conninfo import conninfo_to_dict

from annotator.atlas.simulate import write_atlas
from tests.support.atlas import small_atlas
from tests.support.containers import COMPOSE, TOOLS, Image, built_image, made_database
from tests.support.presets import LIGHT

QUICK = {
    "ANNOTATOR_PRESET": "/tmp/light.toml",
    "ANNOTATOR_FOLDS": "2",
    "ANNOTATOR_CROSS_VALIDATION_FOLDS": "0",
    "ANNOTATOR_BASELINE_MARGIN": "-1",  # every candidate goes live
}
pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and Debian's {', '.join(missing or TOOLS)}")
    with built_image() as built:
        yield built


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of the compose file."""
    return tmp_path_factory.mktemp("compose")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[str]:
    with made_database(folder) as conninfo:
        yield str(conninfo_to_dict(conninfo)["port"])


@pytest.fixture(scope="module")
def migration(image: Image, folder: Path, port: str) -> CompletedProcess[str]:
    return image.run("migrate", folder=folder, PGPORT=port)


@pytest.fixture
def daemon(image: Image, folder: Path, port: str, migration) -> Iterator[Popen[str]]:
    """The daemon, once the health check passes."""
    process = image.start("annotator", folder=folder, PGPORT=port)
    check = COMPOSE["services"]["annotator"]["healthcheck"]["test"][1:]
    deadline = time.monotonic() + 120
    while image.run("annotator", *check, folder=folder, PGPORT=port).returncode != 0:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(1)
    yield process
    process.kill()
    process.communicate()


def test_the_migration_succeeds(migration):
    assert migration.returncode == 0, migration.stderr


def test_the_daemon_is_healthy_and_stops_in_order(daemon):
    daemon.send_signal(signal.SIGTERM)
    _, err = daemon.communicate(timeout=120)
    assert daemon.returncode == 0, err
    assert "Traceback" not in err


def test_the_daemon_has_no_rights_to_spare(daemon):
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_no_password_stands_where_other_processes_see_it(daemon, folder):
    seen = [Path(f"/proc/{daemon.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    password = (folder / "secrets/daemon_password").read_bytes()
    assert not any(password in each for each in seen)


@pytest.mark.parametrize("service", ["migrate", "annotator"])
def test_the_root_cannot_be_written(image, folder, service):
    own = f"{image.configuration['WorkingDir']}/file"
    ended = image.run(service, "touch", own, folder=folder)
    assert "Read-only file system" in ended.stderr


@pytest.fixture
def cluster(image: Image, folder: Path, port: str, migration) -> Iterator[None]:
    """A scheduler and a worker of the profile for it."""
    processes = [image.start(name, folder=folder, PGPORT=port) for name in ("scheduler", "worker")]
    yield
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_retraining_runs_on_the_cluster(image, folder, port, cluster):
    shutil.copy(LIGHT, folder / "scratch/light.toml")
    write_atlas(small_atlas(), folder / "scratch/atlas")
    files = [f"/tmp/atlas/{name}" for name in ("counts_srna.tsv.gz", "samples.tsv")]
    command = [*image.configuration["Entrypoint"], "import", *files]
    command += ["--ontology", "/tmp/atlas/ontology.tsv"]
    imported = image.run("migrate", *command, folder=folder, PGPORT=port)
    assert imported.returncode == 0, imported.stderr
    settings = QUICK | {
        "ANNOTATOR_PARALLEL_BACKEND": "dask",
        "ANNOTATOR_DASK_SCHEDULER": "tcp://scheduler:8786",
        "PGPORT": port,
    }
    command = [*image.configuration["Entrypoint"], "retrain", "--field", "tissue"]
    ended = image.run("annotator", *command, folder=folder, **settings)
    assert ended.returncode == 0, ended.stderr
    assert "live" in ended.stdout


def test_the_demo_runs_in_it(image, folder, migration):
    shutil.copy(LIGHT, folder / "scratch/light.toml")
    settings = QUICK | {"ANNOTATOR_HOME": "/tmp/home", "ANNOTATOR_DATABASE_URL_FILE": ""}
    command = (*image.configuration["Entrypoint"], "demo")
    ended = image.run("annotator", *command, folder=folder, **settings)
    assert ended.returncode == 0, ended.stderr
