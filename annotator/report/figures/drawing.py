"""Figures as SVG: Matplotlib draws each for a light and for a dark page, one file holds both."""

from __future__ import annotations

import io
import re
import textwrap
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from xml.etree import ElementTree

from matplotlib import style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from annotator.report.figures.theme import THEMES, Theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes

NARROW: Final = 420.0
"""Width in pixels of a figure that is readable on a phone without scrolling."""
LINE: Final = 14.0
"""Height of a line of text in pixels."""
LETTER: Final = 6.8
"""Width of a letter of a usual name in pixels, at most."""

_STYLE: Final = "annotator.report.figures.figures"
_LARGEST: Final = 1.3  # figures grow up to this share of their own width
_SMALLEST: Final = 0.85  # wide ones are scrolled below this share, so that text stays readable
_ROOM: Final = 240.0  # pixels around what a canvas is for; what is not used is cut off
_PAD: Final = 3.0
_INCH: Final = 72  # pixels
_BITMAPS: Final = 160  # pixels of a bitmap to the inch
_SVG: Final = "http://www.w3.org/2000/svg"
_LINK: Final = "{http://www.w3.org/1999/xlink}href"
_FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def _dark(at: str) -> str:
    return (
        f"{at}{{background:{THEMES[1].surface}}}"
        f"{at} .on-light{{display:none}}{at} .on-dark{{display:inline}}"
    )


# Dark is what the reader's system or the page's data-theme asks for; print is light.
_RULES: Final = (
    f".annotator-figure{{background:{THEMES[0].surface}}}"
    f".annotator-figure text{{font-family:{_FONT}!important}}"
    ".annotator-figure .on-dark{display:none}"
    ".annotator-figure:root{color-scheme:light dark}"
    "@media screen and (prefers-color-scheme:dark){"
    f"{_dark('.annotator-figure:root')}"
    f"{_dark(':root:not([data-theme=light]) .annotator-figure')}}}"
    f"@media screen{{{_dark(':root[data-theme=dark] .annotator-figure')}}}"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a report.

    Attributes
    ----------
    name
        Stable, for file names and links: lower case and hyphens.
    title
        Its subject, for a caption.
    description
        The text alternative: its message, with the key numbers.
    svg
        The SVG element with its styles, for a page or, as it is, for a file. It takes
        the width it is given up to a limit; where it is wider than a phone it does not
        shrink below what can be read, so what holds it has to scroll sideways.
    width
        Its own width in pixels.
    """

    name: str
    title: str
    description: str
    svg: str
    width: float


def draw(
    name: str, title: str, description: str, make: Callable[[Theme], Canvas], *, heading: str = ""
) -> Figure:
    """Draw a figure for light and for dark pages.

    Parameters
    ----------
    name, title, description
        As in :class:`Figure`.
    make
        Draws it in the colours that it is given. It is called once for each page, under
        the settings of the style sheet, so that the user's settings change nothing.
    heading
        Text above a figure that is not part of a page.

    Returns
    -------
    Figure
        The same arguments give the same bytes.
    """
    title, description = plain(title), plain(description)
    parts: list[ElementTree.Element] = []
    for theme in THEMES:
        with _settings(theme, name):
            canvas = make(theme)
            if heading:
                _write_above(canvas, heading)
            if not parts:  # both pages have the same layout
                left, top, width, height = _extent(canvas)
            parts.append(_part(canvas, theme))
    limits = f"max-width:{_LARGEST * width:.0f}px"
    if width > NARROW:
        limits += f";min-width:{_SMALLEST * width:.0f}px"
    root = ElementTree.Element(
        f"{{{_SVG}}}svg",
        {
            "class": "annotator-figure",
            "role": "img",
            "width": f"{width:.0f}",
            "height": f"{height:.0f}",
            "viewBox": f"{left:.1f} {top:.1f} {width:.1f} {height:.1f}",
            "style": f"display:block;width:100%;height:auto;{limits}",
            "aria-labelledby": f"{name}-title",
            "aria-describedby": f"{name}-description",
        },
    )
    for tag, id_, text in (("title", "title", title), ("desc", "description", description)):
        ElementTree.SubElement(root, f"{{{_SVG}}}{tag}", {"id": f"{name}-{id_}"}).text = text
    ElementTree.SubElement(root, f"{{{_SVG}}}style").text = _RULES
    root.extend(parts)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return Figure(name, title, description, ElementTree.tostring(root, encoding="unicode"), width)


@contextmanager
def _settings(theme: Theme, salt: str) -> Iterator[None]:
    own = theme.settings() | {"svg.hashsalt": f"{salt}-{theme.name}"}
    with style.context([_STYLE, own], after_reset=True), warnings.catch_warnings():
        # The font that widths are measured with need not have every letter of a name.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield


def _extent(canvas: Canvas) -> tuple[float, float, float, float]:
    """Return left, top, width and height of all that is drawn, in pixels."""
    box = canvas.get_tightbbox()
    pixels = canvas.dpi
    left, top = pixels * box.x0 - _PAD, canvas.bbox.height - pixels * box.y1 - _PAD
    width, height = pixels * box.width + 2 * _PAD, pixels * box.height + 2 * _PAD
    return float(left), float(top), float(width), float(height)


def _part(canvas: Canvas, theme: Theme) -> ElementTree.Element:
    """Return what is drawn for one page, without rules and names that would reach beyond it."""
    buffer = io.StringIO()
    canvas.set_dpi(_BITMAPS)
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(canvas).print_svg(buffer, metadata=nothing)  # type: ignore[no-untyped-call]
    drawn = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 (written just above)
    group = ElementTree.Element(
        f"{{{_SVG}}}g",
        {"class": f"on-{theme.name}", "stroke-linejoin": "round", "stroke-linecap": "butt"},
    )
    if theme is not THEMES[0]:
        group.set("display", "none")  # for programs that know no styles
    group.extend(
        child
        for child in drawn
        if not child.tag.endswith("metadata") and child.find(f"{{{_SVG}}}style") is None
    )
    used = set()
    for element in group.iter():
        used.add(element.get(_LINK, "").removeprefix("#"))
        used.add(element.get("clip-path", "").removeprefix("url(#").removesuffix(")"))
    for element in group.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
    return group


def canvas_of(width: float, height: float) -> Canvas:
    """Return a canvas for so many pixels, with room for labels around them."""
    return Canvas(figsize=((width + 2 * _ROOM) / _INCH, (height + 2 * _ROOM) / _INCH))


def place(canvas: Canvas, left: float, top: float, width: float, height: float) -> Axes:
    """Return new axes at pixels from the top left corner of what the canvas is for."""
    across, up = canvas.bbox.width, canvas.bbox.height
    bottom = up - _ROOM - top - height
    return canvas.add_axes(((_ROOM + left) / across, bottom / up, width / across, height / up))


def note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float],
    colour: str,
    *,
    across: Literal["left", "right"] = "right",
    up: Literal["center", "bottom"] = "center",
) -> None:
    """Write beside axes, so many pixels right of and above a place that is a share of them."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        xycoords="axes fraction",
        textcoords="offset points",
        horizontalalignment=across,
        verticalalignment=up,
        color=colour,
    )


def below(canvas: Canvas) -> float:
    """Return the pixel from the top at which all that has been drawn so far ends."""
    _, top, _, height = _extent(canvas)
    return top + height - _ROOM


def _write_above(canvas: Canvas, heading: str) -> None:
    """Write lines above all that is drawn."""
    left, top, width, _ = _extent(canvas)
    canvas.text(
        (left + _PAD) / canvas.bbox.width,
        1 - (top - 8) / canvas.bbox.height,
        wrapped(heading, max(30, int(width / 8))),
        fontsize=13,
        fontweight="bold",
        verticalalignment="bottom",
    )


def plain(text: str) -> str:
    """Return the text on one line and without characters that XML does not allow."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) in {"Cc", "Cs", "Cn"} else letter
        for letter in re.sub(r"[ \t\n\r\f\v]+", " ", text).strip()
    )


def wrapped(text: str, letters: int = 24) -> str:
    """Break a name into lines of at most so many letters, where it has spaces; nothing is cut."""
    return textwrap.fill(plain(text), letters, break_long_words=False, break_on_hyphens=False)


def most_lines(labels: Sequence[str]) -> int:
    """Return how many lines the tallest of some wrapped labels has."""
    return max((label.count("\n") for label in labels), default=0) + 1


def widest(labels: Sequence[str]) -> int:
    """Return how many letters the longest line of some wrapped labels has."""
    return max((len(line) for label in labels for line in label.split("\n")), default=0)
