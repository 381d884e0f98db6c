"""The model kinds. A new kind is a file that defines a :class:`ModelKind`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.learn.models.boosting import BOOSTING
from annotator.learn.models.forest import FOREST
from annotator.learn.models.linear import LINEAR
from annotator.learn.models.network import NETWORK

if TYPE_CHECKING:
    from annotator.learn.models.kind import ModelKind

KINDS: dict[str, ModelKind] = {kind.name: kind for kind in (NETWORK, FOREST, BOOSTING, LINEAR)}
"""Model kinds by name, in the order of tables.

The seed of a kind depends on its place in the list, so add new kinds at the end.
"""
