"""Commands that need no model import none."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("tensorflow", "keras", "sklearn", "pandas", "xgboost", "scipy", "numpy", "sqlalchemy"),
    *("dask", "distributed"),
)
CODE = """
import sys
from annotator.cli.commands import main
sys.argv = ["annotator", *{arguments!r}]
try:
    main()
except SystemExit as end:
    code = end.code or 0
else:
    code = 0
loaded = [name for name in {heavy!r} if name in sys.modules]
print("LOADED", loaded, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("sql", "select 1")])
def test_short_commands_import_nothing_heavy(annotated, arguments):
    code = CODE.format(arguments=list(arguments), heavy=HEAVY)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=annotated.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "LOADED []" in ended.stderr


def test_an_annotation_pass_with_nothing_pending_loads_no_model(annotated):
    code = CODE.format(
        arguments=["annotate"], heavy=("tensorflow", "sklearn", "xgboost", "distributed")
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=annotated.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "nothing is pending" in ended.stdout
    assert "LOADED []" in ended.stderr


def test_every_command_is_documented():
    from annotator.cli.commands import command_line

    for name, command in command_line.commands.items():
        assert command.help, name
        for option in command.params:
            assert option.name
            if option.param_type_name == "option" and option.name != "help":
                assert getattr(option, "help", None) or option.name == "output", (name, option.name)
