"""TensorFlow's start-up lines are left out; everything else that goes wrong is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

# Printed before any setting is read wherever it is set, whatever the processor.
CHATTY = {"TF_ENABLE_ONEDNN_OPTS": "1"}
ABSEIL = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR"
NATIVE = f"""\
import os
def say(text):
    os.write(2, text.encode() + b"\\n")
say({ABSEIL!r})
say("I0000 00:00:1795931457.664496    6995 port.cc:153] oneDNN custom operations are on.")
say("2026-11-29 05:45:33.123456: I tensorflow/core/util/port.cc:153] oneDNN operations are on.")
say("I0000 00:00:1795931457.842709    6995 cpu_feature_guard.cc:227] This TensorFlow binary is")
say("To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow")
say("E0000 00:00:1795931457.1 1 cuda_dnn.cc:8579] Unable to register cuDNN factory: Attempting")
say("W0000 00:00:1795931457.1 1 computation_placer.cc:177] already registered")
say("E0000 00:00:1795931457.1 1 cuda_platform.cc:51] failed call to cuInit: UNKNOWN ERROR (303)")
"""
USUAL = """
class config:
    list_physical_devices = staticmethod(lambda: say("W0000 00:00:1.1 1 gpu_device.cc:1] none"))
"""
IMPORT = "from annotator.quiet_tensorflow import import_tensorflow; import_tensorflow()"


def python(code, folder=None, **more):
    """Run code in a process of its own, with modules of a folder before all others."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "PYTHONFAULT"))}
    path = os.pathsep.join(map(str, filter(None, (folder, ROOT))))
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"PYTHONPATH": path} | more,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def made(tmp_path):
    """Make a module ``tensorflow`` that starts like the real one and then does something."""

    def make(then):
        (tmp_path / "tensorflow.py").write_text(NATIVE + then, encoding="utf-8")
        return tmp_path

    return make


def test_the_real_one_starts_in_silence():
    code = """
from annotator.explain.deep_lift_library import _library
from annotator.learn.models.network import _tensorflow
print(float(_tensorflow().constant(2.0).numpy()), _library().tf.__name__)
"""
    ended = python(code, **CHATTY)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("2.0 tensorflow")


def test_start_up_lines_of_every_kind_are_left_out(made):
    ended = python(IMPORT, made(USUAL))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_other_lines_are_shown(made):
    log = json.dumps({"level": "info", "message": "I am another thread's"})
    ended = python(IMPORT, made(f"{USUAL}\nsay({log!r})\nsay('E0000 00:00:1.1 1 x.cc:1] broken')"))
    assert ended.stderr.splitlines() == [log, "E0000 00:00:1.1 1 x.cc:1] broken"]


def test_a_failing_import_shows_everything(made):
    ended = python(IMPORT, made("raise ImportError('no such symbol')"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(ABSEIL)
    assert "oneDNN custom operations are on" in ended.stderr
    assert ended.stderr.rstrip().endswith("ImportError: no such symbol")


def test_being_told_to_stop_meanwhile_is_no_failure(made):
    ended = python(IMPORT, made("raise SystemExit(143)"))
    assert (ended.returncode, ended.stderr) == (143, "")


def test_an_import_that_ends_the_process_shows_where(made):
    """As on a processor without the instructions that TensorFlow was built for."""
    ended = python(IMPORT, made("os.abort()"))
    assert ended.returncode < 0
    assert "Aborted" in ended.stderr
    assert "tensorflow.py" in ended.stderr


def test_whoever_asks_for_the_lines_sees_them(made):
    ended = python(IMPORT, made(USUAL), TF_CPP_MIN_LOG_LEVEL="0")
    assert "oneDNN custom operations are on" in ended.stderr


def test_standard_error_is_itself_again(made):
    ended = python(f"{IMPORT}\nimport os, sys\nos.write(2, b'native')\nprint(1, file=sys.stderr)",
                   made(USUAL))  # fmt: skip
    assert ended.stderr == "native1\n"
