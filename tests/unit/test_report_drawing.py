"""Every figure of the report: nothing is cut, it is safe to embed, and holds for dark pages."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from annotator.report.figures import figures
from annotator.report.figures.accuracy import accuracy
from annotator.report.figures.drawing import NARROW
from annotator.report.figures.enrichment import enrichment
from annotator.report.figures.maps import maps
from annotator.report.figures.markers import markers
from annotator.report.figures.theme import (
    COUNTERPARTS,
    DARK,
    LEVELS,
    LIGHT,
    THEMES,
    ink,
)
from tests.support.drawn_figures import (
    HOSTILE,
    LONG,
    NAMES,
    SVG,
    contents,
    contrast,
    inherited,
    named,
    outside,
    overlapping,
    texts,
)
from tests.support.strange_text import is_seen


@pytest.fixture(scope="module")
def full():
    return contents(groups={"hematopoietic stem cell": "blood"})


@pytest.fixture(scope="module")
def drawn(full):
    return {figure.name: figure for figure in figures(full)}


@pytest.fixture(scope="module", params=[1, 2, 26])
def long_names(request):
    names = [
        f"{LONG} {place}" if place % 5 == 0 else f"cell {place}" for place in range(request.param)
    ]
    made = contents(names, samples=3 * len(names) + 10, markers=3, sets=(LONG, HOSTILE))
    return figures(made)


@pytest.fixture(scope="module")
def hostile():
    made = renamed(contents(("blood", HOSTILE), groups={"blood": HOSTILE}))
    return figures(replace(made, release=replace(made.release, reasons=(HOSTILE,))))


def renamed(thing):
    """Return contents whose samples, datasets and features have names with hostile ends."""
    if isinstance(thing, str):
        return thing + HOSTILE if thing.startswith(("GSM", "GSE", "hsa-")) else thing
    if isinstance(thing, tuple | dict):
        pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
        made = {renamed(name): renamed(each) for name, each in pairs}
        return made if isinstance(thing, dict) else tuple(made.values())
    if isinstance(thing, np.ndarray) and thing.dtype == object:
        return np.array([renamed(each) for each in thing], dtype=object)
    if is_dataclass(thing):
        return replace(
            thing, **{each.name: renamed(getattr(thing, each.name)) for each in fields(thing)}
        )
    return thing


def each_figure(test):
    """Run a test once per figure of a full report."""
    return pytest.mark.parametrize("name", NAMES)(test)


class TestAllFigures:
    def test_they_stand_in_the_order_of_the_report(self, drawn):
        assert tuple(drawn) == NAMES

    def test_the_same_contents_give_the_same_bytes(self, full, drawn):
        for figure in (*accuracy(full), *enrichment(full), *maps(full), *markers(full)):
            assert figure.svg == drawn[figure.name].svg

    def test_settings_of_the_users_change_nothing(self, full, drawn):
        with mpl.rc_context({"svg.fonttype": "path", "path.sketch": (9, 9, 9)}):
            assert named(accuracy(full))["accuracy-by-kind"].svg == drawn["accuracy-by-kind"].svg

    @each_figure
    def test_each_is_an_image(self, drawn, name):
        assert ElementTree.fromstring(drawn[name].svg).get("role") == "img"

    @each_figure
    def test_its_title_names_it(self, drawn, name):
        root = ElementTree.fromstring(drawn[name].svg)
        title = root.find(f"{SVG}title")
        assert title.text == drawn[name].title
        assert root.get("aria-labelledby") == title.get("id") == f"{name}-title"

    @each_figure
    def test_its_description_has_the_key_numbers(self, drawn, name):
        root = ElementTree.fromstring(drawn[name].svg)
        description = root.find(f"{SVG}desc")
        assert description.text == drawn[name].description
        assert root.get("aria-describedby") == description.get("id")
        assert re.search(r"\d", description.text)

    def test_ids_do_not_collide_on_one_page(self, drawn):
        ids = [
            each for figure in drawn.values() for each in re.findall(r' id="([^"]+)"', figure.svg)
        ]
        assert len(ids) == len(set(ids))

    @each_figure
    def test_nothing_is_loaded(self, drawn, name):
        svg = drawn[name].svg
        loaded = re.findall(r'(?:href|src)="(#|[^"]{0,22})', svg)
        assert set(loaded) <= {"#", "data:image/png;base64,"}
        assert set(re.findall(r"url\((.)", svg)) <= {"#"}

    @each_figure
    def test_no_rule_reaches_the_page(self, drawn, name):
        (rules,) = re.findall(r"<style[^>]*>(.*?)</style>", drawn[name].svg)
        selectors = [each for each in re.findall(r"([^{}]+)\{", rules) if each[0] != "@"]
        assert selectors
        assert all(".annotator-figure" in selector for selector in selectors)

    @each_figure
    def test_what_is_referred_to_is_there(self, drawn, name):
        ids = set(re.findall(r' id="([^"]+)"', drawn[name].svg))
        used = re.findall(r'(?:href="|url\()#([^")]+)', drawn[name].svg)
        assert set(used) <= ids

    @each_figure
    def test_texts_are_texts(self, drawn, name):
        assert len(texts(drawn[name].svg)) > 4

    def test_names_of_classes_are_written(self, drawn):
        assert {"blood", "brain", "skin"} <= set(texts(drawn["confusion-combined"].svg))

    @each_figure
    def test_only_wide_figures_need_scrolling_on_a_phone(self, drawn, name):
        figure = drawn[name]
        assert ("min-width" in figure.svg) == (figure.width > NARROW)
        assert f'width="{figure.width:.0f}"' in figure.svg

    def test_no_name_is_cut(self, long_names):
        assert {
            figure.name: outside(figure.svg) for figure in long_names if outside(figure.svg)
        } == {}

    def test_no_name_lies_upon_another(self, long_names):
        assert [figure.name for figure in long_names if overlapping(figure.svg)] == []

    def test_no_word_of_a_long_name_is_left_out(self, long_names):
        for figure in long_names:
            if figure.name.startswith(("accuracy-by-class", "confusion", "stab", "simil")):
                assert all(word in " ".join(texts(figure.svg)) for word in LONG.split())

    def test_hostile_names_are_not_markup(self, hostile):
        for figure in hostile:
            ElementTree.fromstring(figure.svg)
            assert "<b onload" not in figure.svg

    def test_every_character_of_a_figure_is_seen(self, hostile):
        for figure in hostile:
            shown = (figure.title, figure.description, *figure.svg.split("\n"))
            assert all(map(is_seen, shown)), figure.name

    def test_characters_that_are_not_seen_are_written_as_escapes(self, hostile):
        written = " ".join(texts(named(hostile)["confusion-combined"].svg))
        assert r"\x07\ttab\n\x1b[2J\u202e\u2028" in written

    @pytest.mark.parametrize("part", ["肝臓", "$\\alpha^2$"])
    def test_other_letters_and_formulas_are_written_as_they_are(self, hostile, part):
        assert any(part in text for text in texts(hostile[0].svg))


class TestPages:
    """One drawing holds for light and dark pages."""

    @each_figure
    def test_every_colour_has_a_counterpart(self, drawn, name):
        colours = re.findall(r'(?:fill|stroke)="(#\w+)"', drawn[name].svg)
        assert colours
        assert set(colours) <= COUNTERPARTS.keys()

    @each_figure
    def test_every_colour_is_replaced_on_a_dark_page(self, drawn, name):
        svg = drawn[name].svg
        for kind, colour in set(re.findall(r'(fill|stroke)="(#\w+)"(?!\])', svg)):
            dark = COUNTERPARTS[colour]
            rule = f'[{kind}="{colour}"]{{{kind}:light-dark({colour},{dark})}}'
            assert rule in svg

    @each_figure
    def test_no_mark_is_left_in_a_colour_of_its_own(self, drawn, name):
        root = ElementTree.fromstring(drawn[name].svg)
        for text, look in inherited(root):
            assert look.get("fill") in COUNTERPARTS, text.text

    def test_counterparts_are_those_of_the_dark_page(self):
        for name in ("text", "muted", "grid", "surface", "rest"):
            assert COUNTERPARTS[getattr(LIGHT, name)] == getattr(DARK, name)

    def test_no_colour_stands_for_two(self):
        ramps = 2 * LEVELS
        assert len(COUNTERPARTS) == 5 + len(LIGHT.categories) + ramps + 4

    def test_a_bitmap_is_there_for_each_page(self, drawn):
        root = ElementTree.fromstring(drawn["marker-expression"].svg)
        images = {each.get("class"): each.get("display") for each in root.iter(f"{SVG}image")}
        assert images == {"on-light": None, "on-dark": "none"}

    def test_figures_without_bitmaps_have_no_rules_for_them(self, drawn):
        assert "on-dark" not in drawn["confusion-combined"].svg

    @pytest.mark.parametrize("ramp", ["sequential", "diverging"])
    @pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
    def test_texts_can_be_read_on_cells_of_either_page(self, theme, ramp):
        for share in np.linspace(0, 1, 101):
            written = ink(ramp, share)
            shown = written if theme is LIGHT else COUNTERPARTS[written]
            assert contrast(shown, theme.ramp(ramp)(share)) >= 4.5
