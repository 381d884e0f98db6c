"""The convention by which the features of a dataset are named, inferred from the names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from annotator.learn.features.mirbase import (
    MATURE,
    STAR,
    STEM_LOOP,
    TABLE_SPECIES,
    current,
    folded,
    kind_as_spelt,
    members,
    name_table,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Naming(StrEnum):
    """The conventions that are distinguished."""

    MATURE = "miRBase"
    STEM_LOOPS = "miRBase stem-loops"
    ACCESSIONS = "miRBase accessions"
    SYMBOLS = "gene symbols"
    MIRGENEDB = "MirGeneDB"
    ENSEMBL = "Ensembl"
    RNACENTRAL = "RNAcentral"
    OTHER = "other"


OLD_SHARE = 0.1
"""Share of old names among mature miRNAs from which a dataset counts as release 17 or earlier."""

_PATTERNS = (
    (re.compile(r"[A-Z][a-z]{2}-(Mir|Let)-"), Naming.MIRGENEDB),
    (re.compile(r"ENS[A-Z]*[GT]\d{11}(\.\d+)?$"), Naming.ENSEMBL),
    (re.compile(r"URS[0-9A-F]{10}(_\d+)?$"), Naming.RNACENTRAL),
    (re.compile(r"(mature,|stemloop,)?MI(MAT)?\d{7}", re.IGNORECASE), Naming.ACCESSIONS),
)


@dataclass(frozen=True, slots=True)
class DatasetNaming:
    """The names of a dataset's features.

    Attributes
    ----------
    naming
        The most common convention; ``other`` only if no name follows another one.
    release
        The release of miRBase: ``17 or earlier``, ``21``, ``22``, or ``None`` if the
        names do not show it.
    features
        Number of names.
    unknown
        Number of names of each convention that cannot be translated into miRNAs.
    species
        Number of miRNAs of each species (three letters, lower case) that a name has.
    """

    naming: Naming
    release: str | None
    features: int
    unknown: Mapping[str, int]
    species: Mapping[str, int]

    @property
    def foreign_species(self) -> str | None:
        """The species of most of the names if it is not the one that the table is of."""
        if not self.species:
            return None
        most = max(self.species, key=lambda one: (self.species[one], one))
        return None if most == TABLE_SPECIES else most

    @property
    def label(self) -> str:
        """The convention with the release, as in ``miRBase 22``."""
        return f"{self.naming} {self.release}" if self.release else str(self.naming)


def naming_of(names: Iterable[str]) -> DatasetNaming:
    """Infer the convention of a dataset from the names of its sRNAs.

    Examples
    --------
    >>> naming_of(["MIMAT0000076", "MIMAT0000062"]).label
    'miRBase accessions'
    >>> naming_of(["hsa-miR-21", "hsa-miR-21*"]).label
    'miRBase 17 or earlier'
    """
    names = list(names)
    of_name = [naming_of_name(name) for name in names]
    counts = Counter(of_name)
    counts.pop(Naming.OTHER, None)
    naming = min(counts, key=lambda one: (-counts[one], one)) if counts else Naming.OTHER
    foreign = (Naming.ENSEMBL, Naming.RNACENTRAL, Naming.MIRGENEDB)
    unknown = Counter(
        str(convention)
        for name, convention in zip(names, of_name, strict=True)
        if convention in foreign and not _is_known(name)
    )
    species = Counter(
        mirna.species for mirna in (parsed(members(name)[0]) for name in names) if mirna
    )
    species.pop("", None)
    return DatasetNaming(
        naming,
        _release(names) if naming is Naming.MATURE else None,
        len(names),
        dict(sorted(unknown.items())),
        dict(sorted(species.items())),
    )


@lru_cache(maxsize=100_000)
def naming_of_name(name: str) -> Naming:
    """Return the convention that a single name follows."""
    for pattern, naming in _PATTERNS:
        if pattern.match(name):
            return naming
    text = members(name)[0]
    mirna = parsed(text)
    if mirna is not None:
        is_stem_loop = kind_as_spelt(name) == STEM_LOOP or bool(mirna.copy and not mirna.arm)
        return Naming.STEM_LOOPS if is_stem_loop else Naming.MATURE
    return Naming.SYMBOLS if current(text) is not None else Naming.OTHER


def _is_known(name: str) -> bool:
    text = members(name)[0]
    return parsed(text) is not None or current(text) is not None


def _release(names: Iterable[str]) -> str | None:
    """Infer the release of human mature names."""
    texts = [
        text for name in names for text in members(name) if naming_of_name(name) is Naming.MATURE
    ]
    if not texts:
        return None
    only_21, only_22 = _names_of_one_release()
    old = sum(_is_old(text) for text in texts)
    if old >= OLD_SHARE * len(texts):
        return "17 or earlier"
    in_21, in_22 = len(only_21.intersection(texts)), len(only_22.intersection(texts))
    if in_21 == in_22:
        return None
    return "21" if in_21 > in_22 else "22"


def _is_old(text: str) -> bool:
    """Return whether a name lacks its arm or has a star, and no current release has it."""
    mirna = parsed(text)
    if mirna is None or mirna.arm not in {"", STAR}:
        return False
    return MATURE not in name_table().accessions.get(text, {})


@cache
def _names_of_one_release() -> tuple[frozenset[str], frozenset[str]]:
    """Return the mature names (folded) that release 21 has and 22 has not, and vice versa."""
    text = files(__package__).joinpath("data", "mirbase_names.tsv").read_text("utf-8")
    only_21: set[str] = set()
    only_22: set[str] = set()
    for line in text.splitlines():
        accession, _, rest = line.partition("\t")
        if not accession.startswith("MIMAT"):
            continue
        name, release, others = rest.split("\t")
        old = [folded(other) for other in others.split(",") if other]
        only_21.update(old)
        if release == "21":
            only_21.add(folded(name))
        elif old:
            only_22.add(folded(name))
    return frozenset(only_21), frozenset(only_22)
