"""The id of the sample of a file that has one sample."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ENDINGS = re.compile(
    r"(\.gz|\.txt|\.tsv|\.csv|\.tab|\.out|\.grouped|\.counts?|\.mirna|\.gff3?|\.xls"
    r"|\.mirbase\d*(\.\w+)?|\.(mirnas|isoforms)\.quantification|\.quantification"
    r"|[._-]?ReadsPerGene|[._-]htseq|[._-](mature|sense|counts?)|[._-]featureCounts)$",
    re.IGNORECASE,
)
_GENERAL = re.compile(
    r"(readCounts_\w+|mature(_(anti)?sense)?(_minExpr\d+)?|hairpin\w*|counts?|quant\w*|results?)",
    re.IGNORECASE,
)


def sample_of(path: Path) -> str:
    """Return the sample id of a file: its name without endings, or that of its folder.

    Tools that write one folder per sample give all files the same name, such as
    ``readCounts_miRNAmature_sense.txt``; the folder then names the sample.

    Examples
    --------
    >>> from pathlib import Path
    >>> sample_of(Path("out/S1.mirbase21.mirnas.quantification.txt"))
    'S1'
    >>> sample_of(Path("out/S1/readCounts_miRNAmature_sense.txt"))
    'S1'
    """
    name = path.name
    while (shorter := _ENDINGS.sub("", name)) not in (name, ""):
        name = shorter
    whole = path.name.split(".")[0]
    if _GENERAL.fullmatch(whole) and path.absolute().parent.name:
        return path.absolute().parent.name
    return name
