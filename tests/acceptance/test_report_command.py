"""Reports by command, and those that retraining leaves by itself."""

from __future__ import annotations

from pathlib import Path


def test_a_retraining_leaves_reports_of_live_releases(trained):
    # The home was moved since it was trained, so the reports are not where they were.
    out = trained.run("retrain").out
    cards = trained.rows("select release_id, field, report from model_card where status = 'live'")
    assert {card["field"] for card in cards} == {"tissue", "sex", "age"}
    for card in cards:
        path = Path(card["report"])
        assert path.parent == trained.home / "reports"
        assert path.name == f"release-{card['release_id']}-{card['field']}.html"
        assert f"{card['field']}: report of release {card['release_id']} is {path}" in out
        assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "report of release" not in trained.run("retrain").out  # nothing is due


def test_one_release_or_a_line_why_not(trained, tmp_path):
    release = trained.rows("select max(release_id) as n from model_card where field = 'sex'")[0][
        "n"
    ]
    out = trained.run("report", "--release", str(release), "--out", str(tmp_path / "new")).out
    path = tmp_path / "new" / f"release-{release}-sex.html"
    assert out == f"sex: report of release {release} is {path}\n"
    assert path.is_file()
    assert list(path.with_suffix("").glob("*.svg"))
    wrong = trained.run("report", "--release", "999", "--out", str(tmp_path), code=2)
    assert "there is no release 999" in wrong.err
    in_the_way = trained.run("report", "--out", str(path), code=2)
    assert "cannot be written there" in in_the_way.err
    for ended in (wrong, in_the_way):
        assert len(ended.err.splitlines()) == 1


def test_nothing_is_live(migrated, tmp_path):
    ended = migrated.run("report", "--out", str(tmp_path / "reports"), code=2)
    assert "no release is live" in ended.err
    assert not (tmp_path / "reports").exists()
