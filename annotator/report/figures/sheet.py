"""A sheet that figures are drawn on: Matplotlib, in pixels from the top left corner."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D

from annotator.report.figures.svg import PICTURE_LEVELS, STAND_INS, Figure, Picture, svg_element

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.artist import Artist
    from numpy.typing import ArrayLike, NDArray

Align = Literal["left", "center", "right"]

TEXT_SIZE: Final = 12.0
SMALL_TEXT: Final = 11.0
NARROW: Final = 400.0
"""Width of a figure that is readable on a phone without scrolling."""
_WIDEST: Final = 600.0  # narrow figures grow up to this, wide ones not beyond their own width
_SMALLEST: Final = 0.8  # wide ones are scrolled below this share, so that text stays readable
_SHAPES: Final = {
    "triangle": ((0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": ((0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)),
    "wedge": ((-1.1, -0.8), (1.1, -0.8), (0.0, 1.2)),
}
SHAPES: Final = ("circle", *_SHAPES)
"""Shapes of points."""


@contextmanager
def drawing() -> Iterator[None]:
    """Draw the same on every machine: no settings, fonts or dates of the user's."""
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "path.simplify": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "annotator",
        "text.parse_math": False,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        # The font that widths are measured with need not have every letter of a name.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        yield


def plain(text: str) -> str:
    """Return the text on one line and without characters that XML does not allow."""
    return "".join(
        "\ufffd" if unicodedata.category(letter) in {"Cc", "Cs", "Cn"} else letter
        for letter in re.sub(r"[ \t\n\r\f\v]+", " ", text).strip()
    )


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float = TEXT_SIZE, *, bold: bool = False) -> float:
    """Return how wide a text is at most, in pixels; the fonts of pages are no wider."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        width, _, _ = text_to_path.get_text_width_height_descent(plain(text), font, ismath=False)
    return float(width)


def wrapped(text: str, letters: int = 30) -> list[str]:
    """Break a name into lines of at most so many letters, where it has spaces; nothing is cut."""
    lines = [""]
    for word in plain(text).split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > letters:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


@dataclass(frozen=True, eq=False)
class Sheet:
    """An empty figure of a width and height in pixels, x to the right and y downwards.

    Colours are names of :data:`annotator.report.figures.theme.INKS`.
    """

    width: float
    height: float
    _canvas: Canvas = field(init=False, repr=False)
    _downwards: Affine2D = field(init=False, repr=False)
    _pictures: list[Picture] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        canvas = Canvas(figsize=(self.width / 72, self.height / 72), dpi=72)
        FigureCanvasSVG(canvas)
        object.__setattr__(self, "_canvas", canvas)
        object.__setattr__(self, "_downwards", Affine2D().scale(1, -1).translate(0, self.height))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = TEXT_SIZE,
        colour: str = "text",
        align: Align = "left",
        bold: bool = False,
        upwards: bool = False,
        halo: bool = False,
    ) -> None:
        """Write one line, its middle at height y; upwards, read from below, its middle at x.

        With a halo it stands out from what is drawn behind it.
        """
        drop = 0.36 * size
        self._add(
            Text(
                x + drop * upwards,
                y + drop * (not upwards),
                plain(text),
                fontsize=size,
                color=STAND_INS["label" if halo else colour],
                horizontalalignment=align,
                verticalalignment="baseline",
                fontweight="bold" if bold else "normal",
                rotation=90 if upwards else 0,
                rotation_mode="anchor",
            )
        )

    def lines(
        self,
        segments: ArrayLike,
        colour: str,
        width: float = 1.0,
        *,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Draw separate straight lines, shape ``(lines, 2, 2)``."""
        points = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
        codes = [Path.MOVETO, Path.LINETO] * (len(points) // 2)
        self._path(points, codes, stroke=colour, width=width, dashes=dashes)

    def curve(
        self,
        points: ArrayLike,
        colour: str,
        width: float = 1.5,
        *,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Draw one line through points, shape ``(points, 2)``."""
        corners = np.asarray(points, dtype=np.float64)
        codes = [Path.MOVETO, *[Path.LINETO] * (len(corners) - 1)]
        self._path(corners, codes, stroke=colour, width=width, dashes=dashes)

    def rectangles(self, boxes: ArrayLike, colour: str, opacity: float = 1.0) -> None:
        """Fill rectangles of left, top, width and height, shape ``(boxes, 4)``."""
        left, top, width, height = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
        corners = np.stack(
            [left, top, left + width, top, left + width, top + height, left, top + height]
        ).T.reshape(-1, 4, 2)
        self._polygons(corners, fill=colour, opacity=opacity)

    def points(
        self,
        places: ArrayLike,
        colour: str,
        size: float = 4.0,
        shape: str = "circle",
        *,
        hollow: bool = False,
        opacity: float = 1.0,
    ) -> None:
        """Draw points of one kind, shape ``(points, 2)``, about ``size`` across."""
        centres = np.asarray(places, dtype=np.float64).reshape(-1, 2)
        if len(centres) == 0:
            return
        if shape != "circle":
            outline = np.array(_SHAPES[shape]) * size / 2
            self._polygons(
                centres[:, None, :] + outline,
                fill=None if hollow else colour,
                stroke=colour if hollow else None,
                opacity=opacity,
            )
        elif hollow:
            circle = Path.unit_circle()
            outline = np.asarray(circle.vertices, dtype=np.float64) * (size - 1.4) / 2
            vertices = (centres[:, None, :] + outline).reshape(-1, 2)
            codes = np.tile(np.asarray(circle.codes), len(centres))
            self._path(vertices, codes, stroke=colour, width=1.4, opacity=opacity)
        else:  # lines of no length with round ends: a dot in few letters
            self._path(
                np.repeat(centres, 2, axis=0),
                [Path.MOVETO, Path.LINETO] * len(centres),
                stroke=colour,
                width=size,
                opacity=opacity,
                round_ends=True,
            )

    def picture(self, box: tuple[float, float, float, float], shares: ArrayLike, ramp: str) -> None:
        """Fill left, top, width and height with a grid of values from 0 to 1, as a bitmap."""
        levels = np.clip(shares, 0, 1) * (PICTURE_LEVELS - 1)
        self._pictures.append(Picture(box, np.rint(levels).astype(np.uint8), ramp))

    def figure(self, name: str, title: str, description: str) -> Figure:
        """Return what has been drawn."""
        title, description = plain(title), plain(description)
        limits = f"max-width:{max(_WIDEST, self.width):.0f}px;"
        if self.width > NARROW:
            limits += f"min-width:{self.width * _SMALLEST:.0f}px;"
        size = (self.width, self.height)
        svg = svg_element(name, title, description, size, limits, self._svg(), self._pictures)
        return Figure(name, title, description, svg)

    def _polygons(
        self,
        corners: NDArray[np.float64],
        *,
        fill: str | None = None,
        stroke: str | None = None,
        opacity: float = 1.0,
    ) -> None:
        """Draw closed outlines, shape ``(polygons, corners, 2)``."""
        count, sides, _ = corners.shape
        closed = np.concatenate([corners, corners[:, :1]], axis=1)
        codes = [Path.MOVETO, *[Path.LINETO] * (sides - 1), Path.CLOSEPOLY] * count
        self._path(closed.reshape(-1, 2), codes, fill=fill, stroke=stroke, opacity=opacity)

    def _path(
        self,
        vertices: NDArray[np.float64],
        codes: ArrayLike,
        *,
        fill: str | None = None,
        stroke: str | None = None,
        width: float = 1.2,
        opacity: float = 1.0,
        dashes: tuple[float, float] | None = None,
        round_ends: bool = False,
    ) -> None:
        if len(vertices) == 0:
            return
        patch = PathPatch(
            Path(vertices, np.asarray(codes, dtype=np.uint8)),
            facecolor="none" if fill is None else STAND_INS[fill],
            edgecolor="none" if stroke is None else STAND_INS[stroke],
            linewidth=0 if stroke is None else width,
            linestyle="solid" if dashes is None else (0, tuple(d / width for d in dashes)),
            capstyle="round" if round_ends else "butt",
            alpha=None if opacity == 1 else opacity,
        )
        self._add(patch)

    def _add(self, artist: Artist) -> None:
        artist.set_transform(self._downwards)
        self._canvas.add_artist(artist)

    def _svg(self) -> str:
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self._canvas.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        return buffer.getvalue()
