from __future__ import annotations

import pytest

from annotator.domain.fields import FIELDS
from annotator.errors import InputError
from annotator.learn.models.preset import configuration, preset_from_configuration
from annotator.learn.models.preset_file import read_preset
from annotator.learn.models.presets import preset_for


def read(folder, text: str, field: str = "tissue", fields=tuple(FIELDS)):
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return read_preset(path, field, fields)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("base", ["default", "paper"])
def test_an_empty_file_is_its_base_under_another_name(tmp_path, base, field) -> None:
    preset = read(tmp_path, f'base = "{base}"', field)
    assert preset.name == "small"
    expected = configuration(preset_for(base, field)) | {"name": "small"}
    assert configuration(preset) == expected


def test_what_is_given_differs_and_the_rest_stays(tmp_path) -> None:
    text = """
        balance_classes = false
        boosting = false

        [network]
        hidden_units = [16]
        dropout = [0.2]

        [sex.linear]
        random_units = 50
    """
    tissue, sex = (read(tmp_path, text, field) for field in ("tissue", "sex"))
    for preset in (tissue, sex):
        assert preset.kinds["network"].hidden_units == (16,)
        assert preset.kinds.get("boosting") is None
        assert not preset.balance_classes
    base = preset_for("default", "tissue")
    assert tissue.kinds["network"].epochs == base.kinds["network"].epochs
    assert tissue.kinds["forest"] == base.kinds["forest"]
    assert tissue.kinds["linear"] == base.kinds["linear"]
    assert sex.kinds["linear"].random_units == 50
    assert preset_from_configuration(configuration(sex)) == sex


def test_a_field_takes_the_options_of_another_one(tmp_path) -> None:
    text = '[disease]\noptions_of = "sex"\n[disease.forest]\ntrees = 7'
    disease = read(tmp_path, text, "disease", (*FIELDS, "disease"))
    sex = preset_for("default", "sex").changed({"name": "small", "forest": {"trees": 7}})
    assert configuration(disease) == configuration(sex)


@pytest.mark.parametrize("name", ["base", "network", "features", "calibrate"])
def test_a_field_cannot_have_a_table_that_presets_have(tmp_path, name) -> None:
    with pytest.raises(InputError, match=f"{name} is a field and an option of presets"):
        read(tmp_path, f"[{name}.linear]\nrandom_units = 5", "tissue", (*FIELDS, name))
    read(tmp_path, "", name, (*FIELDS, name))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[network", "small.toml"),
        ('base = "best"', "base is 'best'"),
        ("[networks]\nepochs = 1", "model kind 'networks'"),
        ('name = "mine"', "no 'name'"),
        ('[tissue]\noptions_of = "organ"', "options_of is 'organ', not one of tissue, sex, age"),
        ('[tissue]\nname = "mine"', "no 'name'"),
        ("tissue = 3", "tissue must be a table"),
        ("[network]\nepoch = 1", "network: 'epoch' is unknown"),
        ('[network]\nepochs = "many"', "network: Expected `int`, got `str` at `epochs`"),
        ("network = 3", "network must be a table"),
        ("boosting = false\n[tissue.boosting]\nrounds = 1", "boosting: .* missing"),
        ("linear = false", "wide path needs a linear kind"),
    ],
)
def test_what_no_preset_has_is_refused(tmp_path, text, words) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_file_with_the_name_of_a_built_in_preset_is_refused(tmp_path) -> None:
    path = tmp_path / "paper.toml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="rename the file"):
        read_preset(path, "tissue")


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        read_preset(tmp_path / "nowhere.toml", "tissue")
