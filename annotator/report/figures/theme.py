"""The colours of the figures, each for a light and for a dark page.

Both ramps run in even steps of lightness in Oklab (Ottosson 2020,
https://bottosson.github.io/posts/oklab), so equal steps of a value look equally
far apart, with and without colour vision.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEVELS: Final = 13
"""Steps of each ramp; the middle one of the diverging ramp is zero."""

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_PLAIN: Final[Mapping[str, tuple[str, str]]] = {
    "text": ("#1a1c20", "#eceef2"),
    "label": ("#1a1c20", "#eceef2"),  # text that stands before something
    "muted": ("#5a606b", "#a4abb8"),
    "grid": ("#dcdfe5", "#363b45"),
    "surface": ("#ffffff", "#15171c"),
    "rest": ("#b9bec8", "#565d6a"),  # samples that a map does not name
}
# At least 3:1 to the page, and chosen by search for the largest of the smallest distances in
# Oklab between any two, as seen with full, protan, deutan and tritan vision (Machado 2009).
_CATEGORIES: Final = (
    ("#0f31a7", "#4ba6ff"),  # blue
    ("#e0620f", "#e3944e"),  # orange
    ("#1f9a8e", "#b0fdca"),  # teal, mint
    ("#a46ef1", "#795fe2"),  # violet
    ("#00718e", "#00d8ea"),  # petrol, cyan
    ("#b53527", "#ce4523"),  # red
    ("#461052", "#a75e8a"),  # plum, mauve
    ("#6d1400", "#f0d300"),  # brown, yellow
)
CATEGORIES: Final = len(_CATEGORIES)


def _oklch_to_hex(lightness: float, chroma: float, hue: float) -> str:
    """Turn a colour of Oklab (lightness 0 to 1, hue in degrees) into ``#rrggbb``, clipped."""
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
    channels = (
        12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
        for value in (min(max(channel, 0.0), 1.0) for channel in linear)
    )
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def sequential(position: float) -> tuple[str, str]:
    """Return the light and the dark colour of a value from 0 (least) to 1 (most).

    The least value is near the page in both, the most stands out most.
    """
    chroma = 0.008 + 0.115 * math.sin(math.pi * 0.88 * position)
    return (
        _oklch_to_hex(0.965 - 0.605 * position, chroma, 222 + 44 * position),
        _oklch_to_hex(0.27 + 0.645 * position, chroma, 262 - 75 * position),
    )


def diverging(position: float) -> tuple[str, str]:
    """Return the light and the dark colour of a value from 0 to 1, where 0.5 is zero.

    Blue below zero, orange above it: told apart with every kind of colour vision.
    """
    distance = abs(2 * position - 1)
    hue = 252 if position < 0.5 else 48
    chroma = 0.004 + 0.15 * distance**0.9
    return (
        _oklch_to_hex(0.965 - 0.47 * distance, chroma, hue),
        _oklch_to_hex(0.265 + 0.47 * distance, chroma, hue),
    )


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2), 0 to 1."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _readable_on(colour: str) -> str:
    """Return black or white, at least 4.5:1 to any colour."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def _all_inks() -> dict[str, tuple[str, str]]:
    inks = dict(_PLAIN)
    inks |= {f"category-{number}": pair for number, pair in enumerate(_CATEGORIES)}
    for ramp in (sequential, diverging):
        for level in range(LEVELS):
            light, dark = ramp(level / (LEVELS - 1))
            inks[f"{ramp.__name__}-{level}"] = (light, dark)
            inks[f"on-{ramp.__name__}-{level}"] = (_readable_on(light), _readable_on(dark))
    return inks


INKS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(_all_inks())
"""Name of a colour to what it is on a light and on a dark page."""


def on(name: str) -> str:
    """Return the name of the colour of text on a colour of a ramp."""
    return f"on-{name}"


def category(number: int) -> str:
    """Return the name of the colour of the nth category, from 0 on; they come round again."""
    return f"category-{number % CATEGORIES}"


def level_of(ramp: str, value: float) -> str:
    """Return the name of the colour of a value from 0 to 1 in a ramp, clipped."""
    step = round(min(max(value, 0.0), 1.0) * (LEVELS - 1))
    return f"{ramp}-{step}"


def styles(names: Iterable[str]) -> str:
    """Return the CSS that gives the named colours to figures, for light and dark.

    Dark is what the reader's system or the page's ``data-theme`` asks for; print is light.
    """
    used = sorted(set(names))

    def rule(theme: int) -> str:
        return ";".join(f"--figure-{name}:{INKS[name][theme]}" for name in used)

    def dark(at: str) -> str:
        return f"{at}{{{rule(1)}}}{at} .on-light{{display:none}}{at} .on-dark{{display:inline}}"

    return (
        f".annotator-figure{{{rule(0)};background:var(--figure-surface);fill:var(--figure-text)}}"
        ".annotator-figure .on-dark{display:none}"
        ".annotator-figure:root{color-scheme:light dark}"
        "@media screen and (prefers-color-scheme:dark){"
        f"{dark('.annotator-figure:root')}"
        f"{dark(':root:not([data-theme=light]) .annotator-figure')}}}"
        f"@media screen{{{dark(':root[data-theme=dark] .annotator-figure')}}}"
    )
