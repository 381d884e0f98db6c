"""Reports in a browser: what a person sees, also with a keyboard, on paper and in the dark."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from annotator.domain.wording import visible
from annotator.report.figures import figures
from annotator.report.html import page as report_page
from tests.support import made_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WIDTHS = (360, 800, 1600)
SECTIONS = (
    *("summary", "data", "accuracy", "mistakes", "selective", "markers", "samples", "similarity"),
    *("enrichment", "suspects", "provenance"),
)
EXPECTED = {
    *("map-by-group", "map-by-dataset", "accuracy-by-kind", "accuracy-by-class"),
    "accuracy-of-classes-of-9",
    *("confusion-combined", "confusion-network", "confusion-forest", "reliability"),
    *("risk-coverage", "markers", "marker-expression", "similarity", "stability", "enrichment"),
}
LARGEST = 10_000_000  # bytes of a report

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed: the page of a report is not looked at"
)

# What has a size on the page, also inside of folded parts.
SHOWN = """
() => Array.from(document.querySelectorAll('figure svg, table, h2, h3, figcaption, pre'))
    .filter(each => { const box = each.getBoundingClientRect();
                      return box.width < 1 || box.height < 1 || !each.checkVisibility(); })
    .map(each => each.outerHTML.slice(0, 120))
"""
VISIBLE_FIGURES = """
() => Array.from(document.querySelectorAll('figure'))
    .filter(each => { const drawn = each.querySelector('svg');
                      const box = drawn.getBoundingClientRect();
                      const marks = drawn.querySelectorAll('path, rect, image, circle, text');
                      return box.width > 50 && box.height > 50 && marks.length > 3
                          && getComputedStyle(drawn).visibility === 'visible'; })
    .map(each => each.id.replace('figure-', ''))
"""
# Contrast (WCAG 2.2) of what is written in figures with what lies behind it; axe looks at
# no drawing. Bitmaps are not looked at: nothing is written on them.
PALE = """
() => {
    const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const light = colour => rgb(colour).map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
    const found = [];
    for (const svg of document.querySelectorAll('figure svg')) {
        for (const text of svg.querySelectorAll('text')) {
            if (text.getClientRects().length === 0) continue;  // of the other colours
            text.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
            const box = text.getBoundingClientRect();
            const behind = document
                .elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
                .filter(each => ['path', 'use'].includes(each.tagName)
                    && getComputedStyle(each).fill !== 'none');
            const ground = behind.length ? getComputedStyle(behind[0]).fill
                                         : getComputedStyle(svg).backgroundColor;
            const ink = getComputedStyle(text).fill;
            const [low, high] = [light(ink), light(ground)].sort((a, b) => a - b);
            const contrast = (high + 0.05) / (low + 0.05);
            if (contrast < 4.5)
                found.push(`${text.textContent}: ${ink} on ${ground} is ${contrast.toFixed(2)}`);
        }
    }
    return found;
}
"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNFOLD = "() => document.querySelectorAll('details').forEach(each => { each.open = true; })"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def opened(browser, path, width=1200, **options):
    """The page in a window; it is an error if it says anything or asks for anything."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    said, asked = [], []
    tab = context.new_page()
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    yield tab
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


def written(folder, contents):
    path = folder / "report.html"
    path.write_text(report_page(contents, figures(contents)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of twelve classes, some with names that are hard on a page."""
    return written(tmp_path_factory.mktemp("made"), made_report.made_contents())


@pytest.fixture(scope="module", params=["forty", "bare", "refused"])
def any_report(request, tmp_path_factory):
    contents = {
        "forty": lambda: made_report.made_contents(40, 2000),
        "bare": made_report.bare_contents,
        "refused": lambda: made_report.made_contents(3, 60, status="rejected"),
    }[request.param]()
    return written(tmp_path_factory.mktemp(request.param), contents)


def violations(tab, **rules):
    """Return the rules of axe-core that the page breaks, one line each; ``rules`` are switched."""
    switched = {name.replace("_", "-"): {"enabled": on} for name, on in rules.items()}
    options = {"resultTypes": ["violations"], "rules": switched}
    found = Axe().run(tab, options=options).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


def test_every_figure_and_section_is_there(browser, made):
    assert made.stat().st_size < LARGEST
    with opened(browser, made) as tab:
        assert set(tab.evaluate(VISIBLE_FIGURES)) >= EXPECTED
        assert tab.locator("h1").count() == 1
        sections = tab.locator("main > section")
        assert tuple(each.get_attribute("id") for each in sections.all())[: len(SECTIONS)] == (
            SECTIONS
        )
        for name in SECTIONS:
            assert tab.locator(f'nav a[href="#{name}"]').count() == 1
        assert tab.locator("table caption").count() == tab.locator("table").count() > 8


def test_hostile_names_are_text(browser, made):
    with opened(browser, made) as tab:
        assert tab.locator("#table-classes th", has_text=visible(made_report.HOSTILE)).count() == 1
        assert tab.locator("script").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_held_against_it(browser, made, scheme):
    with opened(browser, made, color_scheme=scheme) as tab:
        tab.evaluate(UNFOLD)
        assert violations(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_in_figures_can_be_read(browser, made, scheme):
    with opened(browser, made, color_scheme=scheme) as tab:
        tab.evaluate(UNFOLD)
        assert tab.locator("figure svg text").count() > 300
        assert tab.evaluate(PALE) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_changes_page_and_figures(browser, made, scheme):
    other = {"light": "dark", "dark": "light"}[scheme]

    def colours(tab):
        return tab.evaluate(
            "() => ['body', '#figure-reliability svg', '#figure-reliability svg text']"
            ".map(name => Array.from(document.querySelectorAll(name)))"
            ".map(found => getComputedStyle(found.find(each => each.getClientRects().length)))"
            ".map((style, place) => [style.backgroundColor, style.backgroundColor, style.fill]"
            "[place])"
        )

    with opened(browser, made, color_scheme=other) as tab:
        wanted = colours(tab)
    with opened(browser, made, color_scheme=scheme) as tab:
        assert colours(tab) != wanted
        tab.get_by_role("button", name=f"{other.capitalize()} colours").press("Enter")
        assert colours(tab) == wanted
        tab.get_by_role("button", name=f"{scheme.capitalize()} colours").click()
        assert colours(tab) != wanted


@pytest.mark.parametrize("width", WIDTHS)
def test_no_window_is_too_narrow(browser, made, width):
    with opened(browser, made, width=width) as tab:
        tab.evaluate(UNFOLD)
        assert tab.evaluate(TOO_WIDE) == 0
        assert tab.evaluate(SHOWN) == []
        assert set(tab.evaluate(VISIBLE_FIGURES)) >= EXPECTED | {"sample-1", "sample-6"}


def test_on_paper_everything_is_there(browser, made):
    with opened(browser, made, width=700, color_scheme="dark") as tab:
        assert tab.evaluate(SHOWN) != []  # folded
        tab.emulate_media(media="print")
        assert tab.evaluate(SHOWN) == []
        assert tab.evaluate(TOO_WIDE) == 0
        assert set(tab.evaluate(VISIBLE_FIGURES)) >= EXPECTED
        paper = "() => getComputedStyle(document.body).backgroundColor"
        assert tab.evaluate(paper) == "rgb(255, 255, 255)"
        cut = (
            "() => Array.from(document.querySelectorAll('.scroll, pre'))"
            ".filter(each => each.scrollWidth > each.clientWidth + 1).length"
        )
        assert tab.evaluate(cut) == 0


def column(tab, table, place):
    return [
        cell.inner_text().strip()
        for cell in tab.locator(f"#table-{table} tbody tr > :nth-child({place})").all()
    ]


def test_tables_are_sorted_with_the_keyboard(browser, made):
    with opened(browser, made) as tab:
        before = column(tab, "classes", 1)
        head = tab.locator("#table-classes thead th").first
        assert head.get_attribute("aria-sort") is None
        button = head.get_by_role("button")
        button.focus()
        tab.keyboard.press("Enter")
        by_name = column(tab, "classes", 1)
        assert sorted(by_name) == sorted(before)
        assert by_name[-1] == "tissue 11"
        assert head.get_attribute("aria-sort") == "ascending"
        assert "Sorted by Class, ascending" in tab.get_by_role("status").inner_text()
        tab.keyboard.press("Space")
        assert column(tab, "classes", 1) == by_name[::-1]
        assert head.get_attribute("aria-sort") == "descending"
        assert tab.locator("#table-classes [aria-sort]").count() == 1


def test_numbers_are_sorted_as_numbers_and_what_is_missing_comes_last(browser, made):
    with opened(browser, made) as tab:
        tab.evaluate(UNFOLD)
        button = tab.get_by_role("button", name="Rank in the forest")
        for direction in (-1, 1):
            button.press("Enter")
            shown = column(tab, "markers", 8)
            known = [int(text) for text in shown if text != "–"]
            assert known == sorted(known, reverse=direction < 0)
            assert len(known) > 10
            assert set(shown[len(known) :]) == {"–"}


def test_without_a_script_all_is_readable_and_nothing_pretends_to_work(browser, made):
    with opened(browser, made, java_script_enabled=False) as tab:
        assert tab.get_by_role("button").count() == 0
        assert tab.locator("#table-classes tbody tr").count() == 12
        assert tab.locator('#table-classes thead th[aria-sort="descending"]').count() == 1


def test_a_keyboard_gets_past_the_contents(browser, made):
    with opened(browser, made) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("() => document.activeElement.className") == "skip"
        tab.keyboard.press("Enter")
        assert tab.evaluate("() => document.activeElement.id") == "content"


def test_any_report_holds(browser, any_report):
    assert any_report.stat().st_size < LARGEST
    for width in WIDTHS:
        with opened(browser, any_report, width=width) as tab:
            tab.evaluate(UNFOLD)
            assert tab.evaluate(TOO_WIDE) == 0
            assert tab.evaluate(SHOWN) == []
            if width == WIDTHS[1]:
                assert violations(tab, color_contrast=False) == []  # of one style with the others


def test_reports_of_a_real_run(browser, trained, tmp_path):
    """The command, on releases that it trained itself."""
    out = trained.run("report", "--out", str(tmp_path / "reports")).out
    pages = sorted((tmp_path / "reports").glob("release-*.html"))
    assert {path.stem.split("-")[2] for path in pages} == {"tissue", "sex", "age"}
    for path in pages:
        assert str(path) in out
        assert path.stat().st_size < LARGEST
        drawn = {file.stem for file in path.with_suffix("").glob("*.svg")}
        assert {"map-by-dataset", "accuracy-by-kind", "confusion-combined", "markers"} <= drawn
        with opened(browser, path) as tab:
            tab.evaluate(UNFOLD)
            assert set(tab.evaluate(VISIBLE_FIGURES)) == drawn
            assert violations(tab) == []
        svg = path.with_suffix("") / "reliability.svg"
        with opened(browser, svg) as tab:
            assert tab.locator("svg").bounding_box()["width"] > 50
