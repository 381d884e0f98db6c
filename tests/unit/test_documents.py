"""Documents agree with the program."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import click
import pytest

from annotator.cli.commands import command_line
from annotator.domain.values.reading import ValueReader
from annotator.settings import Settings, description_of, load_settings
from tests.support import ROOT

SETTINGS = ROOT / "docs" / "reference" / "settings.md"
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BENCHMARK = re.compile(r"-m\s+(benchmarks[.\w]+)([^`\n]*)")


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def settings_table() -> str:
    """The table of settings, as it has to stand in the reference."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for item in fields(Settings):
        default = item.default
        if isinstance(default, bool):
            default = str(default).lower()  # as TOML has it
        shown = "" if default in (None, (), MISSING) else f"`{default}`"
        rows.append(f"| `{item.name}` | {shown} | {description_of(item.name)} |")
    return "\n".join(rows)


def test_every_setting_is_documented():
    found = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", SETTINGS.read_text(), re.S)
    assert found is not None
    assert found.group(1) == settings_table()


def test_the_example_of_fields_is_accepted(tmp_path):
    (example,) = re.findall(r"```toml\n(\[fields\..*?)```", SETTINGS.read_text(), flags=re.S)
    path = tmp_path / "annotator.toml"
    path.write_text(example)
    defined = load_settings({}, path).fields
    assert defined["tissue"].level == "group"
    assert defined["age"].limits == (0, 45, 70, 110)
    assert ValueReader(defined["disease"]).read("Cancer").value == "tumour"


def test_the_example_of_a_variable_is_accepted():
    (example,) = re.findall(r"`ANNOTATOR_FIELDS='(.*?)'`", SETTINGS.read_text())
    assert load_settings({"ANNOTATOR_FIELDS": example}).fields["tissue"].level == "group"


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made for readers."""
    headings = re.findall(r"^#+ (.*)", path.read_text(), flags=re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=names)
def test_links_lead_somewhere(path):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", path.read_text()):
        leads_to = path.parent / target if target else path
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to), f"{target}#{anchor}"


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


def test_tests_that_the_security_page_names_exist():
    text = (SETTINGS.parent / "security.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_document_is_linked_from_the_readme():
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text())
    linked = {(ROOT / target).resolve() for target in targets if "://" not in target}
    assert not set(DOCUMENTS) - linked - {ROOT / "README.md"}


def sections() -> dict[str, str]:
    """The name of each documented command, with what is written about it."""
    text = COMMANDS.read_text()
    commands = text[text.index("## Commands") : text.index("## Exit codes")]
    return dict(re.findall(r"^### `annotator (\w+).*?`\n(.*?)(?=^### |\Z)", commands, re.S | re.M))


def test_every_command_is_documented():
    assert set(sections()) == set(command_line.commands)


@pytest.mark.parametrize("name", command_line.commands)
def test_options_of_a_command_are_documented(name):
    options = {
        option
        for parameter in command_line.commands[name].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    assert set(re.findall(r"`(--[a-z-]+)", sections()[name])) == options


@pytest.mark.parametrize("name", command_line.commands)
def test_choices_of_an_option_are_documented(name):
    command = command_line.commands[name]
    context = click.Context(command)
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.type, click.Choice):
            choices = option.make_metavar(context).strip("[]")
            assert f"`{option.opts[-1]} {choices}`" in sections()[name]
