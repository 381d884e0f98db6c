"""Names of real small RNAs and contaminants, and the biotypes that names imply.

The names ship as text files beside this module: ``table4.tsv`` is Table 4 of
the paper (enriched miRNAs for tissue prediction), ``srnas.txt`` contains further
human small RNAs (miRBase, HGNC, GtRNAdb and piRNABank names), and
``contaminants.txt`` contains taxa whose reads are found in small-RNA libraries.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ABUNDANT = (
    "hsa-let-7a-5p",
    "hsa-let-7b-5p",
    "hsa-let-7f-5p",
    "hsa-miR-10b-5p",
    "hsa-miR-22-3p",
    "hsa-miR-26a-5p",
    "hsa-miR-30d-5p",
    "hsa-miR-92a-3p",
    "hsa-miR-143-3p",
    "hsa-miR-148a-3p",
    "hsa-miR-21-5p",
    "hsa-miR-16-5p",
)
"""miRNAs that account for most of the reads in many tissues."""

_FIRST_FILLER_PIRNA = 32827  # past the numbers that srnas.txt uses
_BIOTYPES = (
    (re.compile(r"hsa-(miR|let)-"), "miRNA"),
    (re.compile(r"hsa_piR_"), "piRNA"),
    (re.compile(r"SNOR[AD]"), "snoRNA"),
    (re.compile(r"SCARNA"), "scaRNA"),
    (re.compile(r"RNU\d"), "snRNA"),
    (re.compile(r"tRNA-"), "tRNA"),
    (re.compile(r"RNA5"), "rRNA"),
    (re.compile(r"RNY\d"), "Y_RNA"),
    (re.compile(r"VTRNA"), "vault_RNA"),
    (re.compile(r"RN7S|RMRP|RPPH"), "misc_RNA"),
)


def biotype_of(name: str) -> str | None:
    """Return the class of small RNA that a name belongs to.

    Parameters
    ----------
    name
        Name of a feature, such as ``hsa-miR-21-5p``.

    Returns
    -------
    str or None
        ``miRNA``, ``piRNA``, ``snoRNA``, ... or ``None`` for any other name.

    Examples
    --------
    >>> biotype_of("hsa-miR-21-5p"), biotype_of("SNORD44"), biotype_of("Escherichia_coli")
    ('miRNA', 'snoRNA', None)
    """
    for pattern, biotype in _BIOTYPES:
        if pattern.match(name):
            return biotype
    return None


def _lines(file_name: str) -> tuple[str, ...]:
    text = files(__package__).joinpath("data", file_name).read_text(encoding="utf-8")
    return tuple(text.splitlines())


@cache
def table4() -> Mapping[str, tuple[str, ...]]:
    """Return Table 4 of the paper: tissue category to its enriched miRNAs."""
    categories: dict[str, tuple[str, ...]] = {}
    for line in _lines("table4.tsv")[1:]:
        category, mirna = line.split("\t")
        categories[category] = (*categories.get(category, ()), mirna)
    return categories


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Take ``count`` names at even steps, so that every class of names is included."""
    return [names[number * len(names) // count] for number in range(count)]


def planted_names() -> tuple[str, ...]:
    """Return the miRNAs of Table 4, each once (one of them is in two categories)."""
    return tuple(dict.fromkeys(name for names in table4().values() for name in names))


def srna_names(count: int) -> tuple[str, ...]:
    """Return unique human small RNA names, including those of Table 4.

    Parameters
    ----------
    count
        Number of names, at least the 59 of Table 4. If it exceeds the number of names
        that ship, further piRNA numbers are added.

    Raises
    ------
    InputError
        ``count`` is too small for Table 4.
    """
    planted = planted_names()
    if count < len(planted):
        raise InputError(
            f"{count} sRNAs are fewer than the {len(planted)} planted markers; ask for more"
        )
    names = list(dict.fromkeys(planted + ABUNDANT))[:count]
    others = [name for name in _lines("srnas.txt") if name not in set(names)]
    names += _spread(others, min(count - len(names), len(others)))
    names += [f"hsa_piR_{_FIRST_FILLER_PIRNA + i:06d}" for i in range(count - len(names))]
    return tuple(names)


def contaminant_names(count: int) -> tuple[str, ...]:
    """Return unique names of bacteria and viruses.

    Parameters
    ----------
    count
        Number of names. If it exceeds the number of taxa that ship, they are repeated as
        numbered isolates.
    """
    taxa = _lines("contaminants.txt")
    names = _spread(taxa, min(count, len(taxa)))
    for number in range(count - len(names)):
        isolate, taxon = divmod(number, len(taxa))
        names.append(f"{taxa[taxon]}_isolate_{isolate + 1}")
    return tuple(names)
