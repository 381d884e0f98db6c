"""Tables with several rows per miRNA.

Isomirs of ``mirtop counts`` and of the R package isomiRs, and precursors of miRDeep2.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.errors import InputError
from annotator.reading.counts.layout import CountsLayout
from annotator.reading.counts.tally import Tally
from annotator.reading.text.rows import Columns, numbered_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head

_MIRTOP = ("UID", "Read", "miRNA", "Variant")
_MIRTOP_OTHERS = frozenset(
    (
        *("uid", "read", "mirna", "variant", "parent", "filter", "hits"),
        *("iso_5p", "iso_3p", "iso_add", "iso_add3p", "iso_add5p", "iso_snp", "iso_snv"),
        *("iso_5p_nt", "iso_3p_nt", "iso_add3p_nt", "iso_add5p_nt", "iso_snp_nt", "iso_snv_nt"),
    )
)
_ISOMIRS = ("seq", "mir", "mism", "add", "t5", "t3")
_ISOMIRS_OTHERS = frozenset((*_ISOMIRS, "uid"))
_MIRDEEP = ("#miRNA", "read_count", "precursor", "total")


def _samples(head: Head, names: Sequence[str]) -> list[str]:
    if not names:
        raise InputError("there is no column of a sample", source=str(head.path), line=1)
    return list(names)


def _isomirs(
    name: str, marks: tuple[str, ...], feature: str, others: frozenset[str]
) -> CountsLayout:
    """Return the layout of a table with one row per isomiR.

    Parameters
    ----------
    name
        Of the layout.
    marks
        Columns by which it is recognised.
    feature
        The column with the miRNA.
    others
        Columns that are no samples, in lower case.
    """

    @contextmanager
    def read(head: Head) -> Iterator[CountsTable]:
        names = _samples(head, [one for one in head.header if one.casefold() not in others])
        cell = Columns(head)
        tally = Tally(names)
        for line, cells in numbered_rows(head):
            counts = [cell.count(line, cells, sample) for sample in names]
            tally.add(cell.text(line, cells, feature), counts)
        yield tally.table(["reads of isomiRs are added up by miRNA"])

    return CountsLayout(name, lambda head: head.has_columns(*marks), read)


@contextmanager
def _read_mirdeep(head: Head) -> Iterator[CountsTable]:
    others = {name.casefold() for name in _MIRDEEP}
    names = _samples(
        head,
        [
            name
            for name in head.header
            if name.casefold() not in others and not name.casefold().endswith("(norm)")
        ],
    )
    cell = Columns(head)
    # A read that fits several precursors is counted with each of them.
    tally = Tally(names, combine=max)
    for line, cells in numbered_rows(head):
        counts = [cell.count(line, cells, name) for name in names]
        tally.add(cell.text(line, cells, "#miRNA"), counts)
    notes = ["columns of normalised counts are left out"]
    if tally.repeated:
        notes.append(
            f"{counted(tally.repeated, 'row')} for further precursors of a miRNA: its largest count"
            " is taken"
        )
    yield tally.table(notes)


MIRTOP = _isomirs("mirtop counts", _MIRTOP, "miRNA", _MIRTOP_OTHERS)
ISOMIRS = _isomirs("table of the R package isomiRs", _ISOMIRS, "mir", _ISOMIRS_OTHERS)
MIRDEEP = CountsLayout(
    "miRDeep2 quantifier", lambda head: head.has_columns(*_MIRDEEP), _read_mirdeep, has_reads=True
)
