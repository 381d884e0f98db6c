"""Ontologies: which terms are parts or kinds of which others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from annotator.domain.terms import label_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ONTOLOGY, TABLE_2 = "ontology", "table2"
"""The sources of tissue groups: an imported ontology, or the paper's Table 2."""


@dataclass(frozen=True)
class Ontology:
    """A hierarchy of terms that are parts or kinds of one another.

    Attributes
    ----------
    parents
        Each term's direct parents. A term without an entry is a root; so is one
        that is only its own parent, as in some hierarchies.
    groups
        Terms that are declared as groups and remain groups however many labels they
        cover: those of the paper's Table 2.
    imported
        The parents before groups were put on top of the terms, which decide whether a
        term is too general; ``None`` if no groups were added.
    names
        The term that each key of a name, id or synonym means
        (:func:`~annotator.domain.terms.label_key`). Keys of the terms themselves need not be
        listed.
    """

    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    imported: Mapping[str, tuple[str, ...]] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def without_groups(self) -> Ontology:
        """The imported ontology, without added groups."""
        return self if self.imported is None else Ontology(self.imported, names=self.names)

    def term_of(self, label: str) -> str | None:
        """Return the term of the imported ontology that a label means, in any spelling of it.

        The paper's Table 2 alone is no imported ontology.
        """
        if self.imported is None and self.groups:
            return None
        return self.without_groups._find(label)

    def _find(self, label: str) -> str | None:
        key = label_key(label)
        return self.names.get(key) or self._by_key.get(key)

    @cached_property
    def _by_key(self) -> Mapping[str, str]:
        terms = {*self.parents, *(parent for above in self.parents.values() for parent in above)}
        return {label_key(term): term for term in sorted(terms, reverse=True)}

    def direct_parents(self, term: str) -> tuple[str, ...]:
        """Return the direct parents of a term in any spelling, none for a root."""
        found = self.parents.get(term)
        if found is None:
            found = self.parents.get(self._find(term) or term, ())
        return tuple(parent for parent in found if parent != term)

    def ancestors(self, term: str) -> tuple[str, ...]:
        """Return all terms above a term, nearest first, ties by name."""
        found: dict[str, None] = {}
        level: Iterable[str] = self.direct_parents(term)
        while level := sorted(set(level) - found.keys() - {term}):
            found.update(dict.fromkeys(level))
            level = [parent for each in level for parent in self.direct_parents(each)]
        return tuple(found)

    def lineage(self, term: str) -> tuple[str, ...]:
        """Return the term and its ancestors, nearest first."""
        return (term, *self.ancestors(term))


# The paper's Table 2, inverted: the group of each tissue.
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
    """Return the key of a name without its spaces: Table 2 has no names that differ in these."""
    return label_key(name).replace(" ", "")


_TABLE_2_BY_NAME: Mapping[str, str] = {
    _same_name(name): group
    for tissue, (group,) in BUILT_IN_GROUPING.items()
    for name in (tissue, *TABLE_2_SYNONYMS.get(tissue, ()))
}


def built_in_ontology() -> Ontology:
    """Return the grouping of the paper's Table 2."""
    return Ontology(BUILT_IN_GROUPING, TABLE_2_GROUPS)


def ontology_or_built_in(
    parents: Mapping[str, tuple[str, ...]], names: Mapping[str, str] | None = None
) -> Ontology:
    """Return the imported ontology, or the built-in grouping if there is none."""
    return Ontology(parents, names=names or {}) if parents else built_in_ontology()


def grouped_by_table_2(
    parents: Mapping[str, tuple[str, ...]],
    labels: Iterable[str],
    names: Mapping[str, str] | None = None,
) -> Ontology:
    """Put the groups of the paper's Table 2 on top of an imported ontology.

    A term belongs to a group of Table 2 if its own name, or that of a term above it,
    is a tissue of the table or a synonym of one (:data:`TABLE_2_SYNONYMS`). Case,
    spaces, underscores and hyphens make no difference. Such a term keeps only those of
    its parents that lead to the group; all other terms stay unchanged.

    Parameters
    ----------
    parents
        The parents of each term; empty if no ontology was imported.
    labels
        Labels, which need not be terms of the ontology.
    names
        As in :class:`Ontology`.

    Returns
    -------
    Ontology
        An ontology whose ``groups`` are those of Table 2.
    """
    children: dict[str, list[str]] = defaultdict(list)
    for term, above in parents.items():
        for parent in above:
            children[parent].append(term)
    group_of = {
        term: group
        for term in {*labels, *parents, *children} - TABLE_2_GROUPS
        if (group := _TABLE_2_BY_NAME.get(_same_name(term))) is not None
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
    return Ontology(kept | on_top, TABLE_2_GROUPS, parents, names or {})
