"""A preset of one's own, through the installed command."""

from __future__ import annotations

import tomllib

from annotator.domain.fields import Level, declared_fields
from annotator.learn.models.preset_file import read_preset
from tests.support import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_documents_example_is_a_preset(tmp_path) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    example = text[text.index("## Presets of your own") :].split("```toml")[1].split("```")[0]
    path = tmp_path / "small.toml"
    path.write_text(example, encoding="utf-8")
    assert read_preset(path, "tissue").kinds["forest"].trees == 50
    assert read_preset(path, "sex").kinds["linear"].random_units == 500


def test_the_documents_example_of_fields_can_be_declared() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    example = text[text.index("## Fields") :].split("```toml")[1].split("```")[0]
    fields = declared_fields(tomllib.loads(example)["fields"])
    assert fields["tissue"].level is Level.GROUP
    assert fields["age"].limits == (0, 45, 70, 110)
    assert fields["disease"].read("Cancer") == ("tumour", None)


def test_a_release_carries_the_name_of_its_preset(trained) -> None:
    cards = trained.rows("select distinct preset from model_card")
    assert cards == [{"preset": "light"}]


def test_a_file_that_is_no_preset_is_refused_in_one_line(migrated, tmp_path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text("[networks]\nepochs = 3\n", encoding="utf-8")
    ended = migrated.run("retrain", "--preset", str(path), code=2)
    assert "odd.toml" in ended.err
    assert "networks" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
