"""Presets are values: one is made from another by its differences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotator.domain.releases import BUILT_IN_PRESETS
from annotator.learn.models.forest import ForestOptions
from annotator.learn.models.linear import LinearOptions
from annotator.learn.models.preset import FeatureOptions, configuration, preset_from_configuration
from annotator.learn.models.presets import OF_FIELD, PRESETS, preset_for
from annotator.learn.models.registry import KINDS

DEFAULT, PAPER = PRESETS["default"], PRESETS["paper"]
ALL = {**PRESETS, **{f"{name} {field}": preset for (name, field), preset in OF_FIELD.items()}}


@pytest.mark.parametrize("preset", ALL.values(), ids=ALL)
def test_no_change_gives_the_same_preset(preset) -> None:
    assert preset.changed({}) == preset
    assert preset.changed(configuration(preset)) == preset
    assert preset.changed(preset.kinds) == preset


def test_options_are_given_as_a_dataclass_or_as_differences() -> None:
    forest = ForestOptions(first_trees=1, trees=2, top_features=3, down_sample=True)
    found = DEFAULT.changed({"forest": forest, "network": {"epochs": 3, "hidden_units": [4, 5]}})
    assert found.kinds["forest"] == forest
    network = replace(DEFAULT.kinds["network"], epochs=3, hidden_units=(4, 5))
    assert found.kinds["network"] == network
    for kind in ("boosting", "linear"):
        assert found.kinds[kind] == DEFAULT.kinds[kind]
    assert (found.name, found.features) == (DEFAULT.name, DEFAULT.features)


def test_other_attributes_can_be_changed() -> None:
    features = FeatureOptions("rpm", "none", 0.5)
    found = DEFAULT.changed({"name": "mine", "features": features, "balance_classes": False})
    assert (found.name, found.features, found.balance_classes) == ("mine", features, False)
    assert found.kinds == DEFAULT.kinds
    clipped = DEFAULT.changed({"features": {"clip": 3}})
    assert clipped.features == replace(DEFAULT.features, clip=3.0)


def test_the_preset_itself_stays_as_it_is() -> None:
    before = configuration(DEFAULT)
    DEFAULT.changed({"network": None, "forest": {"trees": 1}, "features": {"clip": 1}})
    assert configuration(DEFAULT) == before
    with pytest.raises(TypeError):
        PRESETS["default"] = PAPER


@pytest.mark.parametrize("nothing", [None, False])
def test_a_kind_can_be_left_out_and_taken_in_again(nothing) -> None:
    without = DEFAULT.changed({"network": nothing, "boosting": nothing})
    assert [*without.kinds] == ["forest", "linear"]
    assert "boosting" not in configuration(without)
    assert without.changed({"boosting": nothing}) == without
    again = without.changed({kind: DEFAULT.kinds[kind] for kind in ("boosting", "network")})
    assert again == DEFAULT
    assert [*again.kinds] == [name for name in KINDS if name in again.kinds]


def test_a_kind_that_the_preset_lacks_needs_every_option_without_a_default() -> None:
    given = {"penalties": [0.1], "within_class": 0.5}
    assert PAPER.changed({"linear": given}).kinds["linear"] == LinearOptions((0.1,), 0.5)
    with pytest.raises(ValueError, match=r"linear: .*missing required field `within_class`"):
        PAPER.changed({"linear": {"penalties": [0.1]}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks": {}}, "no option or model kind 'networks'"),
        ({"kinds": {}}, "no option or model kind 'kinds'"),
        ({"forest": {"tree": 3}}, "forest: 'tree' is unknown"),
        ({"forest": {"trees": "3"}}, "forest: Expected `int`, got `str` at `trees`"),
        ({"forest": LinearOptions((), 0.0)}, "forest: "),
        ({"forest": True}, "forest must be a table"),
        ({"features": None}, "at `features`"),
        ({"features": {"scaling": "most"}}, r"'most' at `features\.scaling`"),
        ({"features": {"clip": float("inf")}}, r"at `features\.clip`"),
        ({"calibrate": {}}, "at `calibrate`"),
        ({"linear": None}, "wide path needs a linear kind"),
        ({"linear": {"random_units": 5}}, "wide path needs a linear kind"),
    ],
)
def test_other_changes_are_refused(changes, words) -> None:
    with pytest.raises(ValueError, match=words):
        DEFAULT.changed({"network": {"wide": True}, **changes})


def test_built_in_presets_are_named_as_such() -> None:
    assert set(BUILT_IN_PRESETS) == set(PRESETS)


def test_a_preset_needs_a_model_kind() -> None:
    with pytest.raises(ValueError, match="needs a model kind"):
        replace(DEFAULT, kinds={})


def test_kinds_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match="no model kind 'oracle'; known: network, forest"):
        replace(DEFAULT, kinds={"oracle": None})


def test_presets_of_fields_are_named_as_the_one_they_differ_from() -> None:
    for (name, field), preset in OF_FIELD.items():
        assert preset.name == name
        assert preset_for(name, field) is preset != PRESETS[name]
        assert preset_from_configuration(configuration(preset)) == preset
    assert preset_for("default", "tissue") is DEFAULT
