"""What every test needs: settings come from the test, never from the person who runs it."""

from __future__ import annotations

import os

import pytest

for _name in [name for name in os.environ if name.startswith(("ANNOTATOR_", "PG"))]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ANNOTATOR_", "PG"))]:
        monkeypatch.delenv(name)
