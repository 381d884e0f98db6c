"""The SVG of a figure: Matplotlib's made short, themed and readable by screen readers.

Each colour of the theme goes into Matplotlib as a stand-in of its own and comes out as a
CSS variable, beside the light colour for programs that know no variables, so that one
file is right on light and on dark pages.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from annotator.report.figures.theme import FONT, INKS, diverging, sequential, styles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


PICTURE_LEVELS: Final = 64
"""Colours of a bitmap."""

STAND_INS: Final = {name: f"#fe{number:04x}" for number, name in enumerate(INKS)}
"""Name of a colour to what Matplotlib is given for it."""

_INK_OF: Final = {stand_in: name for name, stand_in in STAND_INS.items()}
_ELEMENT: Final = re.compile(
    r'<path d="(?P<d>[^"]*)"[^>]*?style="(?P<path>[^"]*)"/>'
    r'|<text style="(?P<style>[^"]*)"(?P<place>[^>]*)>(?P<text>[^<]*)</text>'
)
_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_DROPPED: Final = frozenset({"font-family", "stroke-linejoin", "stroke-miterlimit"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a report.

    Attributes
    ----------
    name
        Stable, for file names and links: lower case and hyphens.
    title
        What it shows, for a caption.
    description
        What is to be read from it, with the key numbers: the text alternative.
    svg
        The SVG element with its styles, for a page or, as it is, for a file. It takes
        the width it is given up to a limit; where it is wider than a phone it does not
        shrink below what can be read, so what holds it has to scroll sideways.
    """

    name: str
    title: str
    description: str
    svg: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A bitmap: left, top, width and height, and numbers of colours of a ramp."""

    box: tuple[float, float, float, float]
    levels: NDArray[np.uint8]
    ramp: str


def svg_element(
    name: str,
    title: str,
    description: str,
    size: tuple[float, float],
    limits: str,
    drawn: str,
    pictures: Sequence[Picture],
) -> str:
    """Return the SVG element of a figure.

    Parameters
    ----------
    name, title, description
        As in :class:`Figure`.
    size
        Width and height in pixels.
    limits
        CSS that limits the width.
    drawn
        Matplotlib's SVG of it.
    pictures
        Bitmaps that lie behind what is drawn.
    """
    body = "".join([*(_picture_element(picture) for picture in pictures), *_elements(drawn)])
    names = {"text", "surface", *re.findall(r"--figure-([a-z0-9-]+)", body)}
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="annotator-figure" role="img"'
        f' width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' style="display:block;width:100%;height:auto;{limits}"'
        f' font-family="{FONT}" fill="{INKS["text"][0]}"'
        f' aria-labelledby="{name}-title" aria-describedby="{name}-description">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-description">{escape(description)}</desc>'
        f"<style>{styles(names)}</style>{body}</svg>"
    )


def _elements(svg: str) -> Iterator[str]:
    """Yield the visible elements of Matplotlib's SVG, short and in the theme's colours."""
    for match in _ELEMENT.finditer(svg):
        if match["d"] is not None:
            outline = _compact(match["d"])
            attributes = _attributes(match["path"])
            if attributes.strip() != 'fill="none"':  # the frame behind everything
                yield f'<path d="{outline}"{attributes}/>'
        else:
            place = _rounded(re.sub(r' transform="rotate\(-0 [^"]*"', "", match["place"]))
            yield f"<text{_attributes(match['style'])}{place}>{match['text']}</text>"


def _rounded(text: str) -> str:
    """Return the text with its numbers at two digits."""
    return _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), text)


def _compact(outline: str) -> str:
    """Return the data of a path without spaces that say nothing."""
    short = re.sub(r"\s*([MLQCz])\s*", r"\1", _rounded(outline))
    return re.sub(r"M([\d.-]+ [\d.-]+)L\1(?=M|$)", r"M\1h0", short)


def _attributes(style: str) -> str:
    """Turn a style into attributes; colours of the theme also into variables."""
    attributes, variables = [], []
    for declaration in style.split("; "):
        key, _, value = declaration.rstrip(";").partition(": ")
        name = _INK_OF.get(value)
        if key in _DROPPED:
            continue
        if name is not None:
            if (key, name) == ("fill", "text"):
                continue  # the figure's own
            variables.append(f"{key}:var(--figure-{name})")
            value = INKS[name][0]
        if name == "label":
            variables.append("paint-order:stroke;stroke:var(--figure-surface)")
            attributes.append('stroke-width="3" stroke-linejoin="round"')
        attributes.append(f'{key}="{escape(value)}"')
    joined = " ".join(attributes)
    if variables:
        joined += f' style="{";".join(variables)}"'
    return f" {joined}"


def _picture_element(picture: Picture) -> str:
    """Return the bitmap twice, for light and for dark pages."""
    left, top, width, height = picture.box
    ramp = diverging if picture.ramp == "diverging" else sequential
    elements = []
    for theme, name in enumerate(("on-light", "on-dark")):
        palette = [ramp(level / (PICTURE_LEVELS - 1))[theme] for level in range(PICTURE_LEVELS)]
        data = b64encode(indexed_png(picture.levels, palette)).decode()
        hidden = ' display="none"' if theme == 1 else ""
        elements.append(
            f'<image class="{name}" x="{left:.2f}" y="{top:.2f}" width="{width:.2f}"'
            f' height="{height:.2f}" preserveAspectRatio="none"{hidden}'
            f' href="data:image/png;base64,{data}"/>'
        )
    return "".join(elements)


def indexed_png(levels: NDArray[np.uint8], palette: Sequence[str]) -> bytes:
    """Return a PNG of 8 bit palette colours (RFC 2083).

    Parameters
    ----------
    levels
        Number of the colour of each pixel, shape ``(height, width)``.
    palette
        At most 256 colours as ``#rrggbb``.
    """

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width = levels.shape
    # Filter 2, the difference to the row above: equal rows become zeros.
    above = np.vstack([np.zeros((1, width), dtype=np.uint8), levels[:-1]])
    rows = np.hstack([np.full((height, 1), 2, dtype=np.uint8), levels - above])
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", b"".join(bytes.fromhex(colour[1:]) for colour in palette)),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            chunk(b"IEND", b""),
        )
    )
