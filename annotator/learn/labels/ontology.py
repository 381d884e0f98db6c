"""Which terms are parts or kinds of which."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ONTOLOGY, TABLE_2 = "ontology", "table2"
"""Where the groups of tissues come from: an imported ontology, or the paper's Table 2."""


@dataclass(frozen=True)
class Ontology:
    """Which terms are parts or kinds of which.

    Attributes
    ----------
    parents
        Each term's direct parents. A term without an entry is a root; so is one
        that is only its own parent, as some hierarchies write it.
    groups
        Terms that were declared to be groups and stay groups however many labels
        they cover: those of the paper's Table 2.
    imported
        The parents before groups were put on top of the terms; ``None`` where there
        was nothing before. Which terms are too general is decided on these.
    """

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    imported: Mapping[str, tuple[str, ...]] | None = None

    @property
    def without_groups(self) -> Ontology:
        """The ontology as it was imported."""
        return self if self.imported is None else Ontology(self.imported)

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


TABLE_2_GROUPS = frozenset(group for (group,) in BUILT_IN_GROUPING.values())

TABLE_2_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "blood": ("whole blood",),
    "blood plasma": ("plasma",),
    # BTO has these cells as a part of peripheral blood.
    "peripheral blood": ("peripheral blood mononuclear cell", "PBMC"),
    "umbilical cord blood": ("cord blood",),
    "lymphoblastoid cell": ("lymphoblastoid cell line", "LCL"),
    "brain": ("whole brain",),
    "cingulate gyrus": ("gyrus cinguli",),
    "motor cortex": ("motor area",),
    "neocortex": ("isocortex",),
    "breast": ("mammary gland",),
    "oral mucosa": ("mouth mucosa",),
    "prostate gland": ("prostate",),
    "testis": ("testicle",),
    "bladder": ("urinary bladder",),
    "uterine endometrium": ("endometrium",),
    "lymph node": ("lymph gland",),
    "intestine": ("bowel",),
}
"""Other names of the tissues of Table 2, most of them as in BTO and UBERON."""


def _same_name(name: str) -> str:
    """Return a name without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "", name.casefold())


_TABLE_2_BY_NAME: Mapping[str, str] = {
    _same_name(name): group
    for tissue, (group,) in BUILT_IN_GROUPING.items()
    for name in (tissue, *TABLE_2_SYNONYMS.get(tissue, ()))
}


def built_in_ontology() -> Ontology:
    """Return the grouping of the paper's Table 2."""
    return Ontology(BUILT_IN_GROUPING, TABLE_2_GROUPS)


def ontology_or_built_in(parents: Mapping[str, tuple[str, ...]]) -> Ontology:
    """Return an imported ontology, or the built-in grouping where none was imported."""
    return Ontology(parents) if parents else built_in_ontology()


def grouped_by_table_2(
    parents: Mapping[str, tuple[str, ...]],
    labels: Iterable[str],
    names: Mapping[str, str] | None = None,
) -> Ontology:
    """Put the groups of the paper's Table 2 on top of an imported ontology.

    A term belongs to a group of Table 2 if its own name, or that of a term above it,
    is a tissue of the table or a synonym of one (:data:`TABLE_2_SYNONYMS`). Case,
    spaces, underscores and hyphens make no difference. Such a term keeps only those of
    its parents that lead to the group; all other terms stay as they are.

    Parameters
    ----------
    parents
        Term to its parents; empty where no ontology was imported.
    labels
        Labels, which need not be terms of the ontology.
    names
        The name of each term, where that is not the term itself.

    Returns
    -------
    Ontology
        Its ``groups`` are those of Table 2.
    """
    children: dict[str, list[str]] = defaultdict(list)
    for term, above in parents.items():
        for parent in above:
            children[parent].append(term)
    names = names or {}
    group_of = {
        term: group
        for term in {*labels, *parents, *children} - TABLE_2_GROUPS
        if (group := _table_2_group(term, names.get(term, term))) is not None
    }
    grouped = set(group_of)
    waiting = sorted(group_of)
    while waiting:
        below = [term for term in children[waiting.pop()] if term not in grouped]
        grouped.update(below)
        waiting.extend(below)
    kept = {
        term: tuple(parent for parent in above if term not in grouped or parent in grouped)
        for term, above in parents.items()
    }
    on_top = {term: (group,) for term, group in sorted(group_of.items())}
    return Ontology(kept | on_top, TABLE_2_GROUPS, parents)


def _table_2_group(*names: str) -> str | None:
    found = (_TABLE_2_BY_NAME.get(_same_name(name)) for name in names)
    return next((group for group in found if group is not None), None)
