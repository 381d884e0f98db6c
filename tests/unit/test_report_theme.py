"""Colours, words, intervals and the paper's values: what figures are made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotator.domain.wording import counted
from annotator.report.figures.drawing import plain, wrapped
from annotator.report.figures.theme import (
    DARK,
    LIGHT,
    THEMES,
    luminance,
    readable_on,
)
from annotator.report.intervals import intervals
from annotator.report.paper_figures import paper_accuracies
from annotator.report.words import listed, percent, significant
from tests.support.drawn_figures import (
    contents,
    contrast,
)


@pytest.fixture(scope="module")
def full():
    return contents()


class TestPaper:
    @pytest.mark.parametrize(
        ("sizes", "kind", "of_groups", "expected"),
        [
            ([15, 400], "network", True, 0.98),
            ([14, 400], "network", True, 0.97),
            ([8, 400], "network", True, 0.965),
            ([8, 400], "forest", True, None),
            ([15, 400], "network", False, 0.965),
            ([15, 400], "forest", False, None),
        ],
    )
    def test_the_strictest_class_size_that_is_met_is_compared_with(
        self, sizes, kind, of_groups, expected
    ):
        found = paper_accuracies("tissue", sizes, of_groups=of_groups)
        fact = found.get(("cv", "accuracy", kind))
        assert (None if fact is None else fact.value) == expected

    @pytest.mark.parametrize(("classes", "expected"), [(2, 0.771), (3, None), (4, 0.635)])
    def test_numbers_of_classes_have_to_be_the_same(self, classes, expected):
        found = paper_accuracies("age", [50] * classes, of_groups=False)
        fact = found.get(("cv", "accuracy", "network"))
        assert (None if fact is None else fact.value) == expected

    def test_the_paper_has_nothing_on_other_fields(self):
        assert paper_accuracies("height", [50, 50], of_groups=False) == {}


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

    def test_few_datasets_have_none(self):
        assert intervals(contents(datasets=4).held_out, "accuracy") == {}

    def test_without_predictions_there_is_none(self):
        assert intervals(None, "accuracy") == {}

    def test_other_metrics_have_none(self, full):
        assert intervals(full.held_out, "log_loss") == {}


class TestTheme:
    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_texts_stand_out(self, theme):
        for colour in (theme.text, theme.muted):
            assert contrast(colour, theme.surface) >= 4.5

    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_marks_stand_out(self, theme):
        for colour in theme.categories:
            assert contrast(colour, theme.surface) >= 3

    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_black_or_white_can_be_read_on_every_colour(self, theme):
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
        assert plain("  a  b\n\x00\ud800 ") == r"a b\n\x00\ud800"
        assert plain("9\N{NO-BREAK SPACE}%") == "9\N{NO-BREAK SPACE}%"

    def test_numbers_of_things_are_worded(self):
        assert (counted(1, "class"), counted(1200, "class")) == ("1 class", "1,200 classes")

    @pytest.mark.parametrize(
        ("things", "expected"), [(["a", "b", "c"], "a, b and c"), (["a"], "a"), ([], "")]
    )
    def test_lists_are_worded(self, things, expected):
        assert listed(things) == expected

    @pytest.mark.parametrize(
        ("share", "expected"),
        [
            (0, "0 %"),
            (1e-5, "under 0.1 %"),
            (0.831, "83.1 %"),
            (0.99999, "over 99.9 %"),
            (1, "100 %"),
        ],
    )
    def test_shares_are_worded(self, share, expected):
        assert percent(share).replace("\N{NO-BREAK SPACE}", " ") == expected

    @pytest.mark.parametrize(
        ("value", "digits", "expected"),
        [(1234.5, 3, "1,234"), (0.01234, 3, "0.0123"), (12.3, 2, "12")],
    )
    def test_numbers_have_as_many_digits_as_asked_for(self, value, digits, expected):
        assert significant(value, digits) == expected
