"""The colours of the figures, for a light and for a dark page.

Figures are drawn in the colours of a light page. Each of these occurs once in
:data:`COUNTERPARTS`, which names what stands for it on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal
from zlib import crc32

from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.colors import Colormap
    from matplotlib.typing import ColorType

Ramp = Literal["sequential", "diverging"]

LEVELS: Final = 33
"""How many colours a scale of colours has; the middle is one of them."""
COLOURED: Final = ("combined", "boosting", "linear", "network", "forest")
"""Model kinds in the order of their colours, the same in every figure."""
PAPER_KINDS: Final = ("combined", "network", "forest")
"""The kinds of the paper, and their combination: shown where there is no room for all kinds."""


@dataclass(frozen=True, eq=False)
class Theme:
    """The colours of one page.

    Attributes
    ----------
    name
        ``light`` or ``dark``.
    text, muted, grid, surface
        Text, secondary text, grid lines, and the page itself.
    rest
        For everything without a colour of its own.
    categories
        Colours that are told apart with every kind of colour vision.
    sequential
        From the least, near the page, to the most.
    diverging
        Blue below the middle, orange above it, and the page in it.
    """

    name: str
    text: str
    muted: str
    grid: str
    surface: str
    rest: str
    categories: tuple[str, ...]
    sequential: Colormap
    diverging: Colormap

    def kind(self, name: str) -> str:
        """Return the colour of a model kind."""
        if name in COLOURED:
            return self.categories[COLOURED.index(name)]
        further = self.categories[len(COLOURED) :]
        return further[crc32(name.encode()) % len(further)]

    def ramp(self, name: Ramp) -> Colormap:
        """Return a scale of colours by its name."""
        return self.sequential if name == "sequential" else self.diverging


def _ramp(colours: Sequence[str]) -> Colormap:
    return LinearSegmentedColormap.from_list("ramp", colours, N=LEVELS)


# The categories have at least 3:1 to the page and were chosen by search for the largest of the
# smallest distances in Oklab between any two, as seen with full, protan, deutan and tritan vision
# (Machado 2009). The ramps are points of even lightness in Oklab (Ottosson 2020).
LIGHT: Final = Theme(
    name="light",
    text="#1a1c20",
    muted="#5a606b",
    grid="#dcdfe5",
    surface="#ffffff",
    rest="#b9bec8",
    categories=(
        *("#0f31a7", "#e0620f", "#1f9a8e", "#a46ef1"),
        *("#00718e", "#b53527", "#461052", "#6d1400"),
    ),
    sequential=_ramp(
        ["#eef5f7", "#abdbf2", "#71bce9", "#499ad7", "#3a78b8", "#37588c", "#313c58"],
    ),
    diverging=_ramp(
        [
            *("#0062b5", "#4a87c9", "#81abdc", "#b7d0ec"),
            *("#f6f3f1", "#e8c4b3", "#d49879", "#bd6b3f", "#a33d00"),
        ],
    ),
)
DARK: Final = Theme(
    name="dark",
    text="#eceef2",
    muted="#a4abb8",
    grid="#363b45",
    surface="#15171c",
    rest="#565d6a",
    categories=(
        *("#4ba6ff", "#e3944e", "#b0fdca", "#795fe2"),
        *("#00d8ea", "#ce4523", "#a75e8a", "#f0d300"),
    ),
    sequential=_ramp(
        ["#24262a", "#284460", "#126690", "#008cb3", "#17b1c9", "#6fd3d7", "#beeee8"],
    ),
    diverging=_ramp(
        [
            *("#59adff", "#4b89cb", "#3e6692", "#30455c"),
            *("#272524", "#583b2d", "#8a5437", "#bf6d40", "#f6884a"),
        ],
    ),
)
THEMES: Final = (LIGHT, DARK)


def luminance(colour: ColorType) -> float:
    """Return the relative luminance of a colour (WCAG 2.2), 0 to 1."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in to_rgb(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable_on(colour: ColorType) -> str:
    """Return black or white, whichever stands out more from a colour."""
    return "#000000" if luminance(colour) > 0.179 else "#ffffff"


# Black and white on a light page, each as one colour per counterpart: too close to be told apart.
_INKS: Final = MappingProxyType(
    {
        ("#000000", "#000000"): "#000001",
        ("#000000", "#ffffff"): "#000002",
        ("#ffffff", "#000000"): "#fffffe",
        ("#ffffff", "#ffffff"): "#fffffd",
    }
)


def ink(ramp: Ramp, share: float) -> str:
    """Return the colour of a text that can be read on a colour of a ramp, on either page."""
    on_light, on_dark = (readable_on(theme.ramp(ramp)(share)) for theme in THEMES)
    return _INKS[on_light, on_dark]


def _counterparts() -> Iterator[tuple[str, str]]:
    for name in ("text", "muted", "grid", "surface", "rest"):
        yield getattr(LIGHT, name), getattr(DARK, name)
    yield from zip(LIGHT.categories, DARK.categories, strict=True)
    for level in range(LEVELS):
        for light, dark in ((LIGHT.sequential, DARK.sequential), (LIGHT.diverging, DARK.diverging)):
            yield to_hex(light(level)), to_hex(dark(level))
    for (_, on_dark), placed in _INKS.items():
        yield placed, on_dark


COUNTERPARTS: Final[Mapping[str, str]] = MappingProxyType(dict(_counterparts()))
"""Colour on a light page to the colour on a dark one."""
