"""The SVG of a figure: as short as Matplotlib's drawing can be put, and recoloured by rules."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from annotator.report.figures.theme import COUNTERPARTS, DARK, LIGHT, THEMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from xml.etree.ElementTree import Element

    from annotator.report.figures.theme import Theme

SVG: Final = "{http://www.w3.org/2000/svg}"
CLASS: Final = "annotator-figure"
INHERITED: Final = frozenset(
    {
        *("stroke", "stroke-width", "stroke-opacity", "stroke-linecap", "stroke-linejoin"),
        *("stroke-dasharray", "stroke-dashoffset", "fill-opacity"),
        *("font-size", "font-weight", "text-anchor"),
    }
)
"""Attributes besides ``fill`` that a group hands down to what is in it."""

_FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_DROPPED: Final = frozenset({"font-family", "image-rendering"})  # the root's, or written anew

ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


def theme_class(theme: Theme) -> str:
    """Return the class (Matplotlib's ``gid``) of what is seen on the pages of one theme only."""
    return f"on-{theme.name}"


_CLASSES: Final = tuple(theme_class(theme) for theme in THEMES)


def document(drawn: str, attributes: dict[str, str], texts: Iterable[tuple[str, str, str]]) -> str:
    """Return a figure that holds for light and dark pages.

    Parameters
    ----------
    drawn
        What Matplotlib drew in the colours of a light page.
    attributes
        Of the root.
    texts
        Tag, id and text of what comes first, such as a title.

    Returns
    -------
    str
        Programs that know no style sheets show the colours of a light page.
    """
    root = ElementTree.Element(f"{SVG}svg", {"class": CLASS, "font-family": _FONT} | attributes)
    for tag, name, text in texts:
        ElementTree.SubElement(root, SVG + tag, {"id": name}).text = text
    style = ElementTree.SubElement(root, f"{SVG}style")
    root.extend(_grouped(_leaves(ElementTree.fromstring(drawn), {})))  # noqa: S314 (just written)
    style.text = _rules(ElementTree.tostring(root, encoding="unicode"))
    return ElementTree.tostring(root, encoding="unicode")


def _rules(svg: str) -> str:
    """Return the style sheet for the colours that occur in a figure; print is light.

    ``light-dark()`` goes by the ``color-scheme`` of the page. A browser that does not know
    it shows the figure of a light page on its light background.
    """
    root = f".{CLASS}"
    found = [
        f"{root}{{background:{LIGHT.surface};background:light-dark({LIGHT.surface},{DARK.surface})}}",
        f"{root}:root{{color-scheme:light dark}}",
        f"@media print{{{root}:root{{color-scheme:light}}}}",
    ]
    for light, dark in COUNTERPARTS.items():
        found += [
            f'{root} [{name}="{light}"]{{{name}:light-dark({light},{dark})}}'
            for name in ("fill", "stroke")
            if f'{name}="{light}"' in svg
        ]
    if f'class="{theme_class(DARK)}"' in svg:
        found.append(_image_rules())
    return "".join(found)


def _image_rules() -> str:
    """Return rules that show bitmaps of one theme: those of the system or of the page's choice."""
    light, dark = (f".{name}" for name in _CLASSES)

    def shown(page: str) -> str:
        return f"{page} {light}{{display:none}}{page} {dark}{{display:inline}}"

    return (
        "@media screen and (prefers-color-scheme:dark){"
        f"{shown(f'.{CLASS}:root')}{shown(f':root:not([data-theme=light]) .{CLASS}')}}}"
        f"@media screen{{{shown(f':root[data-theme=dark] .{CLASS}')}}}"
    )


def _leaves(parent: Element, look: dict[str, str]) -> Iterator[Element]:
    """Yield all that is drawn, each with what it inherits, without the groups around it."""
    for child in parent:
        _plain_attributes(child)
        own = look | {name: child.attrib.pop(name) for name in _looks(child)}
        if child.tag == f"{SVG}defs":
            if child.find(f"{SVG}style") is None:
                for each in child.iter():  # marks look like what uses them
                    _plain_attributes(each)
                    for name in _looks(each):
                        del each.attrib[name]
                yield child
        elif child.tag == f"{SVG}g":
            if "clip-path" in child.attrib:
                group = ElementTree.Element(f"{SVG}g", {"clip-path": child.attrib["clip-path"]})
                group.extend(_grouped(_leaves(child, own)))
                yield group
            else:
                yield from _leaves(child, own)
        elif not child.tag.endswith("metadata"):
            name = child.attrib.pop("id", "")
            if name in _CLASSES:
                child.set("class", name)
            if name == theme_class(DARK):
                child.set("display", "none")  # for programs that know no style sheets
            child.attrib |= own
            yield child


def _plain_attributes(element: Element) -> None:
    """Write styles as attributes, which rules can replace, and numbers no longer than needed."""
    for part in element.attrib.pop("style", "").split(";"):
        name, _, value = part.partition(":")
        if value and name.strip() not in _DROPPED:
            element.set(name.strip(), value.strip())
    if element.tag == f"{SVG}image":
        element.set("style", "image-rendering:pixelated")
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for name in ("x", "y", "d"):
        if name in element.attrib:
            element.set(name, "".join(map(_shorter, element.attrib[name].split())).strip())
    element.tail = None
    if element.tag != f"{SVG}text":
        element.text = None


def _shorter(token: str) -> str:
    """Return a command of a path, or a number to a hundredth of a pixel."""
    if token.isalpha():
        return token
    return f" {float(token):.2f}".rstrip("0").rstrip(".")


def _looks(element: Element) -> list[str]:
    return [name for name in element.attrib if name in INHERITED or name == "fill"]


def _grouped(elements: Iterable[Element]) -> Iterator[Element]:
    """Put neighbours that look alike into groups that hold their attributes once."""
    for look, run in groupby(elements, key=_look):
        members = list(run)
        if not look or len(members) == 1:
            yield from members
            continue
        group = ElementTree.Element(f"{SVG}g", dict(look))
        fills = {member.get("fill") for member in members}
        if len(fills) == 1 and None not in fills:
            group.set("fill", members[0].attrib["fill"])
        for member in members:
            for name in group.attrib:
                member.attrib.pop(name, None)
        group.extend(members)
        yield group


def _look(element: Element) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, element.attrib[name]) for name in _looks(element) if name != "fill"))
