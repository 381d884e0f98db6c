"""Tables with several rows per miRNA: isomiRs of ``mirtop counts``, precursors of miRDeep2."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

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
_MIRDEEP = ("#miRNA", "read_count", "precursor", "total")


def _samples(head: Head, names: Sequence[str]) -> list[str]:
    if not names:
        raise InputError("there is no column of a sample", source=str(head.path), line=1)
    return list(names)


@contextmanager
def _read_mirtop(head: Head) -> Iterator[CountsTable]:
    names = _samples(head, [one for one in head.header if one.casefold() not in _MIRTOP_OTHERS])
    cell = Columns(head)
    tally = Tally(names)
    for line, cells in numbered_rows(head):
        counts = [cell.count(line, cells, name) for name in names]
        tally.add(cell.text(line, cells, "miRNA"), counts)
    yield tally.table(["reads of isomiRs are added up by miRNA"])


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
            f"{tally.repeated} rows are further precursors of a miRNA: its largest count is taken"
        )
    yield tally.table(notes)


MIRTOP = CountsLayout("mirtop counts", lambda head: head.has_columns(*_MIRTOP), _read_mirtop)
MIRDEEP = CountsLayout(
    "miRDeep2 quantifier", lambda head: head.has_columns(*_MIRDEEP), _read_mirdeep
)
