"""What every test needs: settings come from the test, never from the person who runs it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import hypothesis
import pytest

from annotator.store.server import binaries
from tests.support import ROOT
from tests.support.servers import version_of

# Long files, to begin with: only the first needs the trained home, so no worker waits for it.
FIRST = tuple(
    ROOT / "tests" / name
    for name in (
        "acceptance/test_readme.py",
        "integration/test_kills.py",
        "integration/test_limits.py",
        "integration/test_soak.py",
        "integration/test_jobs.py",
        "integration/test_secrecy.py",
        "integration/test_explain.py",
        "integration/test_tampering.py",
        "integration/test_embedded.py",
        "acceptance/test_console.py",
        "acceptance/test_paper_page.py",
        "acceptance/test_whole_path.py",
        "acceptance/test_daemon.py",
        "acceptance/test_report_page.py",
    )
)

# Before anything imports NumPy, and for the commands that tests start: the matrices of tests are
# small, and threads of several workers on few cores spend ten times as long on waiting.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

for _name in [name for name in os.environ if name.startswith(("ANNOTATOR_", "PG"))]:
    del os.environ[_name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let integration tests run on another server than the embedded one."""
    parser.addoption(
        "--postgresql",
        type=Path,
        metavar="FOLDER",
        help="folder of the programs (initdb, postgres) of the server for integration tests",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Name the version of the server."""
    programs = config.getoption("--postgresql")
    found = f"{version_of(programs)} in {programs}" if programs else version_of(binaries.folder())
    return f"PostgreSQL: {found}{'' if programs else ' (embedded)'}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first: one left to the end would keep a single worker busy."""
    items.sort(key=lambda item: FIRST.index(item.path) if item.path in FIRST else len(FIRST))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ANNOTATOR_", "PG"))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_logging_from_before() -> None:
    """Undo what an earlier test of this process set: a level would hide lines from the next."""
    for name in ("annotator", "apscheduler", "sqlalchemy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
