"""The means of drawing that all figures share: axes in pixels, texts, lines, and their SVG."""

from __future__ import annotations

import io
import math
import re
import textwrap
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from annotator.domain.wording import visible
from annotator.report.figures.svg import document
from annotator.report.figures.theme import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

NARROW: Final = 420.0
"""Width in pixels of a figure that is readable on a phone without scrolling."""
LINE: Final = 14.0
"""Height of a line of text in pixels."""
SIZE: Final = 11.0
"""Size of texts in pixels."""

_STYLE: Final = "annotator.report.figures.figures"
_FONT: Final = "DejaVu Sans"  # wider than the fonts of pages, so that what fits in it fits
_LARGEST: Final = 1.3  # figures grow up to this share of their own width
_SMALLEST: Final = 0.85  # wide ones are scrolled below this share, so that text stays readable
_ROOM: Final = 240.0  # pixels around what a canvas is for; what is not used is cut off
_PAD: Final = 3.0
_INCH: Final = 72  # pixels
_GAP: Final = (math.nan, math.nan)
_STEP: Final = 1.2  # from a line of text to the next, as a share of the size


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
    name: str, title: str, description: str, make: Callable[[], Canvas], *, heading: str = ""
) -> Figure:
    """Draw a figure for light and for dark pages.

    Parameters
    ----------
    name, title, description
        As in :class:`Figure`.
    make
        Draws it in the colours of a light page, under the settings of the style sheet,
        so that the user's settings change nothing.
    heading
        Text above a figure that is not part of a page.

    Returns
    -------
    Figure
        The same arguments give the same bytes.
    """
    title, description = plain(title), plain(description)
    with _settings(name):
        canvas = make()
        if heading:
            _write_above(canvas, heading)
        left, top, width, height = _extent(canvas)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(canvas).print_svg(buffer, metadata=nothing)  # type: ignore[no-untyped-call]
    limits = f"max-width:{_LARGEST * width:.0f}px"
    if width > NARROW:
        limits += f";min-width:{_SMALLEST * width:.0f}px"
    attributes = {
        "role": "img",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "viewBox": f"{left:.1f} {top:.1f} {width:.1f} {height:.1f}",
        "style": f"display:block;width:100%;height:auto;{limits}",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-description",
        "stroke-linejoin": "round",
    }
    texts = (("title", f"{name}-title", title), ("desc", f"{name}-description", description))
    svg = document(buffer.getvalue(), attributes, texts)
    return Figure(name, title, description, svg, width)


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    own: dict[str, Any] = {"svg.hashsalt": salt, "text.color": LIGHT.text}
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


def canvas_of(width: float, height: float) -> Canvas:
    """Return a canvas for so many pixels, with room for labels around them."""
    canvas = Canvas(figsize=((width + 2 * _ROOM) / _INCH, (height + 2 * _ROOM) / _INCH))
    canvas.patch.set_visible(False)
    return canvas


def place(canvas: Canvas, left: float, top: float, width: float, height: float) -> Axes:
    """Return new axes at pixels from the top left corner of what the canvas is for.

    Both directions are in pixels from the top left corner of the axes until a scale is
    drawn; nothing is drawn of the axes themselves.
    """
    across, up = canvas.bbox.width, canvas.bbox.height
    bottom = up - _ROOM - top - height
    axes = canvas.add_axes(((_ROOM + left) / across, bottom / up, width / across, height / up))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return axes


class _Labels(Artist):
    """Texts of one look, which Matplotlib need not lay out one by one: it takes most of its time.

    Parameters
    ----------
    lines
        Each line with its place: pixels right of and below the top left corner of the axes.
    pen
        Has colour, font, alignment and rotation.
    """

    def __init__(self, lines: Sequence[tuple[float, float, str]], pen: Text) -> None:
        super().__init__()
        self._lines = lines
        self._pen = pen
        self.set_clip_on(False)
        self.set_zorder(3)

    def draw(self, renderer: RendererBase) -> None:
        """Write the lines."""
        assert self.axes is not None
        left, top = self.axes.bbox.x0, self.axes.bbox.y1
        _, height = renderer.get_canvas_width_height()
        font, angle = self._pen.get_fontproperties(), self._pen.get_rotation()
        context = renderer.new_gc()
        context.set_foreground(self._pen.get_color())
        for x, y, line in self._lines:
            at = round(left + x, 1), round(top - y, 1)
            self._pen.set_position(at)
            renderer.draw_text(context, at[0], height - at[1], line, font, angle, mtext=self._pen)
        context.restore()

    def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:  # noqa: ARG002
        """Return what the lines take, in pixels of the canvas."""
        assert self.axes is not None
        size = float(self._pen.get_fontsize())
        is_bold = self._pen.get_fontweight() == "bold"
        before = {"left": 0.0, "center": 0.5, "right": 1.0}[self._pen.get_horizontalalignment()]
        corners = []
        for x, y, line in self._lines:
            length = text_width(line, size, is_bold=is_bold)
            start, end = -before * length, (1 - before) * length
            if self._pen.get_rotation():
                corners += [(x - size, y - start), (x + 0.3 * size, y - end)]
            else:
                corners += [(x + start, y - size), (x + end, y + 0.3 * size)]
        left, top = self.axes.bbox.x0, self.axes.bbox.y1
        return Bbox.null() if not corners else _box([(left + x, top - y) for x, y in corners])


def _box(corners: Sequence[tuple[float, float]]) -> Bbox:
    across, up = zip(*corners, strict=True)
    return Bbox.from_extents(min(across), min(up), max(across), max(up))


def write(
    axes: Axes,
    texts: Iterable[tuple[float, float, str]],
    colour: str = LIGHT.text,
    *,
    across: Literal["left", "center", "right"] = "left",
    up: Literal["middle", "above", "below", "upright"] = "middle",
    size: float = SIZE,
    is_bold: bool = False,
) -> None:
    """Write texts at pixels right of and below the top left corner of axes.

    Parameters
    ----------
    axes
        As :func:`place` returns them; texts may lie outside of them.
    texts
        Place and text, which may have several lines.
    colour
        Of a light page.
    across
        Which part of each line is at the place, in the direction of reading.
    up
        Where the lines are: with their middle at the place, above or below it, or
        with their middle at it and running upwards.
    size, is_bold
        Size in pixels, and whether the texts are bold.
    """
    lines = []
    for x, y, text in texts:
        parts = text.split("\n")
        taken = _STEP * size * (len(parts) - 1)
        first = {
            "middle": 0.36 * size - taken / 2,
            "upright": 0.36 * size - taken / 2,
            "above": -0.24 * size - taken,
            "below": 0.9 * size,
        }[up]
        for number, part in enumerate(parts):
            shift = first + number * _STEP * size
            lines.append((x + shift, y, part) if up == "upright" else (x, y + shift, part))
    pen = Text(
        color=colour,
        horizontalalignment=across,
        rotation=90 if up == "upright" else 0,
        rotation_mode="anchor",
        fontsize=size,
        fontweight="bold" if is_bold else "normal",
    )
    axes.add_artist(_Labels([each for each in lines if each[2]], pen))


def strokes(
    axes: Axes, lines: Iterable[tuple[float, float, float, float]], colour: str, **look: Any
) -> None:
    """Draw straight lines from (x, y) to (x, y), in the scales of the axes, as one path."""
    ends = [place for x0, y0, x1, y1 in lines for place in ((x0, y0), (x1, y1), _GAP)]
    if ends:
        x, y = zip(*ends, strict=True)
        axes.plot(x, y, color=colour, scalex=False, scaley=False, clip_on=False, **look)


@cache
def _advance(letter: str, is_bold: bool) -> float:
    """Return the width of a letter as a share of the size of the text."""
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    font = get_font(findfont(FontProperties(family=_FONT, weight="bold" if is_bold else "normal")))
    font.set_size(100, _INCH)
    return float(font.load_char(ord(letter)).linearHoriAdvance) / 65536 / 100


def text_width(text: str, size: float = SIZE, *, is_bold: bool = False) -> float:
    """Return how many pixels the longest line of a text takes."""
    widths = (sum(_advance(letter, is_bold) for letter in line) for line in text.split("\n"))
    return size * max(widths, default=0.0)


def widest(labels: Iterable[str]) -> float:
    """Return how many pixels the widest of some labels takes."""
    return max(map(text_width, labels), default=0.0)


def _write_above(canvas: Canvas, heading: str) -> None:
    left, top, width, _ = _extent(canvas)
    axes = place(canvas, left + _PAD - _ROOM, top - 8 - _ROOM, 1, 1)
    letters = max(30, int(width / 8))
    write(axes, [(0, 0, wrapped(heading, letters))], up="above", size=13, is_bold=True)


def plain(text: str) -> str:
    """Return the text on one line, of which everything is seen; XML allows all of it."""
    return re.sub(" +", " ", visible(text)).strip()


def wrapped(text: str, letters: int = 24) -> str:
    """Break a name into lines of at most so many letters, where it has spaces; nothing is cut."""
    return textwrap.fill(plain(text), letters, break_long_words=False, break_on_hyphens=False)


def most_lines(labels: Iterable[str]) -> int:
    """Return how many lines the tallest of some wrapped labels has."""
    return max((label.count("\n") for label in labels), default=0) + 1
