"""Figures of the report by subject: what they show."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from annotator.domain.explanations import (
    ClassMarker,
    ClassSimilarity,
    ReleaseExplanations,
)
from annotator.domain.held_out import Metric
from annotator.domain.reports import CohortPart
from annotator.report.contents import ReportContents
from annotator.report.figures import Figure, figures, heatmap_of_sample
from annotator.report.figures.ablation import ablation_figure
from annotator.report.figures.accuracy import accuracy
from annotator.report.figures.class_order import class_order, group_breaks
from annotator.report.figures.confusion import confusion_counts, confusions
from annotator.report.figures.enrichment import enrichment
from annotator.report.figures.maps import maps
from annotator.report.figures.markers import markers, relative_expression
from annotator.report.figures.selective import selective
from annotator.report.figures.similarity import similarity
from annotator.report.tables.cells import kind_words
from annotator.report.words import percent
from tests.support.drawn_figures import (
    AGES,
    BY_SIZE,
    KINDS,
    LONG,
    NAMES,
    contents,
    named,
    outside,
    overlapping,
    texts,
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


def ablation_metrics(classes):
    return {
        features: tuple(
            Metric(kind, "accuracy", None, value + place / 100, 90, 9)
            for place, kind in enumerate(KINDS)
        )
        + tuple(Metric("network", "class_accuracy", name, value, 9, 3) for name in classes)
        for features, value in (("sRNAs", 0.71), ("contaminants", 0.61), ("both", 0.81))
    } | {"none": (Metric("majority", "accuracy", None, 0.55, 90, 9),)}


@pytest.fixture(scope="module")
def by_size(full):
    sizes = dict(zip(BY_SIZE, (30, 14, 9, 8), strict=True))
    cohort = tuple(CohortPart("GSE1", "", name, size) for name, size in sizes.items())
    return named(accuracy(replace(full, cohort=cohort)))


@pytest.fixture(scope="module")
def alike(full):
    levels = (900.0, 1.0, 800.0, 2.0)  # of blood, brain, stem cell and skin
    found = tuple(replace(each, expression=levels) for each in full.explanations.markers)
    explanations = replace(full.explanations, markers=found)
    return named(markers(replace(full, explanations=explanations)))["marker-expression"]


@pytest.fixture(scope="module")
def of_sex():
    metrics = ablation_metrics(("female", "male"))
    return ablation_figure("sex", "one-dataset-out", metrics)


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
    def test_groups_that_lie_apart_have_like_neighbours(self, drawn):
        # Groups lie 30 apart with a spread of 1.
        assert "100 % of the samples have one of the same tissue group" in drawn[
            "map-by-group"
        ].description.replace("\N{NO-BREAK SPACE}", " ")

    def test_datasets_that_are_dealt_round_have_few_like_neighbours(self, drawn):
        share = re.search(r"([\d.]+)\s% of the samples", drawn["map-by-dataset"].description)
        assert float(share[1]) < 60

    def test_groups_are_those_of_the_ontology(self, drawn):
        written = texts(drawn["map-by-group"].svg)
        assert "blood (60)" in written
        assert not any("stem cell" in text for text in written)

    def test_the_nearest_neighbour_is_another_sample_at_the_same_place(self, full):
        sample_map = full.explanations.sample_map
        twins = replace(sample_map, positions=np.repeat(sample_map.positions[:60], 2, axis=0))
        explanations = replace(full.explanations, sample_map=twins)
        figure = next(iter(maps(replace(full, explanations=explanations))))
        assert "nearest neighbour" in figure.description

    @pytest.fixture
    def many_datasets(self):
        return texts(named(maps(contents(samples=400, datasets=20)))["map-by-dataset"].svg)

    def test_of_many_datasets_the_largest_are_named(self, many_datasets):
        assert sum(text.startswith("GSE") for text in many_datasets) == 8

    def test_the_other_datasets_are_counted(self, many_datasets):
        assert any(text.startswith("12 other datasets (") for text in many_datasets)

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

    @pytest.mark.parametrize(
        ("level", "shown", "absent"), [("group", "83.1", "96.5"), ("term", "96.5", "83.1")]
    )
    def test_the_papers_metrics_are_those_of_the_level_of_the_classes(self, level, shown, absent):
        by_kind = next(iter(accuracy(contents(level=level))))
        assert any(text.startswith("paper") for text in texts(by_kind.svg))
        assert f"{shown}\N{NO-BREAK SPACE}%" in by_kind.description
        assert f"{absent}\N{NO-BREAK SPACE}%" not in by_kind.description

    def test_the_paper_has_nothing_on_three_intervals(self):
        made = contents(("[0;45]", "(45;70]", "(70;110]"), field="age")
        by_kind = next(iter(accuracy(made)))
        assert not any(text.startswith("paper") for text in texts(by_kind.svg))

    def test_classes_stand_by_accuracy(self, full, drawn):
        values = {
            each.class_name: each.value
            for each in full.metrics["cv"]
            if (each.model_kind, each.name) == ("combined", "class_accuracy_over_datasets")
        }
        best = max(values, key=values.get)
        assert drawn["accuracy-by-class"].description.split("combined. ")[1].startswith(best)

    def test_intervals_stand_in_their_order(self):
        ages = ("[0;30]", "(30;60]", "(60;80]", "(80;110]")
        made = named(accuracy(contents(ages, field="age")))
        written = texts(made["accuracy-by-class"].svg)
        assert [text for text in written if text in ages] == list(ages)

    def test_figures_that_are_not_numbers_are_left_out(self, full, undrawn):
        broken = tuple(replace(each, value=float("nan")) for each in full.metrics["cv"])
        made = accuracy(replace(full, metrics={"one-dataset-out": broken}))
        assert not any(figure.name.startswith("accuracy") for figure in made)

    @pytest.mark.parametrize(("least", "classes"), [(9, 3), (15, 1)])
    def test_small_classes_are_left_out_as_in_the_papers_figures_2_and_3(
        self, by_size, least, classes
    ):
        written = texts(by_size[f"accuracy-of-classes-of-{least}"].svg)
        assert [text for text in written if text in BY_SIZE] == list(BY_SIZE[:classes])

    def test_panels_and_kinds_of_figures_2_and_3_are_named(self, by_size):
        written = set(texts(by_size["accuracy-of-classes-of-9"].svg))
        assert {"Precision", "Accuracy", "neural network", "random forest"} <= written

    @pytest.mark.parametrize(("least", "classes"), [(9, 3), (15, 1)])
    def test_the_mean_over_the_shown_classes_is_described(self, full, by_size, least, classes):
        metrics = [
            each.value
            for each in full.metrics["cv"]
            if (each.model_kind, each.name) == ("forest", "class_precision")
            and each.class_name in BY_SIZE[:classes]
        ]
        expected = f"random forest {percent(np.mean(metrics))} precision"
        assert expected in by_size[f"accuracy-of-classes-of-{least}"].description


class TestSimilarity:
    def test_steps_of_table_5_stand_beside_two_classes(self):
        made = named(similarity(contents(("female", "male"), field="sex")))
        assert "paper, Table 5" in texts(made["stability"].svg)
        assert "female 15.9" in made["stability"].description

    def test_steps_of_table_5_do_not_stand_beside_other_fields(self, drawn):
        assert "paper, Table 5" not in texts(drawn["stability"].svg)


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


class TestPolicy:
    def test_the_target_is_drawn(self, drawn):
        written = texts(drawn["risk-coverage"].svg)
        assert any(text.startswith("allowed: 10") for text in written)

    def test_the_share_answered_within_the_target_is_described(self, full, drawn):
        curve = next(
            each
            for each in full.curves
            if (each.name, each.model_kind) == ("risk_coverage", "combined")
        )
        assert curve.points[-1].y > 0.1, "not every sample can be answered that well"
        reached = max(point.x for point in curve.points if point.y <= 0.1)
        expected = f"allowed on {percent(reached)} of the samples"
        assert expected in drawn["risk-coverage"].description

    def test_curves_are_named_in_the_order_of_their_ends(self, full):
        risks = [each for each in full.curves if each.name == "risk_coverage"]
        (figure,) = selective(replace(full, curves=tuple(risks)))
        ends = sorted(risks, key=lambda each: -each.points[-1].y)
        named = [text for text in texts(figure.svg) if text in map(kind_words, KINDS)]
        assert named == [kind_words(each.model_kind) for each in ends]


class TestMarkers:
    def test_relative_expression_is_in_doublings(self):
        marker = ClassMarker("blood", 1, "hsa-miR-451a", 1.0, None, None, None, (255.0, 15.0, 0.0))
        assert relative_expression([marker]).ravel().tolist() == [4.0, 0.0, -4.0]

    def test_leading_markers_are_named(self, full, drawn):
        first = {each.feature for each in full.explanations.markers if each.rank <= 10}
        assert first <= set(texts(drawn["markers"].svg))

    def test_later_markers_are_not_named(self, full, drawn):
        later = {each.feature for each in full.explanations.markers if each.rank > 10}
        assert not later & set(texts(drawn["markers"].svg))

    def test_like_classes_are_one_cluster(self, alike):
        assert "blood and hematopoietic stem cell" in alike.description
        assert re.search("skin and brain|brain and skin", alike.description)

    def test_the_first_markers_are_named_below_their_columns(self, full, alike):
        first = {each.feature for each in full.explanations.markers if each.rank == 1}
        assert first <= set(texts(alike.svg))

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

    def test_hits_are_counted(self, drawn):
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

    def shown(self):
        written = texts(self.draw(100).svg)
        return [int(text.split("-")[2]) for text in written if text.startswith("hsa-miR")]

    def test_of_many_features_those_with_the_largest_scores_are_drawn(self):
        largest = np.argsort(-np.abs(self.scores(100)).max(axis=0), kind="stable")[:60]
        assert set(self.shown()) == set(largest.tolist())

    def test_of_many_features_the_order_is_kept(self):
        shown = self.shown()
        assert len(shown) == 60
        assert shown == sorted(shown)

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

    def test_stored_scores_are_written(self, drawn):
        written = texts(drawn["sample-1"].svg)
        assert {"1.5", "−0.5", "0.7", "0.2", "hsa-let-7a-5p", "hsa-miR-21-5p"} <= set(written)

    def test_a_score_that_is_not_stored_is_an_empty_cell(self, drawn):
        assert "0.0" not in texts(drawn["sample-1"].svg)


class TestAblation:
    def test_sets_of_features_stand_in_their_order(self, of_sex):
        sets = ("sRNAs", "contaminants", "both")
        assert [text for text in texts(of_sex.svg) if text in sets] == list(sets)

    def test_accuracies_stand_beside_the_papers(self, of_sex):
        shares = {text.replace("\N{NO-BREAK SPACE}", " ") for text in texts(of_sex.svg)}
        assert {"71.0 %", "62.0 %", "83.0 %", "77.0 %", "76.9 %", "76.2 %"} <= shares

    def test_no_text_is_cut(self, of_sex):
        assert not outside(of_sex.svg)

    def test_no_text_lies_upon_another(self, of_sex):
        assert not overlapping(of_sex.svg)

    def test_the_paper_has_nothing_on_three_intervals(self):
        figure = ablation_figure("age", "cv", ablation_metrics(AGES))
        assert "paper" not in texts(figure.svg)

    def test_the_paper_is_compared_with_on_four_intervals(self):
        figure = ablation_figure("age", "cv", ablation_metrics((*AGES, "x")))
        assert "both, neural network 63.5" in figure.description
