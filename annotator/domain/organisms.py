"""Names of organisms: one name per organism, however an atlas writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from annotator.domain.values.missing import is_missing
from annotator.domain.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEFAULT_ORGANISM = "Homo sapiens"
"""The organism of samples without one, unless the settings name another."""


@dataclass(frozen=True, slots=True)
class Organism:
    """A well-known organism.

    Attributes
    ----------
    name
        Its scientific name.
    taxid
        Its id in the NCBI taxonomy.
    prefix
        Its prefix in miRBase, such as ``hsa``.
    aliases
        Other names, in lower case.
    """

    name: str
    taxid: int
    prefix: str
    aliases: tuple[str, ...] = ()


KNOWN = (
    Organism("Homo sapiens", 9606, "hsa", ("human", "humans", "man")),
    Organism("Mus musculus", 10090, "mmu", ("mouse", "mice", "house mouse")),
    Organism("Rattus norvegicus", 10116, "rno", ("rat", "rats", "norway rat", "brown rat")),
    Organism("Drosophila melanogaster", 7227, "dme", ("fly", "fruit fly", "drosophila")),
    Organism("Caenorhabditis elegans", 6239, "cel", ("worm", "roundworm", "nematode")),
    Organism("Danio rerio", 7955, "dre", ("zebrafish", "zebra fish")),
    Organism("Bos taurus", 9913, "bta", ("cow", "cattle", "bovine")),
    Organism("Sus scrofa", 9823, "ssc", ("pig", "swine", "sus scrofa domesticus")),
    Organism("Gallus gallus", 9031, "gga", ("chicken", "gallus gallus domesticus")),
    Organism("Arabidopsis thaliana", 3702, "ath", ("arabidopsis", "thale cress")),
    Organism("Macaca mulatta", 9544, "mml", ("macaque", "rhesus", "rhesus macaque")),
    Organism("Macaca fascicularis", 9541, "mfa", ("crab-eating macaque", "cynomolgus")),
    Organism("Canis lupus familiaris", 9615, "cfa", ("dog", "canis familiaris")),
    Organism("Felis catus", 9685, "fca", ("cat", "domestic cat")),
    Organism("Equus caballus", 9796, "eca", ("horse",)),
    Organism("Ovis aries", 9940, "oar", ("sheep",)),
    Organism("Capra hircus", 9925, "chi", ("goat",)),
    Organism("Oryctolagus cuniculus", 9986, "ocu", ("rabbit",)),
    Organism("Cricetulus griseus", 10029, "cgr", ("chinese hamster",)),
    Organism("Pan troglodytes", 9598, "ptr", ("chimpanzee", "chimp")),
    Organism("Gorilla gorilla", 9593, "ggo", ("gorilla",)),
    Organism("Xenopus tropicalis", 8364, "xtr", ("western clawed frog",)),
    Organism("Xenopus laevis", 8355, "xla", ("african clawed frog",)),
    Organism("Oryzias latipes", 8090, "ola", ("medaka",)),
    Organism("Bombyx mori", 7091, "bmo", ("silkworm",)),
    Organism("Oryza sativa", 4530, "osa", ("rice",)),
    Organism("Zea mays", 4577, "zma", ("maize", "corn")),
    Organism("Saccharomyces cerevisiae", 4932, "sce", ("yeast", "baker's yeast")),
)

_TAXON = re.compile(r"(?:.*\b(?:ncbi ?tax(?:on|id)|taxid|taxon|txid) ?:? ?)?(\d+)")


@cache
def _by_alias() -> Mapping[str, Organism]:
    found: dict[str, Organism] = {}
    for organism in KNOWN:
        name = organism.name.lower()
        genus, *rest = name.split()
        initial, last = genus[0], rest[-1]
        short = (f"{initial}. {last}", f"{initial} {last}", f"{initial}.{last}", f"{initial}{last}")
        for alias in (name, *short, organism.prefix, str(organism.taxid), *organism.aliases):
            found.setdefault(alias, organism)
    return found


def _folded(given: str) -> str:
    return " ".join(given.replace("_", " ").casefold().split())


@lru_cache(maxsize=10_000)
def organism_named(given: str) -> str:
    """Return the one name of an organism.

    Known organisms are found under their scientific and common names, their NCBI taxonomy
    ids and their miRBase prefixes. Other names are kept, with a capital first and single
    spaces, so that differences in case and spaces do not make two organisms of one.

    Parameters
    ----------
    given
        A name as an atlas has it.

    Returns
    -------
    str
        The scientific name if the organism is known; empty for words for a missing value.

    Examples
    --------
    >>> [organism_named(name) for name in ("human", "hsa", "9606", "NCBITaxon:9606")]
    ['Homo sapiens', 'Homo sapiens', 'Homo sapiens', 'Homo sapiens']
    >>> organism_named("mus_musculus"), organism_named("Mus musculus (mouse)")
    ('Mus musculus', 'Mus musculus')
    >>> organism_named("apis  MELLIFERA"), organism_named("taxid:7460")
    ('Apis mellifera', 'NCBITaxon:7460')
    """
    text = _folded(given)
    if is_missing(text):
        return ""
    taxon = _TAXON.fullmatch(text)
    if taxon is not None:
        text = str(int(taxon[1]))
    without_remark = re.sub(r" \([^()]*\)$", "", text)
    known = _by_alias().get(text) or _by_alias().get(without_remark)
    if known is not None:
        return known.name
    return f"NCBITaxon:{text}" if taxon is not None else text[:1].upper() + text[1:]


def prefix_of(organism: str) -> str:
    """Return the miRBase prefix of an organism, empty if it is not known."""
    known = _by_alias().get(organism.lower())
    return "" if known is None else known.prefix


def of_organism(field: str, organism: str, among: Iterable[str]) -> str:
    """Return how to refer to a field: with the organism only if there are several.

    Parameters
    ----------
    field, organism
        The field, and the organism of the samples.
    among
        The organisms of everything that is shown together.

    Examples
    --------
    >>> of_organism("tissue", "Mus musculus", ["Homo sapiens", "Mus musculus"])
    'tissue of Mus musculus'
    >>> of_organism("tissue", "Mus musculus", ["Mus musculus"])
    'tissue'
    """
    return f"{field} of {organism}" if set(among) - {organism} else field


@dataclass(frozen=True, slots=True)
class WithoutRelease:
    """Samples of a field that wait because no release of their organism is live."""

    field: str
    organism: str
    samples: int

    @property
    def sentence(self) -> str:
        """The state in one line, for people."""
        wait = "waits" if self.samples == 1 else "wait"
        samples = f"{counted(self.samples, 'sample')} of {self.organism}"
        return f"{self.field}: {samples} {wait}: no release for {self.organism}"
