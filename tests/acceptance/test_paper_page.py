"""Every command of the page on the paper runs, and every file that it names is written.

The paper's preset itself is run by the test of the README's commands; here it has few trees.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from tests.support import ROOT
from tests.support.presets import LIGHT_PAPER

PAGE = (ROOT / "docs" / "method" / "paper.md").read_text(encoding="utf-8")


def commands():
    """The commands of the page: settings and arguments."""
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            place = words.index(".venv/bin/annotator")
            yield dict(word.split("=", 1) for word in words[:place]), words[place + 1 :]


@pytest.mark.parametrize(("settings", "arguments"), list(commands()))
def test_a_command_runs_and_leaves_its_file(trained, tmp_path, settings, arguments):
    if "SAMPLE" in arguments:
        (row,) = trained.rows("select min(sample_id) as name from atlas.sample")
        arguments = [row["name"] if word == "SAMPLE" else word for word in arguments]
    arguments = [str(LIGHT_PAPER) if word == "paper" else word for word in arguments]
    replace(trained, folder=tmp_path).run(*arguments, **settings)
    for option in ("--figure", "--svg", "--out"):
        if option in arguments:
            assert (tmp_path / arguments[arguments.index(option) + 1]).exists()


def test_the_report_has_the_figures_that_the_page_names(trained, tmp_path):
    trained.run("annotate")
    trained.run("report", "--out", str(tmp_path))
    drawn = {path.name for path in tmp_path.glob("release-*/*.svg")}
    named = set(re.findall(r"`([\w-]+\.svg)`", PAGE)) - {"accuracy-of-classes-of-15.svg"}
    assert named <= drawn
