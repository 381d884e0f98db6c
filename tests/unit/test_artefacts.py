from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError
from annotator.learn.models.preset import configuration, preset_from_configuration
from annotator.learn.models.presets import PRESETS
from annotator.learn.models.tensors import (
    by_name,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)


def test_unknown_missing_and_double_names_are_refused() -> None:
    a, b = Artefact("a", "x", b"1"), Artefact("b", "x", b"2")
    assert by_name([a, b], {"a"}, {"b"}) == {"a": b"1", "b": b"2"}
    for given_artefacts, word in (([a, b], "unknown artefact 'b'"), ([], "lacks"), ([a, a], "two")):
        with pytest.raises(ArtefactError, match=word):
            by_name(given_artefacts, {"a"}, set())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates are not text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcö"), inner),
    max_leaves=10,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text("abcö"), json_values))
def test_json_comes_back_unchanged(data) -> None:
    assert read_json(write_json(data), "x") == data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"\x80\x04",
    ],
)
def test_what_is_no_json_object_is_refused(content) -> None:
    with pytest.raises(ArtefactError, match=r"model\.json"):
        read_json(content, "model.json")


def test_oversized_json_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ArtefactError, match="more than 10"):
        read_json(b'{"a": "0123456789"', "model.json", largest=10)


def test_values_that_are_no_numbers_are_not_written() -> None:
    with pytest.raises(ValueError):
        write_json({"a": float("nan")})


def test_arrays_come_back_unchanged_and_shapes_are_checked() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = write_tensors({"a": array.T})
    assert np.array_equal(read_tensors(content, {"a": (3, 2)}, "x")["a"], array.T)
    for shapes in ({"a": (2, 3)}, {"b": (3, 2)}, {}, {"a": (3, 2), "b": (1,)}):
        with pytest.raises(ArtefactError):
            read_tensors(content, shapes, "x")


@given(st.binary(max_size=80))
def test_any_bytes_are_arrays_or_refused(content) -> None:
    with pytest.raises(ArtefactError):
        read_tensors(content, {"a": (3,)}, "x")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_survive_json(name) -> None:
    data = configuration(PRESETS[name])
    assert preset_from_configuration(json.loads(json.dumps(data))) == PRESETS[name]
    assert PRESETS[name].name == name


def test_an_option_added_later_has_its_default_in_configurations_of_before() -> None:
    data = configuration(PRESETS["default"])
    del data["forest"]["maximum_leaves"]
    del data["network"]["deep_share"]
    preset = preset_from_configuration(data)
    assert preset.kinds["forest"] == PRESETS["default"].kinds["forest"]
    assert preset.kinds["network"].deep_share == 1.0


@pytest.mark.parametrize("absent", [{}, {"linear": None}])
def test_a_model_kind_that_a_configuration_does_not_name_is_not_in_the_preset(absent) -> None:
    """Neither one without its name, as now, nor one that is null, as in format 4."""
    data = configuration(PRESETS["paper"])
    assert "linear" not in data
    assert preset_from_configuration(data | absent) == PRESETS["paper"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.pop("features"), "missing required field `features`"),
        (lambda data: data["forest"].pop("trees"), "forest: .* missing required field `trees`"),
        (lambda data: data["network"].update(activation="tanh"), "network: 'activation'"),
        (lambda data: data.update(new=1), "'new' is unknown"),
        (lambda data: data.update(forest=True), "forest: Expected `object`"),
        (lambda data: data.update(features=3), "at `features`"),
        (lambda data: data.update(features=None), "at `features`"),
        (lambda data: data["features"].update(clip="5"), r"at `features\.clip`"),
        (lambda data: data["features"].update(clip=float("nan")), r"at `features\.clip`"),
        (lambda data: data["network"].update(hidden_units=[10, "10"]), r"at `hidden_units\[1\]`"),
        (lambda data: data["network"].update(epochs=True), "at `epochs`"),
        (lambda data: data.update(calibrate=1), "at `calibrate`"),
    ],
)
def test_other_configurations_are_refused(change, words) -> None:
    data = configuration(PRESETS["paper"])
    change(data)
    with pytest.raises(ValueError, match=words):
        preset_from_configuration(data)
