"""Which terms are parts or kinds of which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Ontology:
    """Which terms are parts or kinds of which.

    Attributes
    ----------
    parents
        Each term's direct parents. A term without an entry is a root; so is one
        that is only its own parent, as some hierarchies write it.
    """

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def direct_parents(self, term: str) -> tuple[str, ...]:
        """Return the direct parents of a term, none for a root."""
        return tuple(parent for parent in self.parents.get(term, ()) if parent != term)

    def ancestors(self, term: str) -> tuple[str, ...]:
        """Return everything above a term, nearest first, ties by name."""
        found: dict[str, None] = {}
        level: Iterable[str] = self.direct_parents(term)
        while level := sorted(set(level) - found.keys() - {term}):
            found.update(dict.fromkeys(level))
            level = [parent for each in level for parent in self.direct_parents(each)]
        return tuple(found)

    def lineage(self, term: str) -> tuple[str, ...]:
        """Return the term and its ancestors, nearest first."""
        return (term, *self.ancestors(term))


# The paper's Table 2, the other way round: a tissue to the group that contains it.
BUILT_IN_GROUPING: Mapping[str, tuple[str, ...]] = {
    tissue: (group,)
    for group, tissues in {
        "blood_group": (
            "blood",
            "blood plasma",
            "blood serum",
            "peripheral blood",
            "umbilical cord blood",
            "serum",
            "buffy coat",
            "immortal human B cell",
            "liver",
            "lymphoblastoid cell",
        ),
        "brain_group": (
            "brain",
            "cingulate gyrus",
            "motor cortex",
            "prefrontal cortex",
            "neocortex",
        ),
        "epithelium_group": ("skin", "dermis", "epidermis", "breast", "oral mucosa", "larynx"),
        "gland_group": (
            "prostate gland",
            "testis",
            "kidney",
            "bladder",
            "uterine endometrium",
            "tonsil",
            "lymph node",
        ),
        "intestine_group": ("intestine", "colon", "ileal mucosa"),
    }.items()
    for tissue in tissues
}


def built_in_ontology() -> Ontology:
    """Return the grouping of the paper's Table 2."""
    return Ontology(BUILT_IN_GROUPING)


def ontology_or_built_in(parents: Mapping[str, tuple[str, ...]]) -> Ontology:
    """Return an imported ontology, or the built-in grouping where none was imported."""
    return Ontology(parents) if parents else built_in_ontology()
