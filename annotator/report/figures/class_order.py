"""The order that classes are drawn in."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, LabelScheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annotator.report.contents import ReportContents


def has_order(contents: ReportContents) -> bool:
    """Say whether the classes stand in an order of their own, as intervals of age do."""
    stored = contents.release.configuration.get("field")
    if stored is not None:
        return bool(stored["scheme"] == LabelScheme.INTERVALS)
    definition = FIELDS.get(contents.release.field)  # releases made before it was stored
    return definition is not None and definition.scheme is LabelScheme.INTERVALS


def class_order(contents: ReportContents, classes: Iterable[str]) -> tuple[str, ...]:
    """Return classes with those of a group side by side, else as the release has them."""
    place = {name: number for number, name in enumerate(contents.release.classes)}
    first: dict[str, int] = {}
    for name in contents.release.classes:
        first.setdefault(contents.groups.get(name, name), place[name])

    def key(name: str) -> tuple[int, int, str]:
        group = contents.groups.get(name, name)
        return (first.get(group, len(place)), place.get(name, len(place)), name)

    return tuple(sorted(set(classes), key=key))


def group_breaks(contents: ReportContents, classes: Sequence[str]) -> tuple[int, ...]:
    """Return where groups of several classes start, and what follows them."""
    groups = [contents.groups.get(name, name) for name in classes]
    sizes = Counter(groups)
    return tuple(
        number
        for number, (before, after) in enumerate(pairwise(groups), start=1)
        if before != after and max(sizes[before], sizes[after]) > 1
    )
