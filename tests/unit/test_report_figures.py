"""Figures of the report: what they show, that nothing is cut, and that they are safe to embed."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from annotator.domain.answers import ClassContributions
from annotator.domain.explanations import (
    ClassEnrichment,
    ClassMarker,
    ClassSimilarity,
    ExplainedSample,
    ReleaseExplanations,
    SampleMap,
)
from annotator.domain.held_out import HeldOutPredictions, Metric
from annotator.domain.reports import CohortPart, ReleaseSummary
from annotator.learn.validation.metrics import metrics_of
from annotator.learn.validation.selective_metrics import curves
from annotator.report.contents import ReportContents
from annotator.report.figures import Figure, figures, heatmap_of_sample
from annotator.report.figures.ablation import ablation_figure
from annotator.report.figures.accuracy import accuracy
from annotator.report.figures.class_order import class_order, group_breaks
from annotator.report.figures.confusion import confusion_counts, confusions
from annotator.report.figures.drawing import NARROW, plain, wrapped
from annotator.report.figures.enrichment import enrichment
from annotator.report.figures.intervals import intervals
from annotator.report.figures.maps import maps
from annotator.report.figures.markers import markers, relative_expression
from annotator.report.figures.similarity import similarity
from annotator.report.figures.theme import DARK, LIGHT, THEMES, luminance, readable_on
from annotator.report.figures.trust import trust
from annotator.report.paper_figures import paper_accuracies
from annotator.report.tables.cells import kind_words
from annotator.report.words import count, listed, percent, significant

NAMES = (
    "map-by-group",
    "map-by-dataset",
    "accuracy-by-kind",
    "accuracy-by-class",
    "accuracy-of-classes-of-9",
    "confusion-combined",
    "confusion-network",
    "confusion-forest",
    "reliability",
    "risk-coverage",
    "markers",
    "marker-expression",
    "sample-1",
    "sample-2",
    "similarity",
    "stability",
    "enrichment",
)
KINDS = ("combined", "forest", "network")
SVG = "{http://www.w3.org/2000/svg}"
LONG = "immortal human B-lymphoblastoid cell line, EBV-transformed"
HOSTILE = '<b onload="x">&amp; $\\alpha^2$ ]]> \x07\ttab 肝臓 😀'


def contents(
    classes=("blood", "brain", "hematopoietic stem cell", "skin"),
    *,
    field="tissue",
    samples=120,
    datasets=8,
    markers=12,
    sets=("brain", "skin"),
    groups=None,
    level="term",
):
    """Return made-up contents of a report with every part filled."""
    rng = np.random.default_rng(7)
    classes = tuple(classes)
    number = len(classes)
    truth_index = np.arange(samples) % number
    truth = np.array(classes, dtype=object)[truth_index]
    sample_ids = np.array([f"GSM{1000 + row}" for row in range(samples)], dtype=object)
    dataset_ids = np.array(
        [f"GSE{200 + row // number % datasets}" for row in range(samples)], dtype=object
    )
    probabilities = {}
    for kind, strength in (("combined", 2.0), ("forest", 1.2), ("network", 1.8)):
        logits = rng.normal(size=(samples, number)) + strength * np.eye(number)[truth_index]
        probabilities[kind] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    held_out = HeldOutPredictions(
        sample_ids,
        dataset_ids,
        truth,
        (np.arange(samples) % 4).astype(np.int64),
        classes,
        probabilities,
    )
    metrics = metrics_of(held_out)
    found = tuple(
        ClassMarker(
            name,
            rank,
            f"hsa-miR-{100 + place}{'abc'[rank % 3]}-{3 + rank % 2 * 2}p-{rank}",
            1.0 / rank,
            rank,
            rank if rank % 3 else None,
            0.9 if rank % 4 else None,
            tuple(float(x) for x in rng.gamma(1, 50, size=number)),
        )
        for place, name in enumerate(classes)
        for rank in range(1, markers + 1)
    )
    similarities = tuple(
        ClassSimilarity(name, rival, 10, changed, 5.0 + 3 * changed if changed else None)
        for place, name in enumerate(classes)
        for other, rival in enumerate((*classes, None))
        if rival != name
        for changed in ((place + other) % 4 if rival else 9,)
    )
    enrichments = tuple(
        ClassEnrichment(
            "table4", name, each, 2500, 10, markers, hit, 10.0**-hit, 10.0 ** -(hit - 1), ()
        )
        for name in sets
        for each in classes
        for hit in (8 if name == each else 1,)
    )
    sizes = {}
    for name, dataset in zip(truth, dataset_ids, strict=True):
        sizes[dataset, name] = sizes.get((dataset, name), 0) + 1
    release = ReleaseSummary(
        7, field, "live", "default", classes, 2500, (), datetime(2026, 1, 2, tzinfo=UTC), None,
        None, 1, "8 folds", "host", {},
        {"trust": {"target_precision": 0.9}, "labels": {"tissue_level": level}}, None, None, None,
    )  # fmt: skip
    positions = np.column_stack([truth_index * 30.0, rng.normal(size=samples)]).astype(np.float32)
    return ReportContents(
        release,
        tuple(CohortPart(dataset, "", name, n) for (dataset, name), n in sizes.items()),
        {"one-dataset-out": metrics, "cv": metrics},
        held_out,
        curves(held_out),
        ReleaseExplanations(
            found, similarities, enrichments, SampleMap(sample_ids, dataset_ids, truth, positions)
        ),
        groups or {},
        explained_samples=tuple(
            ExplainedSample(
                f"GSM{number}",
                "GSE9",
                classes[0],
                0.9 - number / 10,
                True,
                classes[-number],
                not number,
                tuple(
                    ClassContributions(
                        "combined", "weighted_sum", name, place + 1, features, scores, (7.0, 8.0)
                    )
                    for place, (name, features, scores) in enumerate(
                        (
                            (classes[0], ("hsa-let-7a-5p", "hsa-miR-9-5p"), (1.5, -0.5)),
                            (classes[-1], ("hsa-miR-9-5p", "hsa-miR-21-5p"), (0.7, 0.2)),
                        )
                    )
                ),
            )
            for number in range(2)
        ),
    )


@pytest.fixture(scope="module")
def full():
    return contents(groups={"hematopoietic stem cell": "blood"})


@pytest.fixture(scope="module")
def drawn(full):
    return {figure.name: figure for figure in figures(full)}


@pytest.fixture
def undrawn(monkeypatch):
    """Figures with their texts, but without a drawing: what is drawn is not looked at."""
    for name, module in sys.modules.copy().items():
        if name.startswith("annotator.report.figures.") and hasattr(module, "draw"):
            monkeypatch.setattr(module, "draw", lambda *texts, **_: Figure(*texts[:3], "", 0))


def named(drawn):
    """Return figures by name."""
    return {figure.name: figure for figure in drawn}


def parts(svg):
    """Return what is drawn for light pages and what is drawn for dark ones."""
    root = ElementTree.fromstring(svg)
    return {part.get("class").removeprefix("on-"): part for part in root.iter(f"{SVG}g")
            if part.get("class")}  # fmt: skip


def texts(svg):
    """Return what is written on a light page, without title and description."""
    return [element.text or "" for element in parts(svg)["light"].iter(f"{SVG}text")]


def text_width(text, size, weight):
    """Return the width in pixels in a font that is wider than those of pages."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def boxes(svg):
    """Return each text and its left, top, right and bottom, by the widths of a wide font."""
    found = []
    for element in parts(svg)["light"].iter(f"{SVG}text"):
        style = dict(each.strip().split(": ") for each in element.get("style").split(";") if each)
        size = float(style["font-size"].removesuffix("px"))
        length = text_width(element.text or "", size, style.get("font-weight", "normal"))
        moved = re.fullmatch(
            r"(?:translate\(([\d.-]+) ([\d.-]+)\))? ?(?:rotate\((-?\d+)[^)]*\))?",
            element.get("transform", ""),
        )
        x, y = (float(element.get(name) or moved[place]) for name, place in (("x", 1), ("y", 2)))
        start = {"middle": length / 2, "end": length}.get(style.get("text-anchor"), 0.0)
        if moved[3] == "-90":
            box = (x - 0.75 * size, y - length + start, x, y + start)
        else:
            box = (x - start, y - 0.75 * size, x - start + length, y)
        found.append((element.text, box))
    return found


def outside(svg):
    """Return the texts that a page would cut off."""
    root = ElementTree.fromstring(svg)
    x, y, width, height = (float(value) for value in root.get("viewBox").split())
    return [
        (text, (left, top, right, bottom))
        for text, (left, top, right, bottom) in boxes(svg)
        if left < x - 1 or top < y - 1 or right > x + width + 1 or bottom > y + height + 1
    ]


def overlapping(svg):
    """Return the pairs of texts that lie upon each other."""
    found = boxes(svg)
    left, top, right, bottom = np.array([box for _, box in found]).T
    upon = (left + 1 < right[:, None]) & (left[:, None] + 1 < right)
    upon &= (top + 1 < bottom[:, None]) & (top[:, None] + 1 < bottom)
    return [(found[i], found[j]) for i, j in np.argwhere(np.triu(upon, 1))]


class TestAllFigures:
    def test_they_stand_in_the_order_of_the_report(self, drawn):
        assert tuple(drawn) == NAMES

    def test_the_same_contents_give_the_same_bytes(self, full, drawn):
        assert {figure.name: figure.svg for figure in figures(full)} == {
            name: figure.svg for name, figure in drawn.items()
        }

    def test_settings_of_the_users_change_nothing(self, full, drawn):
        import matplotlib as mpl

        with mpl.rc_context({"svg.fonttype": "path", "path.sketch": (9, 9, 9)}):
            assert named(accuracy(full))["accuracy-by-kind"].svg == drawn["accuracy-by-kind"].svg

    def test_each_is_an_image_with_title_and_description(self, drawn):
        for name, figure in drawn.items():
            root = ElementTree.fromstring(figure.svg)
            assert root.get("role") == "img"
            title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
            assert (title.text, description.text) == (figure.title, figure.description)
            assert root.get("aria-labelledby") == title.get("id") == f"{name}-title"
            assert root.get("aria-describedby") == description.get("id")
            assert re.search(r"\d", figure.description), "the key numbers"

    def test_ids_do_not_collide_on_one_page(self, drawn):
        ids = [
            each for figure in drawn.values() for each in re.findall(r' id="([^"]+)"', figure.svg)
        ]
        assert len(ids) == len(set(ids))

    def test_nothing_is_loaded_and_no_rule_reaches_the_page(self, drawn):
        for figure in drawn.values():
            loaded = re.findall(r'(?:href|src)="(#|[^"]{0,22})', figure.svg)
            assert set(loaded) <= {"#", "data:image/png;base64,"}
            assert set(re.findall(r"url\((.)", figure.svg)) <= {"#"}
            styles = re.findall(r"<style[^>]*>(.*?)</style>", figure.svg)
            assert len(styles) == 1
            rules = re.findall(r"([^{}]+)\{", styles[0])
            selectors = [rule for rule in rules if not rule.startswith("@media")]
            assert selectors
            assert all(".annotator-figure" in selector for selector in selectors)

    def test_what_is_referred_to_is_there(self, drawn):
        for figure in drawn.values():
            ids = set(re.findall(r' id="([^"]+)"', figure.svg))
            used = re.findall(r'(?:href="|url\()#([^")]+)', figure.svg)
            assert set(used) <= ids

    def test_both_pages_show_the_same_in_their_own_colours(self, drawn):
        for figure in drawn.values():
            written = {
                name: [element.text for element in part.iter(f"{SVG}text")]
                for name, part in parts(figure.svg).items()
            }
            assert written["light"] == written["dark"]
            for theme, other in (THEMES, THEMES[::-1]):
                shown = ElementTree.tostring(parts(figure.svg)[theme.name], encoding="unicode")
                assert theme.text in shown
                assert other.text not in shown

    def test_programs_without_styles_show_the_light_page(self, drawn):
        for figure in drawn.values():
            shown = {name: part.get("display") for name, part in parts(figure.svg).items()}
            assert shown == {"light": None, "dark": "none"}

    def test_texts_are_texts_and_none_is_lost(self, drawn):
        for name, figure in drawn.items():
            assert len(texts(figure.svg)) > 4 or name == "markers"
        assert {"blood", "brain", "skin"} <= set(texts(drawn["confusion-combined"].svg))

    def test_only_wide_figures_need_scrolling_on_a_phone(self, drawn):
        for figure in drawn.values():
            assert ("min-width" in figure.svg) == (figure.width > NARROW)
            assert f'width="{figure.width:.0f}"' in figure.svg

    @pytest.mark.parametrize("number", [1, 2, 26])
    def test_no_name_is_cut(self, number):
        names = [
            f"{LONG} {place}" if place % 5 == 0 else f"cell {place}" for place in range(number)
        ]
        made = contents(names, samples=3 * number + 10, markers=3, sets=(LONG, HOSTILE))
        for figure in figures(made):
            assert not outside(figure.svg), figure.name
            assert not overlapping(figure.svg), figure.name
            if figure.name.startswith(("accuracy-by-class", "confusion", "stab", "simil")):
                assert all(word in " ".join(texts(figure.svg)) for word in LONG.split())

    def test_hostile_names_are_text(self):
        made = contents(("blood", HOSTILE))
        made = replace(made, release=replace(made.release, reasons=(HOSTILE,)))
        drawn = figures(made)
        for figure in drawn:
            ElementTree.fromstring(figure.svg)
            assert "<b onload" not in figure.svg
            assert "\x07" not in figure.svg
        assert any("肝臓" in text for text in texts(drawn[0].svg))
        assert any("$\\alpha^2$" in text for text in texts(drawn[0].svg))


class TestAbsentData:
    def test_nothing_gives_no_figure(self, full, undrawn):
        empty = ReportContents(full.release, (), {}, None, ())
        assert figures(empty) == ()

    @pytest.mark.parametrize(
        ("change", "missing"),
        [
            ({"held_out": None}, {"confusion-combined", "confusion-network", "confusion-forest"}),
            ({"curves": ()}, {"reliability", "risk-coverage"}),
            (
                {"metrics": {}},
                {"accuracy-by-kind", "accuracy-by-class", "accuracy-of-classes-of-9"},
            ),
            ({"explained_samples": ()}, {"sample-1", "sample-2"}),
            (
                {"explanations": ReleaseExplanations()},
                {
                    *("map-by-group", "map-by-dataset", "markers", "marker-expression"),
                    *("similarity", "stability", "enrichment"),
                },
            ),
        ],
    )
    def test_figures_without_data_are_left_out(self, full, undrawn, change, missing):
        names = {figure.name for figure in figures(replace(full, **change))}
        assert names == set(NAMES) - missing

    def test_a_release_without_cross_validation_says_nothing_of_it(self, full, drawn):
        alone = replace(full, metrics={"one-dataset-out": full.metrics["one-dataset-out"]})
        by_kind = named(accuracy(alone))["accuracy-by-kind"]
        assert "random cross-validation" not in texts(by_kind.svg)
        assert "random cross-validation" in texts(drawn["accuracy-by-kind"].svg)

    def test_a_model_without_network_has_its_combined_matrix_alone(self, full, undrawn):
        held_out = full.held_out
        only = replace(held_out, probabilities={"combined": held_out.probabilities["combined"]})
        names = [figure.name for figure in confusions(replace(full, held_out=only))]
        assert [name for name in names if name.startswith("confusion")] == ["confusion-combined"]

    def test_similarities_that_never_changed_leave_out_the_matrix(self, full, undrawn):
        never = tuple(
            ClassSimilarity(each.class_name, each.rival, each.samples, 0, None)
            for each in full.explanations.similarities
        )
        explanations = replace(full.explanations, similarities=never)
        names = {figure.name for figure in similarity(replace(full, explanations=explanations))}
        assert not names & {"similarity", "stability"}


class TestMaps:
    def test_the_share_of_like_neighbours_is_measured(self, drawn):
        # Groups lie 30 apart with a spread of 1; datasets are dealt round within them.
        assert "100 % of the samples have one of the same tissue group" in drawn[
            "map-by-group"
        ].description.replace("\N{NO-BREAK SPACE}", " ")
        share = re.search(r"([\d.]+)\s% of the samples", drawn["map-by-dataset"].description)
        assert float(share[1]) < 60

    def test_groups_are_those_of_the_ontology(self, drawn):
        written = texts(drawn["map-by-group"].svg)
        assert "blood (60)" in written
        assert not any("stem cell" in text for text in written)

    def test_of_many_datasets_the_largest_are_named_and_the_rest_is_counted(self):
        made = contents(samples=400, datasets=20)
        written = texts(named(maps(made))["map-by-dataset"].svg)
        assert sum(text.startswith("GSE") for text in written) == 8
        assert any(text.startswith("12 other datasets (") for text in written)

    def test_samples_in_one_place_are_drawn(self, full):
        sample_map = full.explanations.sample_map
        one = replace(sample_map, positions=np.zeros_like(sample_map.positions))
        explanations = replace(full.explanations, sample_map=one)
        assert not outside(next(iter(maps(replace(full, explanations=explanations)))).svg)


class TestAccuracy:
    def test_values_are_those_of_the_validation(self, full, drawn):
        accuracy = next(
            each.value
            for each in full.metrics["cv"]
            if (each.model_kind, each.name) == ("network", "accuracy")
        )
        assert percent(accuracy) in texts(drawn["accuracy-by-kind"].svg)

    def test_the_papers_metrics_of_groups_stand_beside_a_release_of_groups_only(self):
        for level, beside in (("group", True), ("term", False)):
            made = named(accuracy(contents(level=level)))
            by_kind = made["accuracy-by-kind"]
            assert any(text.startswith("paper") for text in texts(by_kind.svg))
            assert ("83.1\N{NO-BREAK SPACE}%" in by_kind.description) == beside
            assert ("96.5\N{NO-BREAK SPACE}%" in by_kind.description) != beside

    def test_the_paper_has_nothing_on_three_intervals(self):
        made = contents(("[0;45]", "(45;70]", "(70;110]"), field="age")
        by_kind = named(accuracy(made))["accuracy-by-kind"]
        assert not any(text.startswith("paper") for text in texts(by_kind.svg))

    def test_classes_stand_by_accuracy_but_intervals_in_their_order(self, full, drawn):
        values = {
            each.class_name: each.value
            for each in full.metrics["cv"]
            if (each.model_kind, each.name) == ("combined", "class_accuracy_over_datasets")
        }
        best = max(values, key=values.get)
        assert drawn["accuracy-by-class"].description.split("combined. ")[1].startswith(best)
        ages = ("[0;30]", "(30;60]", "(60;80]", "(80;110]")
        made = named(accuracy(contents(ages, field="age")))
        written = texts(made["accuracy-by-class"].svg)
        assert [text for text in written if text in ages] == list(ages)

    def test_figures_that_are_not_numbers_are_left_out(self, full, undrawn):
        broken = tuple(replace(each, value=float("nan")) for each in full.metrics["cv"])
        made = accuracy(replace(full, metrics={"one-dataset-out": broken}))
        assert not any(figure.name.startswith("accuracy") for figure in made)

    def test_small_classes_stand_apart_as_in_the_papers_figures_2_and_3(self, full):
        names = ("blood", "brain", "skin", "hematopoietic stem cell")
        sizes = dict(zip(names, (30, 14, 9, 8), strict=True))
        cohort = tuple(CohortPart("GSE1", "", name, size) for name, size in sizes.items())
        made = named(accuracy(replace(full, cohort=cohort)))
        for least, shown in ((9, names[:3]), (15, names[:1])):
            figure = made[f"accuracy-of-classes-of-{least}"]
            assert [text for text in texts(figure.svg) if text in names] == list(shown)
            assert {"Precision", "Accuracy", "neural network", "random forest"} <= set(
                texts(figure.svg)
            )
            metrics = [
                each.value
                for each in full.metrics["cv"]
                if (each.model_kind, each.name) == ("forest", "class_precision")
                and each.class_name in shown
            ]
            assert f"random forest {percent(np.mean(metrics))} precision" in figure.description


class TestPaper:
    def test_the_strictest_class_size_that_is_met_is_compared_with(self):
        def value(sizes, kind="network", *, of_groups=True):
            found = paper_accuracies("tissue", sizes, of_groups=of_groups)
            fact = found.get(("cv", "accuracy", kind))
            return None if fact is None else fact.value

        assert value([15, 400]) == 0.98
        assert value([14, 400]) == 0.97
        assert value([8, 400]) == 0.965
        assert value([8, 400], "forest") is None
        assert value([15, 400], of_groups=False) == 0.965
        assert value([15, 400], "forest", of_groups=False) is None

    def test_numbers_of_classes_have_to_be_the_same(self):
        of_age = {
            sizes: paper_accuracies("age", [50] * sizes, of_groups=False).get(
                ("cv", "accuracy", "network")
            )
            for sizes in (2, 3, 4)
        }
        assert (of_age[2].value, of_age[3], of_age[4].value) == (0.771, None, 0.635)
        assert paper_accuracies("height", [50, 50], of_groups=False) == {}

    def test_steps_of_table_5_stand_beside_two_classes(self):
        made = named(similarity(contents(("female", "male"), field="sex")))
        assert "paper, Table 5" in texts(made["stability"].svg)
        assert "female 15.9" in made["stability"].description

    def test_and_not_beside_other_fields(self, drawn):
        assert "paper, Table 5" not in texts(drawn["stability"].svg)


class TestIntervals:
    def test_equal_datasets_leave_no_doubt(self, full):
        held_out = full.held_out
        certain = np.eye(4)[[held_out.classes.index(name) for name in held_out.truth]]
        for metric in ("accuracy", "mean_over_classes"):
            found = intervals(replace(held_out, probabilities={"combined": certain}), metric)
            assert found["combined"] == (1.0, 1.0)

    def test_they_hold_the_value_and_follow_the_datasets(self, full):
        for metric in ("accuracy", "mean_over_classes"):
            values = {
                each.model_kind: each.value for each in full.metrics["cv"] if each.name == metric
            }
            for kind, (low, high) in intervals(full.held_out, metric).items():
                assert low < values[kind] < high

    def test_the_worst_case_is_as_wide_as_datasets_differ(self, full):
        # Right on all samples of half of the datasets and on none of the other half:
        # the share that is right is that of 8 draws, binomial.
        held_out = full.held_out
        rows = np.array([held_out.classes.index(name) for name in held_out.truth])
        wrong = np.array([int(name[3:]) % 2 for name in held_out.dataset_ids])
        said = np.eye(4)[(rows + wrong) % 4]
        low, high = intervals(replace(held_out, probabilities={"x": said}), "accuracy")["x"]
        assert (low, high) == pytest.approx((1 / 8, 7 / 8), abs=0.07)

    def test_few_datasets_and_other_figures_have_none(self, full):
        few = contents(datasets=4).held_out
        assert intervals(few, "accuracy") == {}
        assert intervals(None, "accuracy") == {}
        assert intervals(full.held_out, "log_loss") == {}


class TestConfusion:
    def test_counts_are_those_of_the_samples(self, full):
        held_out = full.held_out
        order = tuple(reversed(held_out.classes))
        expected = np.zeros((4, 4), dtype=int)
        for row, name in enumerate(held_out.truth):
            said = held_out.classes[int(np.argmax(held_out.probabilities["forest"][row]))]
            expected[order.index(name), order.index(said)] += 1
        assert (confusion_counts(held_out, "forest", order) == expected).all()

    def test_the_worst_mistake_is_named(self, full, drawn):
        counts = confusion_counts(full.held_out, "network", full.held_out.classes)
        np.fill_diagonal(counts, 0)
        row, column = np.unravel_index(np.argmax(counts), counts.shape)
        classes = full.held_out.classes
        expected = f"{classes[row]} taken for {classes[column]} ({counts[row, column]} of"
        assert expected in drawn["confusion-network"].description

    def test_groups_stand_together(self, full):
        order = class_order(full, full.release.classes)
        assert order == ("blood", "hematopoietic stem cell", "brain", "skin")
        assert group_breaks(full, order) == (2,)

    def test_no_lines_where_no_group_has_several(self):
        made = contents()
        assert group_breaks(made, made.release.classes) == ()


class TestTrust:
    def test_the_target_is_drawn_and_what_it_costs_is_said(self, full, drawn):
        figure = drawn["risk-coverage"]
        assert any(text.startswith("allowed: 10") for text in texts(figure.svg))
        curve = next(
            each
            for each in full.curves
            if (each.name, each.model_kind) == ("risk_coverage", "combined")
        )
        assert curve.points[-1].y > 0.1, "not every sample can be answered that well"
        reached = max(point.x for point in curve.points if point.y <= 0.1)
        assert f"allowed on {percent(reached)} of the samples" in figure.description

    def test_curves_are_named_in_the_order_of_their_ends(self, full):
        risks = [each for each in full.curves if each.name == "risk_coverage"]
        (figure,) = trust(replace(full, curves=tuple(risks)))
        ends = sorted(risks, key=lambda each: -each.points[-1].y)
        named = [text for text in texts(figure.svg) if text in map(kind_words, KINDS)]
        assert named == [kind_words(each.model_kind) for each in ends]


class TestMarkers:
    def test_relative_expression_is_in_doublings(self):
        marker = ClassMarker("blood", 1, "hsa-miR-451a", 1.0, None, None, None, (255.0, 15.0, 0.0))
        assert relative_expression([marker]).ravel().tolist() == [4.0, 0.0, -4.0]

    def test_leading_markers_are_named(self, full, drawn):
        written = set(texts(drawn["markers"].svg))
        first = {each.feature for each in full.explanations.markers if each.rank <= 10}
        later = {each.feature for each in full.explanations.markers if each.rank > 10}
        assert first <= written
        assert not later & written

    def test_like_classes_stand_side_by_side_and_the_leading_markers_are_named(self, full):
        levels = {"blood": 900.0, "brain": 1.0, "hematopoietic stem cell": 800.0, "skin": 2.0}
        alike = tuple(
            replace(each, expression=tuple(levels.values())) for each in full.explanations.markers
        )
        explanations = replace(full.explanations, markers=alike)
        made = markers(replace(full, explanations=explanations))
        figure = next(each for each in made if each.name == "marker-expression")
        assert "blood and hematopoietic stem cell" in figure.description
        assert re.search("skin and brain|brain and skin", figure.description)
        first = {each.feature for each in alike if each.rank == 1}
        assert first <= set(texts(figure.svg))

    def test_bitmaps_of_many_markers_stay_small(self):
        made = contents([f"class {place}" for place in range(40)], samples=80, markers=300)
        svg = named(markers(made))["marker-expression"].svg
        pictures = re.findall(r'base64,([^"]+)"', svg)
        assert sum(len(picture) for picture in pictures) * 3 / 4 < 400_000

    def test_expression_of_other_classes_is_not_drawn(self, full, undrawn):
        short = tuple(
            replace(each, expression=each.expression[:2]) for each in full.explanations.markers
        )
        explanations = replace(full.explanations, markers=short)
        names = {figure.name for figure in markers(replace(full, explanations=explanations))}
        assert "markers" in names
        assert "marker-expression" not in names


class TestEnrichment:
    def test_hits_are_named(self, drawn):
        assert "brain in brain (8 of 10" in drawn["enrichment"].description
        assert "2 pairs below 0.05" in drawn["enrichment"].description

    def test_of_many_sets_the_best_are_shown(self):
        made = contents(sets=[f"set {number}" for number in range(30)] + ["skin"])
        figure = named(enrichment(made))["enrichment"]
        assert "24 sets with the smallest p-values" in figure.description
        assert "skin" in texts(figure.svg)


class TestSample:
    def scores(self, features=5):
        return np.linspace(-2, 2, 3 * features).reshape(3, features)

    def draw(self, features=5, title="GSM1: blood"):
        return heatmap_of_sample(
            self.scores(features),
            ("blood", "brain", LONG),
            [f"hsa-miR-{number}-5p" for number in range(features)],
            np.arange(features) * 10.0,
            title,
        )

    def test_scores_names_and_expression_are_written(self):
        written = texts(self.draw().svg)
        assert {"GSM1: blood", "hsa-miR-0-5p", "blood", "−2.0", "2.0", "40"} <= set(written)

    def test_nothing_is_cut(self):
        figure = self.draw(80, f"GSM1000234: {LONG} by the network, 93 % sure, {LONG}")
        assert not outside(figure.svg)

    def test_of_many_features_those_with_the_largest_scores_in_their_order(self):
        written = texts(self.draw(100).svg)
        shown = [int(text.split("-")[2]) for text in written if text.startswith("hsa-miR")]
        assert len(shown) == 60
        assert shown == sorted(shown)
        largest = np.argsort(-np.abs(self.scores(100)).max(axis=0), kind="stable")[:60]
        assert set(shown) == set(largest.tolist())

    def test_scores_of_zero_are_drawn(self):
        figure = heatmap_of_sample(np.zeros((1, 1)), ["blood"], ["a"], [0.0], "none")
        assert "0" in texts(figure.svg)

    @pytest.mark.parametrize(
        ("scores", "expression"),
        [(np.zeros((2, 3)), [1.0]), (np.zeros((1, 2)), [1.0]), (np.zeros((0, 0)), [])],
    )
    def test_shapes_that_do_not_fit_are_refused(self, scores, expression):
        with pytest.raises(ValueError, match="shape"):
            heatmap_of_sample(
                scores, ["blood"][: len(scores)], ["a"][: len(expression)], expression, ""
            )


class TestStoredSamples:
    def test_the_title_says_what_became_of_it(self, drawn):
        assert drawn["sample-1"].title == "GSM0: predicted blood, right (labelled blood)"
        assert drawn["sample-2"].title == "GSM1: predicted blood, wrong (labelled skin)"

    def test_a_score_that_is_not_stored_is_an_empty_cell(self, drawn):
        written = texts(drawn["sample-1"].svg)
        assert {"1.5", "−0.5", "0.7", "0.2", "hsa-let-7a-5p", "hsa-miR-21-5p"} <= set(written)
        assert written.count("0.0") == 0


class TestAblation:
    def metrics(self, classes):
        return {
            features: tuple(
                Metric(kind, "accuracy", None, value + place / 100, 90, 9)
                for place, kind in enumerate(KINDS)
            )
            + tuple(Metric("network", "class_accuracy", name, value, 9, 3) for name in classes)
            for features, value in (("sRNAs", 0.71), ("contaminants", 0.61), ("both", 0.81))
        } | {"none": (Metric("majority", "accuracy", None, 0.55, 90, 9),)}

    def test_sets_of_features_and_the_paper_stand_side_by_side(self):
        figure = ablation_figure("sex", "one-dataset-out", self.metrics(("female", "male")))
        written = texts(figure.svg)
        assert [text for text in written if text in ("sRNAs", "contaminants", "both")] == [
            *("sRNAs", "contaminants", "both")
        ]
        shares = {text.replace("\N{NO-BREAK SPACE}", " ") for text in written}
        assert {"71.0 %", "62.0 %", "83.0 %", "77.0 %", "76.9 %", "76.2 %"} <= shares
        assert not outside(figure.svg)
        assert not overlapping(figure.svg)

    def test_the_paper_is_compared_with_for_as_many_intervals_only(self):
        ages = ("[0;45]", "(45;70]", "(70;110]")
        assert "paper" not in texts(ablation_figure("age", "cv", self.metrics(ages)).svg)
        four = ablation_figure("age", "cv", self.metrics((*ages, "x")))
        assert "both, neural network 63.5" in four.description


def contrast(first, second):
    """Return the contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


class TestTheme:
    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_text_and_marks_stand_out(self, theme):
        for colour in (theme.text, theme.muted):
            assert contrast(colour, theme.surface) >= 4.5
        for colour in theme.categories:
            assert contrast(colour, theme.surface) >= 3
        for ramp in (theme.sequential, theme.diverging):
            for step in np.linspace(0, 1, 101):
                assert contrast(readable_on(ramp(step)), ramp(step)) >= 4.5

    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_ramps_go_steadily_from_the_page_to_what_stands_out(self, theme):
        sign = 1 if theme is LIGHT else -1
        steps = np.linspace(0, 1, 13)
        rising = np.array([luminance(theme.sequential(step)) for step in steps])
        assert (np.diff(sign * rising) < 0).all()
        both = np.array([luminance(theme.diverging(step)) for step in steps])
        assert (np.diff(sign * both[:7]) > 0).all()
        assert (np.diff(sign * both[6:]) < 0).all()
        assert both[0] == pytest.approx(both[-1], abs=0.05), "both signs weigh the same"

    def test_contrast_is_that_of_the_guideline(self):
        assert contrast("#000000", "#ffffff") == pytest.approx(21)
        assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)

    def test_both_pages_have_as_many_categories(self):
        assert len(set(LIGHT.categories)) == len(set(DARK.categories)) == 8


class TestWords:
    def test_names_are_broken_between_words_and_not_cut(self):
        assert wrapped("umbilical cord blood", 14) == "umbilical cord\nblood"
        assert wrapped("x" * 50, 10) == "x" * 50
        assert wrapped("hsa-miR-99a-5p", 5) == "hsa-miR-99a-5p"
        assert wrapped("") == ""

    def test_plain_text_has_no_controls(self):
        assert plain(" a\n\tb\x00\ud800 ") == "a b\ufffd\ufffd"
        assert plain("9\N{NO-BREAK SPACE}%") == "9\N{NO-BREAK SPACE}%"

    def test_words(self):
        assert (count(1, "class"), count(1200, "class")) == ("1 class", "1,200 classes")
        assert listed(["a", "b", "c"]) == "a, b and c"
        assert (listed(["a"]), listed([])) == ("a", "")
        shares = [
            percent(x).replace("\N{NO-BREAK SPACE}", " ") for x in (0, 1e-5, 0.831, 0.99999, 1)
        ]
        assert shares == ["0 %", "under 0.1 %", "83.1 %", "over 99.9 %", "100 %"]
        assert (significant(1234.5), significant(0.01234), significant(12.3, 2)) == (
            "1,234",
            "0.0123",
            "12",
        )
