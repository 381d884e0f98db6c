"""Settings come from defaults, a file and variables, in that order."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.fields import FIELDS, FieldDefinition, LabelScheme, Level
from annotator.errors import SettingsError
from annotator.settings import Settings, load_settings


def test_defaults_need_nothing(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_settings({}) == Settings()


def test_variables_win_over_the_file(tmp_path):
    file = tmp_path / "annotator.toml"
    file.write_text('batch_size = 5\nfolds = 3\npreset = "paper"\nfeature_sets = ["a.gmt"]\n')
    settings = load_settings({"ANNOTATOR_BATCH_SIZE": "7"}, file)
    assert (settings.batch_size, settings.folds, settings.preset) == (7, 3, "paper")
    assert settings.feature_sets == (Path("a.gmt"),)


@pytest.mark.parametrize("place", ["the file", "a variable"])
def test_fields_are_declared_as_differences_from_the_built_in_ones(tmp_path, place):
    declared = """
        [fields.tissue]
        level = "group"
        [fields.age]
        limits = [0, 45, 70, 110]
        [fields."body mass index"]
        scheme = "intervals"
        limits = [10, 25, 60]
        unit = "kg/m2"
    """
    if place == "the file":
        file = tmp_path / "annotator.toml"
        file.write_text(declared)
        fields = load_settings({}, file).fields
    else:
        fields = load_settings({"ANNOTATOR_FIELDS": declared.replace("fields.", "")}).fields
    assert [*fields] == ["tissue", "sex", "age", "body mass index"]
    assert fields["tissue"] == replace(FIELDS["tissue"], level=Level.GROUP)
    assert fields["age"] == replace(FIELDS["age"], limits=(0, 45, 70, 110))
    assert fields["sex"] == FIELDS["sex"]
    assert fields["body mass index"] == FieldDefinition(
        name="body mass index", scheme=LabelScheme.INTERVALS, limits=(10, 25, 60), unit="kg/m2"
    )


def test_fields_of_a_variable_replace_those_of_the_file(tmp_path):
    file = tmp_path / "annotator.toml"
    file.write_text('[fields.tissue]\nlevel = "group"\n')
    fields = load_settings({"ANNOTATOR_FIELDS": "age.limits = [0, 45, 110]"}, file).fields
    assert fields["tissue"] == FIELDS["tissue"]
    assert fields["age"].limits == (0, 45, 110)


def test_several_files_are_a_list_or_separated_by_commas(tmp_path):
    file = tmp_path / "annotator.toml"
    file.write_text('feature_sets = ["a.gmt", "sets/b.gmt"]\n')
    expected = (Path("a.gmt"), Path("sets/b.gmt"))
    assert load_settings({}, file).feature_sets == expected
    found = load_settings({"ANNOTATOR_FEATURE_SETS": "a.gmt, sets/b.gmt"}).feature_sets
    assert found == expected


def test_a_secret_comes_from_a_file(tmp_path):
    secret = tmp_path / "url"
    secret.write_text("postgresql://me:secret@here/atlas\n")
    settings = load_settings({"ANNOTATOR_DATABASE_URL_FILE": str(secret)})
    assert settings.database_url == "postgresql://me:secret@here/atlas"
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings({"ANNOTATOR_DATABASE_URL_FILE": str(tmp_path / "gone")})


def test_an_empty_variable_is_no_setting(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_settings({"ANNOTATOR_DATABASE_URL": ""}).database_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_SIZE", "many"),
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "1" * 30),
        ("FOLDS", "1"),
        ("SEED", "-1"),
        ("PRESET", "best"),
        ("LEARN_FROM_REVIEWS", "maybe"),
        ("GATE_MARGIN", "2"),
        ("GATE_MARGIN", "nan"),
        ("LOG_FORMAT", "xml"),
        ("FIELDS", "age.limits = [0, 65, inf]"),
        ("FIELDS", "age.limits = 0"),
        ("FIELDS", "age.limits = [0, 65]"),
        ("FIELDS", "age.limits = [65, 0, 110]"),
        ("FIELDS", "tissue.levels = 'group'"),
        ("FIELDS", "tissue"),
        ("HOME", "~nobody-of-this-name/x"),
        ("FEATURE_SETS", "a.gmt,,b.gmt"),
        ("MARKER_COUNT", "0"),
        ("SIMILARITY_SAMPLES", "0"),
        ("CROSS_VALIDATION_FOLDS", "1"),
        ("PARALLEL_BACKEND", "threading"),
        ("DASK_SCHEDULER", "scheduler.example.org:8786"),
        ("DASK_SCHEDULER", "tcp://scheduler.example.org"),
    ],
)
def test_wrong_values_are_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"ANNOTATOR_{name}"):
        load_settings({f"ANNOTATOR_{name}": value})


@pytest.fixture
def found(monkeypatch, tmp_path):
    """A settings file in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("annotator.toml")
    path.write_text("batch_size = 5\n")
    return path


def give_away(path, monkeypatch):
    """Let another account own a file."""
    if os.geteuid() == 0:
        os.chown(path, 54321, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)


def test_a_file_of_another_account_is_not_read_unless_it_is_named(found, monkeypatch):
    assert load_settings({}).batch_size == 5
    give_away(found, monkeypatch)
    with pytest.raises(SettingsError, match=r"annotator\.toml"):
        load_settings({})
    assert load_settings({"ANNOTATOR_CONFIG": "annotator.toml"}).batch_size == 5
    assert load_settings({}, found).batch_size == 5


def test_a_link_of_another_account_is_not_followed(found, monkeypatch):
    found.symlink_to(found.rename("own.toml"))
    assert load_settings({}).batch_size == 5
    give_away(found, monkeypatch)
    with pytest.raises(SettingsError, match=r"annotator\.toml"):
        load_settings({})


def test_a_file_that_everybody_may_change_is_not_read(found):
    found.chmod(0o666)
    with pytest.raises(SettingsError, match=r"annotator\.toml"):
        load_settings({})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of root")
def test_a_file_of_root_is_read_by_everybody(found, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert load_settings({}).batch_size == 5


@pytest.mark.parametrize(
    "content",
    [
        "batch_sise = 5",
        "batch_size = ",
        "batch_size = true",
        "fields = 3",
        "fields.tissue = 3",
        "[fields.tissue]\nlevels = 'group'",
    ],
)
def test_wrong_files_are_refused(tmp_path, content):
    file = tmp_path / "annotator.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"annotator\.toml"):
        load_settings({}, file)


@given(st.sampled_from(["BATCH_SIZE", "FIELDS", "GATE_MARGIN", "HOME", "FEATURE_SETS"]), st.text())
def test_whatever_stands_in_a_variable_only_a_settings_error_comes_out(name, text):
    with suppress(SettingsError):
        load_settings({f"ANNOTATOR_{name}": text})


def test_a_url_is_shown_neither_when_printed_nor_when_it_is_refused(tmp_path):
    url = "postgresql://me:hunter2@db/atlas"
    assert "hunter2" not in repr(load_settings({"ANNOTATOR_DATABASE_URL": url}))
    with pytest.raises(SettingsError, match="must name a file") as refused:
        load_settings({"ANNOTATOR_DATABASE_URL_FILE": url})
    assert "hunter2" not in str(refused.value)
    file = tmp_path / "annotator.toml"
    file.write_text(f'database_url = ["{url}"]\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"expected `str.*got `array`") as refused:
        load_settings({}, file)
    assert "hunter2" not in str(refused.value)
