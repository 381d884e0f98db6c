"""The parts of a miRNA name: species, number, copy, arm, stem-loop or mature.

The naming rules are those of miRBase (Ambros et al., RNA 2003, 9:277-279; Kozomara
et al., Nucleic Acids Research 2019, 47:D155-D162): ``miR`` denotes a mature miRNA
and ``mir`` its stem-loop; ``hsa-miR-16-5p`` is cut from both ``hsa-mir-16-1``
and ``hsa-mir-16-2``. Until release 17 the arm was mostly left out
(``hsa-miR-21``), and the less abundant arm had a star (``hsa-miR-21*``).

``data/mirbase_names.tsv`` lists the human accessions with their names in releases
21 and 22, gene symbols and older stem-loop names. It has no older names of *mature*
miRNAs: :func:`inferred` derives those from the order of the accessions, unless that
is ambiguous.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MATURE = "mature"
STEM_LOOP = "stem-loop"
STAR = "*"
TABLE_SPECIES = "hsa"

_NAME = re.compile(
    r"(?:(?P<species>[a-z]{3,5})-)?(?P<family>mir|let)-(?P<number>\d+[a-z]*)"
    r"(?:-(?P<copy>\d+))?(?:-(?P<arm>[35]p)|(?P<star>\*))?"
)
_ACCESSION = re.compile(r"(mi|mimat)\d{7}(?=-|$)")
_SEPARATOR = re.compile(r"[/|;]")

# Additions that tools write around a name; each pattern keeps its group.
_WRAPPERS = (
    # GDC: the region of a read, as mature,MIMAT0000076
    re.compile(r"(?:mature|precursor|stemloop),(mi(?:mat)?\d{7})"),
    # exceRpt: name:accession:genus:species:short name
    re.compile(r"([^:]+):mi(?:mat)?\d{7}(?::.*)?"),
    # nf-core/smrnaseq: name_accession_genus_species_short name
    re.compile(r"(.+?)[-_]mi(?:mat)?\d{7}[-_].*|(.+?)_mi(?:mat)?\d{7}"),
    # Ensembl: the version of a gene
    re.compile(r"(ens[a-z]*g\d{11})[-.]\d+"),
)
# Arrays: hp_ for stem-loops, -star, (copy), _x_st, _st, _v12.0.
_ARRAY = re.compile(
    r"(?:hp-)?(?P<name>.+?)(?P<star>-?star|\*)?(?:\(\d+\))?(?:-x)?(?:-st)?(?:-v\d+-\d+)?"
)


@dataclass(frozen=True)
class Mirna:
    """One mature miRNA or one stem-loop, as given by its name.

    Parameters
    ----------
    species
        Three letters, such as ``hsa``; empty if the name lacks the species.
    family, number, copy, arm
        ``hsa-miR-16-1-3p`` is ``mir``, ``16``, ``1``, ``3p``; ``copy`` and
        ``arm`` may be empty, and ``arm`` is ``*`` for a name with a star.
    kind
        ``mature``, ``stem-loop``, or empty if the name is ambiguous.
    """

    species: str
    family: str
    number: str
    copy: str
    arm: str
    kind: str


@dataclass(frozen=True)
class NameTable:
    """Human accessions and names.

    Parameters
    ----------
    current
        The miRNA of each accession (lower case), by its name in the latest release.
    accessions
        The accession of any name (lower case), by kind: mature and stem-loop.
    first_arm
        The arm with the earlier accession for each ``(family, number)``, unless the
        two arms were entered together.
    renumbered
        The current number for each ``(family, number)`` of old stem-loops.
    """

    current: Mapping[str, Mirna]
    accessions: Mapping[str, Mapping[str, str]]
    first_arm: Mapping[tuple[str, str], str]
    renumbered: Mapping[tuple[str, str], str]


@lru_cache(maxsize=100_000)
def folded(name: str) -> str:
    """Return a name's first word in lower case, with ``-`` for ``.`` and ``_``.

    Accessions, species and versions that tools and arrays write around a name are
    removed; folding a folded name changes nothing.

    Examples
    --------
    >>> folded("hsa.miR.21.5p"), folded("hsa-miR-21-5p MIMAT0000076")
    ('hsa-mir-21-5p', 'hsa-mir-21-5p')
    >>> folded("hsa-miR-21-5p:MIMAT0000076:Homo:sapiens:miR-21-5p"), folded("miR-21-star_st")
    ('hsa-mir-21-5p', 'mir-21*')
    """
    words = name.split()
    if not words:
        return ""
    text = words[0].lower()
    for pattern in _WRAPPERS:
        found = pattern.fullmatch(text)
        if found is not None:
            text = next(filter(None, found.groups()))
    return _without_array_marks(text.replace(".", "-").replace("_", "-"))


def _without_array_marks(text: str) -> str:
    """Remove the marks of arrays from a miRNA; any other name is returned unchanged."""
    found = _ARRAY.fullmatch(text)
    if found is None:
        return text
    name = found["name"]
    # MirGeneDB marks the less abundant arm with a star behind the arm.
    bare = name if not found["star"] or name.endswith(("-5p", "-3p")) else name + STAR
    return bare if parsed(bare) is not None else text


@lru_cache(maxsize=100_000)
def kind_as_spelt(name: str) -> str:
    """Return ``mature`` for ``miR`` or a name with an arm, ``stem-loop`` for ``mir``, else empty.

    A let-7 name without an arm and a name in capitals are ambiguous.
    """
    mirna = parsed(members(name)[0])
    if mirna is None:
        return ""
    if mirna.arm:
        return MATURE
    if re.search(r"miR[-._]", name):
        return MATURE
    is_lower = re.search(r"mir[-._]", name) is not None
    return STEM_LOOP if is_lower or (mirna.family == "let" and mirna.copy) else ""


@lru_cache(maxsize=100_000)
def parsed(text: str) -> Mirna | None:
    """Parse a folded name on its own; ``None`` for anything but one miRNA.

    Examples
    --------
    >>> parsed("hsa-mir-16-1-3p")
    Mirna(species='hsa', family='mir', number='16', copy='1', arm='3p', kind='mature')
    >>> parsed("snord44") is None
    True
    """
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict(default="")
    arm = part["arm"] or part["star"]
    kind = MATURE if arm else ""
    return Mirna(part["species"], part["family"], part["number"], part["copy"], arm, kind)


@lru_cache(maxsize=100_000)
def members(name: str) -> tuple[str, ...]:
    """Return the folded names that a merged name joins, or the one of any other name.

    Examples
    --------
    >>> members("hsa-let-7a-5p/7c-5p")
    ('hsa-let-7a-5p', 'hsa-let-7c-5p')
    >>> members("hsa-miR-199a-3p|hsa-miR-199b-3p")
    ('hsa-mir-199a-3p', 'hsa-mir-199b-3p')
    >>> members("MIMAT0000062/MIMAT0000064")
    ('mimat0000062', 'mimat0000064')
    >>> members("rRNA/tRNA")
    ('rrna/trna',)
    """
    text = folded(name)
    first, *rest = _SEPARATOR.split(text)
    mirna = parsed(first)
    if rest and mirna is None and _ACCESSION.fullmatch(first):
        return tuple(dict.fromkeys([first, *rest]))
    if not rest or mirna is None:
        return (text,)
    species = f"{mirna.species}-" if mirna.species else ""
    whole = [first]
    for part in rest:
        if re.match(r"\d", part):
            whole.append(f"{species}{mirna.family}-{part}")
        elif species and re.match(r"(mir|let)-", part):
            whole.append(species + part)
        else:
            whole.append(part)
    return tuple(dict.fromkeys(whole))


def current(meaning: Mirna | str) -> Mirna | None:
    """Return the miRNA as named in the latest release, ``None`` if the table does not have it.

    Parameters
    ----------
    meaning
        A miRNA of known species and kind, or a folded accession, gene symbol or
        unusual name.
    """
    table = name_table()
    if isinstance(meaning, Mirna):
        accession = table.accessions.get(written(meaning), {}).get(meaning.kind)
        return None if accession is None else table.current[accession]
    accession_like = _ACCESSION.match(meaning)
    if accession_like is not None:
        return table.current.get(accession_like[0])
    known = table.accessions.get(meaning)
    return None if known is None else table.current[next(iter(known.values()))]


def inferred(mirna: Mirna) -> Mirna:
    """Return the mature miRNA that an old name most likely stood for, else the same miRNA.

    ``hsa-miR-21``, which is not a name in current releases, was the only known mature
    miRNA of its stem-loop, so it is the arm with the lower accession, and
    ``hsa-miR-21*`` is the other arm. If both arms were entered together (adjacent
    accessions: miR-126, miR-9, miR-142, ...), the arm cannot be inferred. A number
    that only gained or lost a letter (miR-203, now miR-203a) follows its stem-loop.
    """
    table = name_table()
    if mirna.species != TABLE_SPECIES or mirna.kind != MATURE:
        return mirna
    if current(mirna) is not None:
        return mirna
    number = table.renumbered.get((mirna.family, mirna.number))
    if number is not None:
        mirna = replace(mirna, number=number)
    if mirna.arm not in {"", STAR}:
        return mirna
    known = current(mirna)
    if known is not None:
        return known
    arm = table.first_arm.get((mirna.family, mirna.number))
    if arm is None:
        return mirna
    if mirna.arm == STAR:
        arm = "3p" if arm == "5p" else "5p"
    guess = replace(mirna, arm=arm)
    return current(guess) or mirna


def first_arm(mirna: Mirna) -> str | None:
    """Return the arm of a stem-loop that was known first, ``None`` if the table lacks it.

    The arm that was known first is mostly the more abundant one.
    """
    if mirna.species != TABLE_SPECIES:
        return None
    return name_table().first_arm.get((mirna.family, mirna.number))


def written(mirna: Mirna) -> str:
    """Return the folded name of a miRNA."""
    parts = [mirna.species, mirna.family, mirna.number, mirna.copy]
    text = "-".join(part for part in parts if part)
    if mirna.arm == STAR:
        return text + STAR
    return f"{text}-{mirna.arm}" if mirna.arm else text


@cache
def name_table() -> NameTable:
    """Return the table of human names that is part of the package."""
    text = files(__package__).joinpath("data", "mirbase_names.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    current_names: dict[str, Mirna] = {}
    accessions: dict[str, dict[str, str]] = {}
    for line in lines[1:]:
        accession, name, _, others = line.lower().split("\t")
        kind = MATURE if accession.startswith("mimat") else STEM_LOOP
        mirna = parsed(name)
        assert mirna is not None, name
        current_names[accession] = replace(mirna, kind=kind)
        for each in [name, *filter(None, others.split(","))]:
            accessions.setdefault(each, {})[kind] = accession
    return NameTable(
        current_names,
        accessions,
        _first_arms(current_names),
        _renumbered(current_names, accessions),
    )


def _first_arms(current_names: Mapping[str, Mirna]) -> dict[tuple[str, str], str]:
    first: dict[tuple[str, str], dict[str, int]] = {}
    for accession, mirna in current_names.items():
        if mirna.arm:
            arms = first.setdefault((mirna.family, mirna.number), {})
            number = int(accession.removeprefix("mimat"))
            arms[mirna.arm] = min(number, arms.get(mirna.arm, number))
    return {
        key: min(arms, key=lambda arm: arms[arm])
        for key, arms in first.items()
        if len(arms) == 1 or abs(arms["5p"] - arms["3p"]) > 1
    }


def _renumbered(
    current_names: Mapping[str, Mirna], accessions: Mapping[str, Mapping[str, str]]
) -> dict[tuple[str, str], str]:
    """Return old numbers whose stem-loops all got the same new number with the same digits."""
    in_use = {(mirna.family, mirna.number) for mirna in current_names.values()}
    new: dict[tuple[str, str], set[str]] = {}
    for name, by_kind in accessions.items():
        old = parsed(name)
        if old is not None and STEM_LOOP in by_kind and (old.family, old.number) not in in_use:
            number = current_names[by_kind[STEM_LOOP]].number
            new.setdefault((old.family, old.number), set()).add(number)
    return {
        key: next(iter(numbers))
        for key, numbers in new.items()
        if len(numbers) == 1 and _digits(key[1]) == _digits(next(iter(numbers)))
    }


def _digits(number: str) -> str:
    return number.rstrip("abcdefghijklmnopqrstuvwxyz")
