"""Documents say what is so."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

import pytest

from annotator.cli.commands import command_line
from annotator.settings import Settings, description_of
from tests.support import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BENCHMARK = re.compile(r"-m\s+(benchmarks[.\w]+)([^`\n]*)")


def settings_table() -> str:
    """The table of settings, as it has to stand in the operations guide."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for item in fields(Settings):
        # The built-in fields are not a value of one line.
        shown = "" if item.default in (None, (), MISSING) else f"`{item.default}`"
        rows.append(f"| `{item.name}` | {shown} | {description_of(item.name)} |")
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


def benchmark_commands() -> list[tuple[str, list[str]]]:
    """The modules that documents run, each with its options."""
    return sorted(
        (module, re.findall(r"--[a-z-]+", rest))
        for path in DOCUMENTS
        for module, rest in BENCHMARK.findall(path.read_text())
    )


@pytest.mark.parametrize(("module", "options"), benchmark_commands())
def test_a_benchmark_that_a_document_runs_has_its_options(module, options):
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert [option for option in options if f'"{option}"' not in source] == []
