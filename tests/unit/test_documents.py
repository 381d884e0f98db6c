"""Documents say what is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from annotator.cli.commands import command_line
from annotator.settings import Settings

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def settings_table() -> str:
    """The table of settings, as it has to stand in the operations guide."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for item in fields(Settings):
        default = item.default
        shown = "" if default in (None, ()) else f"`{default}`"
        if isinstance(default, tuple) and default:
            shown = f"`{','.join(f'{value:g}' for value in default)}`"
        rows.append(f"| `{item.name}` | {shown} | {item.metadata['meaning']} |")
    return "\n".join(rows)


def test_every_setting_is_documented():
    found = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", OPERATIONS.read_text(), re.S)
    assert found is not None
    assert found.group(1) == settings_table()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for name in command_line.commands:
        assert f"annotator {name}" in text or f"make {name}" in text, name
