"""The page of a report and its tables, as text; the browser's view of it is an acceptance test."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from annotator.domain.answers import LiveAccuracy
from annotator.domain.explanations import ClassMarker, ReleaseExplanations
from annotator.domain.held_out import HeldOutPredictions, Metric
from annotator.domain.releases import Comparison
from annotator.learn.validation.gate import GateOptions, judge
from annotator.report.figures.maps import maps
from annotator.report.html import page
from annotator.report.tables import (
    accuracy,
    cohort,
    explanations,
    mistakes,
    provenance,
    summary,
)
from annotator.report.tables.cells import Cell, Column, Table, number, share, small_number
from annotator.report.words import percent
from tests.support import made_report
from tests.support.strange_text import is_seen

CONTENTS = made_report.made_contents()
DRAWN = '<svg width="300" height="200"><text>drawn</text></svg>'


@dataclass(frozen=True)
class Drawn:
    """A figure as a page takes it."""

    name: str
    title: str = "What it shows"
    description: str = "A < B & C"
    svg: str = DRAWN
    width: float = 300


class Outline(HTMLParser):
    """Ids, headings, links to anchors and what is referred to, with unbalanced tags."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.references: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        for key in ("aria-labelledby", "aria-describedby"):
            self.references += found.get(key, "").split()
        for key in ("href", "src"):
            if found.get(key, "").startswith("#"):
                self.anchors.append(found[key][1:])
            elif key in found:
                self.addresses.append(found[key])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def rows(table):
    return [[cell.text for cell in row] for row in table.rows]


def class_metric(metrics, name, class_name, kind="combined"):
    wanted = (kind, name, class_name)
    return next(each for each in metrics if (each.model_kind, each.name, each.class_name) == wanted)


def test_the_outline_is_sound():
    text = page(CONTENTS, [Drawn("reliability"), Drawn("map-by-group")])
    outline = Outline(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {*outline.anchors, *outline.references} <= set(outline.ids)
    assert outline.addresses == []
    assert outline.headings[0] == "h1"
    assert outline.headings.count("h1") == 1
    assert '<html lang="en">' in text


def test_broader_terms_are_named_only_where_there_are_any():
    flat = replace(CONTENTS, groups={name: name for name in CONTENTS.groups})
    named = []
    for given in (CONTENTS, flat):
        found = (Metric("combined", "answered_class", None, 0.5, 600, 23),)
        table = accuracy.selective_metrics(replace(given, metrics={"one-dataset-out": found}))
        assert given.has_broader_terms == (table is not None)
        named.append("most specific term" in page(given, []))
    assert named == [True, False]


def test_classes_of_a_field_are_counted_on_its_map():
    release = replace(CONTENTS.release, field="diagnosis")
    drawn = next(iter(maps(replace(CONTENTS, release=release, groups={}))))
    assert "classes of diagnosis;" in drawn.description


@pytest.mark.parametrize("status", ["live", "retired", "rejected", "candidate"])
def test_a_release_of_which_nothing_is_recorded(status):
    text = page(made_report.bare_contents(status), [])
    Outline(text)
    assert text.count('class="absent"') >= 7
    assert "<table" in text  # versions are always known


def test_figures_go_to_their_sections_and_none_is_lost():
    names = ["map-by-group", "confusion-forest", "risk-coverage", "marker-expression", "new-one"]
    text = page(CONTENTS, [Drawn(name) for name in names])
    parts = dict(re.findall(r'<section id="(\w+)".*?>(.*?)</section>', text, re.S))
    sections = ("data", "mistakes", "selective", "markers", "further")
    for section, name in zip(sections, names, strict=True):
        assert f'id="figure-{name}"' in parts[section]
    assert text.count(DRAWN) == len(names)
    assert 'id="further"' not in page(CONTENTS, [Drawn("similarity")])


def test_samples_of_new_terms_stand_beside_the_others():
    section = re.search(r'<section id="selective".*?</section>', page(CONTENTS, []), re.S)
    assert section
    table = section.group().split('id="table-terms"')[1]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:4]]
    assert rows[0] == ["410", "21", "92.9\xa0%", "–", "98.4\xa0%", "–"]
    assert rows[1] == ["190", "12", "65.8\xa0%", "0\xa0%", "–", "–"]
    bare = page(made_report.bare_contents("live"), [])
    assert "table-terms" not in bare


def test_a_large_figure_gets_a_row_of_its_own():
    text = page(CONTENTS, [Drawn("map-a"), Drawn("map-b", width=900)])
    assert '<figure id="figure-map-a">' in text
    assert '<figure id="figure-map-b" class="wide">' in text


def test_names_are_text_whatever_they_hold():
    text = page(CONTENTS, [])
    assert made_report.HOSTILE not in text
    shown = r"&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &lt;/svg&gt;\u202e\x1b\nx"
    assert shown in text
    assert "A &lt; B &amp; C" in page(CONTENTS, [Drawn("reliability")])


def test_every_character_of_a_report_is_seen():
    name = "\u202e\x1b\x9b\u2028"
    text = page(CONTENTS, [Drawn(f"map-{name}", name, name)])
    assert all(map(is_seen, text.split("\n")))


def test_only_its_own_script_may_run():
    text = page(CONTENTS, [])
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text
    assert "innerHTML" not in script


def test_what_a_release_may_call_its_own_is_marked_as_the_gate_says_it():
    """The gate's own sentences; held-out predictions that are worse than anything."""
    held = made_report.held_out(("a", "b", "c"), 60, 1)
    wrong = replace(held, probabilities={k: 1 - p for k, p in held.probabilities.items()})
    baselines = replace(held, probabilities={"majority": held.probabilities["combined"]})

    @dataclass
    class Validated:
        predictions: HeldOutPredictions
        balanced_training: bool = True

    for predictions, live, against in ((held, None, 1), (wrong, held, 3)):
        verdict = judge(Validated(predictions), baselines, live, GateOptions(0.01, 0.0))
        release = replace(CONTENTS.release, reasons=verdict.reasons)
        decided = replace(CONTENTS, release=release, comparisons=verdict.comparisons)
        judged = provenance.reasons(decided)
        said = [reason.removeprefix("Refused: ").casefold() for reason in verdict.reasons]
        assert {sentence.casefold() for sentence, _ in judged} == set(said)
        assert judged == provenance.reasons(replace(decided, comparisons=()))
        # Level with its baseline, or behind it and the live release in accuracy twice.
        assert [failed for _, failed in judged].count(True) == against
        assert judged[0][1]
        assert not verdict.promoted


def test_the_comparisons_decide_which_reasons_are_against_a_release():
    sentence = "Accuracy on 80 samples of 9 held-out datasets: 0.800, live release 0.790."
    release = replace(CONTENTS.release, reasons=(sentence,))
    made = Comparison("accuracy", "live", 0.8, 0.79, 0.0, True, 80, 9, sentence)
    for passed in (True, False):
        contents = replace(CONTENTS, release=release, comparisons=(replace(made, passed=passed),))
        assert provenance.reasons(contents) == ((sentence, not passed),)


@pytest.mark.parametrize(
    ("sentence", "shown", "against"),
    [
        ("Refused: not a finite number: AUC.", "Not a finite number: AUC.", True),
        (
            "On 80 held-out samples, AUC 0.6000 is above the 0.5000 of always naming the largest"
            " class (must be above by more than 0.0000).",
            None,
            False,
        ),
    ],
)
def test_sentences_without_a_comparison_are_judged_by_their_mark(sentence, shown, against):
    release = replace(CONTENTS.release, reasons=(sentence,))
    found = provenance.reasons(replace(CONTENTS, release=release, comparisons=()))
    assert found == ((shown or sentence, against),)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("live", "answers for tissue since 2026-11-25"),
        ("retired", "answered for tissue from 2026-11-25 to 2026-11-25"),
        ("rejected", "never answered"),
        ("candidate", "not decided"),
    ],
)
def test_what_became_of_a_release(status, words):
    contents = made_report.made_contents(status=status)
    assert words in provenance.standing(contents.release)
    assert words in page(contents, [])


def test_a_damaged_release_tells_when_it_stopped_serving():
    made = CONTENTS.release.created_at
    release = replace(
        CONTENTS.release, status="rejected", promoted_at=made, retired_at=made + timedelta(days=3)
    )
    assert "from 2026-11-25 to 2026-11-28, when its files were found damaged" in (
        provenance.standing(release)
    )
    assert ("Stopped serving", "2026-11-28 02:30 UTC") in provenance.facts(release)


def test_classes_and_datasets_are_counted():
    size = cohort.cohort_size(CONTENTS.cohort)
    assert size.left_out == 7
    assert size.samples == sum(part.samples for part in CONTENTS.cohort) - 7
    assert size.datasets == 23
    classes = cohort.class_sizes(CONTENTS)
    assert sum(row[2].order for row in classes.rows) == size.samples
    datasets = cohort.dataset_sizes(CONTENTS)
    assert len(datasets.rows) == 23
    first = next(row for row in datasets.rows if row[0].text == "SRP000001")
    assert first[3].text == "7"
    shown = [row[2].order for row in classes.rows]
    assert shown == sorted(shown, reverse=True)
    assert classes.sorted_by == (2, "descending")


def test_kinds_stand_combined_first_baselines_last():
    table = accuracy.kind_figures(CONTENTS)
    assert [row[0] for row in rows(table)] == [
        *("all models combined", "neural network", "random forest", "linear model"),
        *("always the largest class", "plain logistic regression"),
    ]
    assert table.columns[-1].title == "Accuracy, samples split at random"
    assert rows(table)[0][1:] == [*["80.0\xa0%"] * 5, "0.031", "95.0\xa0%"]


def test_the_papers_figures_stand_beside_ours():
    found = rows(accuracy.paper_figures(CONTENTS))
    assert any("neural network, held-out datasets" in row[0] for row in found)
    assert all(row[2] != "–" for row in found)
    other = replace(CONTENTS, release=replace(CONTENTS.release, field="mood"))
    assert accuracy.paper_figures(other) is None
    assert accuracy.paper_figures(made_report.bare_contents()) is None


def test_classes_are_worst_first():
    table = accuracy.class_figures(CONTENTS)
    shown = [row[3].order for row in table.rows]
    assert shown == sorted(shown)
    assert len(shown) == 12


def test_accuracy_by_class_counts_datasets_only_where_they_are_held_out():
    table = accuracy.class_figures(CONTENTS)
    titles = [column.title for column in table.columns]
    held_out, at_random = CONTENTS.metrics["one-dataset-out"], CONTENTS.metrics["cv"]
    for row in table.rows:
        name = row[0].text
        for title, metrics, metric in (
            ("All models combined", held_out, "class_accuracy_over_datasets"),
            ("Precision, all combined", held_out, "class_precision"),
            (
                "Share of its samples, all combined, samples split at random",
                at_random,
                "class_accuracy",
            ),
            ("Precision, all combined, samples split at random", at_random, "class_precision"),
        ):
            expected = class_metric(metrics, metric, name)
            assert row[titles.index(title)].order == expected.value
    assert "mean over datasets" in table.caption
    assert not any("datasets" in title for title in titles if "random" in title)


def test_a_release_from_before_precision_by_class():
    """Its accuracy by class is the mean over datasets, in random cross-validation as well."""
    metrics = {
        scheme: tuple(
            replace(each, name="class_accuracy")
            if each.name == "class_accuracy_over_datasets"
            else each
            for each in found
            if each.name not in ("class_accuracy", "class_precision")
        )
        for scheme, found in CONTENTS.metrics.items()
    }
    before = accuracy.class_figures(replace(CONTENTS, metrics=metrics))
    now = accuracy.class_figures(CONTENTS)
    assert not any("random" in column.title for column in before.columns)
    assert [row[:4] for row in before.rows] == [row[:4] for row in now.rows]


def test_precision_by_class_of_network_and_forest_stands_behind_the_plots():
    table = accuracy.precision_figures(CONTENTS)
    assert [column.title for column in table.columns][2:] == [
        *("Precision, neural network", "Accuracy, neural network"),
        *("Precision, random forest", "Accuracy, random forest"),
    ]
    assert "split at random" in table.caption
    sizes = [row[1].order for row in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    first = table.rows[0]
    precision = CONTENTS.metrics["cv"]
    expected = class_metric(precision, "class_precision", first[0].text, "forest")
    assert first[4].order == expected.value
    alone = {"one-dataset-out": CONTENTS.metrics["one-dataset-out"]}
    held_out = accuracy.precision_figures(replace(CONTENTS, metrics=alone))
    assert "held-out datasets" in held_out.caption
    assert accuracy.precision_figures(replace(CONTENTS, metrics={})) is None


def test_figures_of_baselines_by_class_only():
    metrics = (Metric("majority", "class_accuracy", "blood", 1.0, 3, 2),)
    contents = replace(CONTENTS, metrics={"one-dataset-out": metrics})
    assert accuracy.class_figures(contents) is None


def test_confusions_add_up_to_the_mistakes():
    table = mistakes.confusions(CONTENTS)
    held = CONTENTS.held_out
    best = [held.classes[place] for place in held.probabilities["combined"].argmax(axis=1)]
    pairs = list(zip(held.truth, best, strict=True))
    first = rows(table)[0]
    assert int(first[2]) == pairs.count((first[0], first[1]))
    assert first[3] == percent(int(first[2]) / list(held.truth).count(first[0]))
    counts = [row[2].order for row in table.rows]
    assert counts == sorted(counts, reverse=True)


def test_a_damaged_release_did_answer():
    refused = replace(CONTENTS.release, status="rejected", promoted_at=None)
    assert "never answered" in provenance.standing(refused)
    damaged = provenance.standing(replace(refused, promoted_at=refused.created_at))
    assert "never" not in damaged
    assert "damaged" in damaged


def test_suggestions_that_got_a_label_later_are_told():
    became = LiveAccuracy(12, judged=40, confirmed=38, lowest=0.835, highest=0.986)
    tile = next(
        tile
        for tile in summary.tiles(replace(CONTENTS, live_accuracy=became))
        if tile.title == "Right in use"
    )
    assert tile.value == percent(0.95)
    assert "40 suggestions" in tile.behind
    assert percent(0.835) in tile.behind


def test_the_worst_dataset_is_the_one_that_is_all_wrong():
    table = mistakes.worst_datasets(CONTENTS)
    assert rows(table)[0][0] == "SRP000022"
    assert rows(table)[0][3:5] == ["0", "0\xa0%"]


def test_a_dataset_of_one_wrong_sample_does_not_come_first():
    held = CONTENTS.held_out
    lone = held.dataset_ids.copy()
    wrong = held.probabilities["combined"].argmax(axis=1) != [
        held.classes.index(label) for label in held.truth
    ]
    elsewhere = int((wrong & (held.dataset_ids != "SRP000022")).nonzero()[0][0])
    lone[elsewhere] = "A lone one"
    contents = replace(CONTENTS, held_out=replace(held, dataset_ids=lone))
    ordered = [row[0] for row in rows(mistakes.worst_datasets(contents))]
    assert ordered.index("SRP000022") < ordered.index("A lone one")


def test_markers_name_where_else_they_are_high():
    marker = ClassMarker("b", 1, "miR-1", 0.5, None, None, None, (3.0, 10.0, 7.0))
    contents = replace(
        CONTENTS,
        release=replace(CONTENTS.release, classes=("a", "b", "c")),
        explanations=ReleaseExplanations(markers=(marker,)),
    )
    assert rows(explanations.markers(contents)) == [
        ["miR-1", "b", "1", "0.500", "10.0", "7.0", "c", "–", "–"]
    ]
    assert rows(explanations.leading_markers(contents)) == [["b", "miR-1", "–", "–", "1"]]


def test_similar_classes_come_nearest_first():
    table = explanations.similar_pairs(CONTENTS)
    assert "the first 30 of 132" in table.caption
    steps = [row[2].order for row in table.rows]
    assert steps == sorted(steps)
    assert len(explanations.stabilities(CONTENTS).rows) == 12


def test_only_what_is_more_than_chance_counts_as_enriched():
    table = explanations.enrichments(CONTENTS)
    assert {row[8].order <= 0.05 for row in table.rows} == {True}
    assert 0 < len(table.rows) < len(CONTENTS.explanations.enrichments)
    none = replace(CONTENTS.explanations, enrichments=())
    assert explanations.enrichments(replace(CONTENTS, explanations=none)) is None


def test_tiles_say_what_is_recorded():
    titles = [tile.title for tile in summary.tiles(CONTENTS)]
    assert titles[0] == "Right on held-out datasets"
    assert "Right on samples split at random" in titles
    assert summary.tiles(made_report.bare_contents()) == ()


def test_numbers_as_people_write_them():
    assert percent(0.8431) == "84.3\xa0%"
    assert [percent(value) for value in (0.0, 1.0, 1e-5, 0.99999)] == [
        *("0\xa0%", "100\xa0%", "under 0.1\xa0%", "over 99.9\xa0%")
    ]
    assert small_number(3.21e-12) == "3.2\xa0×\xa010⁻¹²"
    assert small_number(0.0312) == "0.031"
    assert number(float("nan")) == share(None) == Cell("–", None)
    assert provenance.duration(7300) == "2.0 h"


def test_a_row_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="1 cells"):
        Table("t", "c", (Column("a"), Column("b")), ((Cell("1", 1),),))
