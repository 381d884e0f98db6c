"""Files that somebody made on purpose give a model that works, or are refused.

Their digests are right, so nothing but the readers stands between them and the program.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.sparse import csr_matrix

from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Profiles
from annotator.errors import ArtefactError
from annotator.jobs.annotate.live_models import LiveModel, live_model
from annotator.jobs.annotate.predict import decide
from annotator.learn.release.json_files import FIRST_FORMAT, FORMAT
from annotator.store.releases.registry import LiveRelease
from tests.support import ROOT
from tests.support.crafted import CRAFTED, Files
from tests.support.stored_releases import CLASSES, FEATURES, FOLDER, artefacts_of, stored

RELEASES = {number: stored(number) for number in range(FIRST_FORMAT, FORMAT + 1)}
JSON_FILES = ("model.json", "calibration.json", "trust.json")
ARRAY_FILES = tuple(name for name in RELEASES[FORMAT] if name.endswith(".safetensors"))
PLACE = "a place for other text"
MEMORY = 512 * 2**20  # bytes, most of which threads reserve


def read(files: Files) -> LiveModel:
    release = LiveRelease(
        7, "tissue", 1, "default", CLASSES, FEATURES, None, None, datetime.now(UTC)
    )
    return live_model(release, artefacts_of(files))


def samples() -> Profiles:
    data = json.loads((FOLDER / "samples.json").read_text())
    counts = np.array(data["counts"], np.float32)
    extremes = [np.zeros(counts.shape[1]), np.full(counts.shape[1], 1e9), 1e9 * (counts[0] > 5)]
    return Profiles(
        np.array([f"S{row}" for row in range(len(counts) + 3)], dtype=object),
        np.array(data["features"], dtype=object),
        np.array(data["kinds"], dtype=object),
        csr_matrix(np.vstack([counts, *extremes]).astype(np.float32)),
    )


SAMPLES = samples()


def assert_it_works(live: LiveModel) -> None:
    """It predicts, decides and explains, in finite numbers."""
    model = live.model
    with np.errstate(all="ignore"):
        inputs = model.inputs(SAMPLES)
        raw = model.predict_raw_inputs(inputs)
        answers = model.answers(raw, np.array(["D"] * len(inputs), dtype=object))
        novelty = model.novelty_scores(SAMPLES, raw)
        for p in (*raw.values(), *answers.probabilities.values()):
            assert (p >= 0).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
        assert ((novelty >= 0) & (novelty <= 2.01)).all()
        decisions = decide(model, answers.probabilities[COMBINED], novelty)
        assert {each.best_class for each in decisions} <= set(CLASSES)
        targets = np.tile(np.arange(len(CLASSES)), (len(inputs), 1))
        explained = live.explainer.contributions(inputs, targets, answers.own_weights)
        for kind, (_, scores) in explained.items():
            assert np.isfinite(scores).all(), kind


def assert_it_works_or_is_refused(files: Files) -> None:
    try:
        live = read(files)
    except ArtefactError:
        return
    assert_it_works(live)


# --- Files with a few changes, which are chosen at random ----------------------------------------

NESTED = st.integers(1, 3000).flatmap(
    lambda depth: st.sampled_from([("[", "]"), ('{"a":', "}")]).map(
        lambda pair: pair[0] * depth + "1" + pair[1] * depth
    )
)
ODD_JSON = (
    st.sampled_from(
        ["1e999", "-1e999", "NaN", "Infinity", "1e308", "5e-324", "-1", "0", "1e9", "-0.0", "null"]
        + ["true", "[]", "{}", '""', '"x"', '{"a":1,"a":2}', '"\\ud800"', '"\\u0000"', "", ",", "]"]
        + ["1" + "0" * digits for digits in (9, 18, 19, 400, 5000)]
        + ['"' + "long " * 60_000 + '"', "[" + "0," * 20_000 + "0]"]
    )
    | st.integers().map(str)
    | st.floats().map(json.dumps)
    | NESTED
)


def places(data: Any) -> list[tuple[Any, Any]]:
    """Return every pair of a container in the data and a key of it."""
    keys = data.keys() if isinstance(data, dict) else range(len(data))
    found = [(data, key) for key in keys]
    inner = [data[key] for key in keys if isinstance(data[key], dict | list)]
    return found + [place for each in inner for place in places(each)]


@st.composite
def other_json(draw, content: bytes) -> bytes:
    """The JSON with one value replaced, removed or given twice."""
    data = json.loads(content)
    container, key = draw(st.sampled_from(places(data)))
    how = draw(st.sampled_from(["replaced", "replaced", "removed", "twice", "moved"]))
    if how == "removed":
        del container[key]
    elif how == "moved":
        container[key] = json.loads(content)
    elif how == "twice" and isinstance(container, dict):
        container[PLACE] = container[key]
    else:
        container[key] = PLACE
    text = json.dumps(data, ensure_ascii=False)
    other = json.dumps(key) if how == "twice" else draw(ODD_JSON)
    return text.replace(json.dumps(PLACE), other).encode(errors="surrogatepass")


@st.composite
def other_header(draw, content: bytes) -> bytes:
    """The safetensors with another list of arrays, or with another length of it or of the data."""
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size], content[8 + size :]
    header = draw(other_json(header))
    data = draw(st.sampled_from([data, data, data[:-4], data + bytes(4), b""]))
    length = draw(
        st.sampled_from([len(header)] * 6 + [0, len(header) + 1, 2**31, 2**63, 2**64 - 1])
    )
    return length.to_bytes(8, "little") + header + data


ODD_NUMBERS = st.sampled_from(
    [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e30, 1e19, 1e-45, -1.0, 0.0, 1.0, 2.0]
) | st.floats(width=32)
ODD_INTEGERS = st.sampled_from([-(2**31), -5, -1, 0, 1, 2, FEATURES - 1, FEATURES, 2**31 - 1])


@st.composite
def other_arrays(draw, content: bytes) -> bytes:
    """The safetensors with one array that has other numbers, or another form or type."""
    arrays = load(content)
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays[name].copy()
    how = draw(st.sampled_from(["one", "some", "all", "scaled", "order", "form", "type"]))
    value = draw(ODD_INTEGERS if array.dtype.kind == "i" else ODD_NUMBERS)
    with np.errstate(all="ignore"):
        if how == "one":
            array.flat[draw(st.integers(0, array.size - 1))] = value
        elif how == "some":
            array[:: draw(st.integers(1, 9))] = value
        elif how == "all":
            array[:] = value
        elif how == "scaled":
            array = (array.astype(np.float64) * value).astype(array.dtype)
        elif how == "order":
            array = array[draw(st.permutations(range(len(array))))]
        elif how == "form":
            forms = [array[:-1], array[:0], np.concatenate([array, array]), array[None], array.T]
            array = draw(st.sampled_from([*forms, array.reshape(-1)]))
        else:
            array = array.astype(draw(st.sampled_from(["f2", "f8", "i4", "i8", "u1", "?"])))
    return save({**arrays, name: np.ascontiguousarray(array)})


@st.composite
def crafted(draw, names: tuple[str, ...], change) -> Files:
    """A release with changes of one or two files."""
    files = RELEASES[draw(st.sampled_from(sorted(RELEASES)))]
    changed = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return {**files, **{name: draw(change(files[name])) for name in changed}}


@settings(max_examples=150)
@given(crafted(JSON_FILES, other_json))
def test_other_json_works_or_is_refused(files) -> None:
    assert_it_works_or_is_refused(files)


@settings(max_examples=150)
@given(crafted(ARRAY_FILES, other_header))
def test_other_lists_of_arrays_work_or_are_refused(files) -> None:
    assert_it_works_or_is_refused(files)


@settings(max_examples=300)
@given(crafted(ARRAY_FILES, other_arrays))
def test_other_arrays_work_or_are_refused(files) -> None:
    assert_it_works_or_is_refused(files)


# --- Files with a known effect -------------------------------------------------------------------


@pytest.mark.parametrize("number", RELEASES)
def test_the_unchanged_release_works(number) -> None:
    assert_it_works(read(RELEASES[number]))


@pytest.mark.parametrize("name", CRAFTED)
def test_it_is_refused(name) -> None:
    with pytest.raises(ArtefactError):
        read(CRAFTED[name](RELEASES[FORMAT]))


REFUSING = """
import resource
from annotator.errors import ArtefactError
from tests.support.crafted import CRAFTED
from tests.unit.test_crafted_artefacts import FORMAT, MEMORY, RELEASES, read
read(RELEASES[FORMAT])
for name, change in CRAFTED.items():
    files = change(RELEASES[FORMAT])
    with open("/proc/self/statm") as pages:
        used = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    try:
        read(files)
    except ArtefactError:
        continue
    raise SystemExit(name)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_refusing_takes_little_memory() -> None:
    """Under a limit that a parser of gigabytes would exceed with a MemoryError."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSING], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
