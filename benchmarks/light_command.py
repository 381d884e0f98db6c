"""The command with models that are made in seconds, in its own process and in those it starts.

    python benchmarks/light_command.py serve

All but the size of the models is as in `annotator`. With LIGHT_MODELS=no-network in the
environment there is no network either, so that TensorFlow is not waited for.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotator import cli
from annotator.learn import presets

if TYPE_CHECKING:
    from annotator.learn.presets import Preset

VARIABLE = "LIGHT_MODELS"
NO_NETWORK = "no-network"
_STARTER = '#!/bin/sh\nshift 2\nexec "{python}" "{script}" "$@"\n'  # in place of -m annotator


def light(preset: Preset) -> Preset:
    """Return a preset of the same kinds of models, each of them small."""
    assert preset.network is not None
    assert preset.forest is not None
    assert preset.boosting is not None
    assert preset.linear is not None
    units = min(preset.linear.random_units, 100)
    small = replace(
        preset,
        network=replace(preset.network, hidden_units=(16,), dropout=(0.2,), epochs=10),
        forest=replace(preset.forest, first_trees=10, trees=20),
        boosting=replace(preset.boosting, rounds=10),
        linear=replace(preset.linear, random_units=units),
    )
    if os.environ.get(VARIABLE) != NO_NETWORK:
        return small
    return replace(small, network=None)


def main() -> None:
    """Run the command."""
    presets.PRESETS["default"] = light(presets.PRESETS["default"])  # type: ignore[index]
    for key, preset in presets.OF_FIELD.items():
        presets.OF_FIELD[key] = light(preset)  # type: ignore[index]
    with tempfile.TemporaryDirectory(prefix="starter-") as folder:
        starter = Path(folder) / "python"
        starter.write_text(
            _STARTER.format(python=sys.executable, script=Path(__file__).absolute()),
            encoding="utf-8",
        )
        starter.chmod(0o700)
        sys.executable = str(starter)  # the daemon retrains in a process of its own
        cli.main()


if __name__ == "__main__":
    main()
