"""A preset of one's own, through the installed command."""

from __future__ import annotations

from annotator.domain.fields import FIELDS
from annotator.learn.models.preset_file import read_preset
from annotator.learn.models.presets import preset_for
from tests.support import ROOT

SETTINGS = ROOT / "docs" / "reference" / "settings.md"


def test_the_documents_example_is_a_preset(tmp_path) -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    example = text[text.index("## Presets of your own") :].split("```toml")[1].split("```")[0]
    path = tmp_path / "small.toml"
    path.write_text(example, encoding="utf-8")
    fields = (*FIELDS, "disease")
    assert read_preset(path, "tissue", fields).kinds["forest"].trees == 50
    assert read_preset(path, "sex", fields).kinds["linear"].random_units == 500
    built_in = preset_for("default", "sex").kinds["linear"]
    assert read_preset(path, "disease", fields).kinds["linear"] == built_in


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
