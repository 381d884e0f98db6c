"""Tables with one sample, whose id is the name of the file or its folder.

The tables of exceRpt (``readCounts_*_sense.txt``), sRNAbench (``.grouped``), the GDC
(miRNA quantification of TCGA) and SeqBuster (``.mirna``) have a header; those of
HTSeq and STAR (``ReadsPerGene.out.tab``) and plain lists of names and counts, as OASIS 2
writes them, have none.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.reading.counts.layout import CountsLayout
from annotator.reading.counts.tally import Tally
from annotator.reading.file_names import sample_of
from annotator.reading.text.dialect import is_number
from annotator.reading.text.rows import Columns, as_count, numbered_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head


@dataclass(frozen=True, slots=True)
class _NamedColumns:
    """A layout with a header.

    Attributes
    ----------
    name
        Of the layout.
    marks
        Columns by which it is recognised.
    feature, counts
        The column with the feature, and those with the count, the best first.
    """

    name: str
    marks: tuple[str, ...]
    feature: str
    counts: tuple[str, ...]


_EXCERPT = _NamedColumns(
    "exceRpt, one sample",
    ("ReferenceID", "uniqueReadCount", "totalReadCount"),
    "ReferenceID",
    ("multimapAdjustedReadCount", "totalReadCount"),
)
_SRNABENCH = _NamedColumns(
    "sRNAbench .grouped",
    ("name", "unique reads", "read count"),
    "name",
    ("read count (mult. map. adj.)", "read count"),
)
_GDC = _NamedColumns(
    "GDC miRNA quantification",
    ("miRNA_ID", "read_count", "reads_per_million_miRNA_mapped", "cross-mapped"),
    "miRNA_ID",
    ("read_count",),
)
_SEQBUSTER = _NamedColumns(
    "SeqBuster miraligner, one row per read", ("seq", "mir", "freq"), "mir", ("freq",)
)


def _named(columns: _NamedColumns) -> CountsLayout:
    @contextmanager
    def read(head: Head) -> Iterator[CountsTable]:
        yield _read_named(head, columns)

    def recognises(head: Head) -> bool:
        return head.has_columns(*columns.marks) and not head.has_columns("miRNA_region")

    return CountsLayout(columns.name, recognises, read, has_reads=True)


def _read_named(head: Head, columns: _NamedColumns) -> CountsTable:
    cell = Columns(head)
    column = next(name for name in columns.counts if head.has_columns(name))
    tally = Tally([sample_of(head.path)])
    for line, cells in numbered_rows(head):
        feature = cell.text(line, cells, columns.feature)
        tally.add(feature, [cell.count(line, cells, column)])
    notes = [f"counts are taken from the column {column!r}"]
    if tally.repeated:
        notes.append(f"{counted(tally.repeated, 'repeated row')} added up by {columns.feature}")
    return tally.table(notes)


# --- the isoforms of the GDC --------------------------------------------------------------------

_ISOFORM_COLUMNS = ("miRNA_ID", "isoform_coords", "read_count", "miRNA_region")


@contextmanager
def _read_isoforms(head: Head) -> Iterator[CountsTable]:
    cell = Columns(head)
    tally = Tally([sample_of(head.path)])
    other_rows, other_reads = 0, 0.0
    for line, cells in numbered_rows(head):
        count = cell.count(line, cells, "read_count")
        region, _, accession = cell.text(line, cells, "miRNA_region").partition(",")
        if region == "mature" and accession:
            tally.add(accession, [count])
        else:
            other_rows, other_reads = other_rows + 1, other_reads + count
    notes = ["reads of isoforms are added up by mature miRNA"]
    if other_rows:
        notes.append(
            f"{counted(other_rows, 'row')} outside mature miRNAs left out ({other_reads:,.0f}"
            " reads: precursors, stem-loops, unannotated)"
        )
    yield tally.table(notes)


# --- tables without a header --------------------------------------------------------------------

_STAR_ROWS = ("n_unmapped", "n_multimapping", "n_nofeature", "n_ambiguous")
_COUNT_WORDS = ("count", "counts", "reads", "read_count", "readcount", "read count", "number")


def _is_list(head: Head) -> bool:
    """Return whether a table has names and counts, and no header or one without a sample id."""
    wide = [len(row) == 2 for row in (head.header, *head.rows)]
    if not wide or not all(wide):
        return False
    return is_number(head.header[1]) or head.header[1].casefold() in _COUNT_WORDS


def _is_star(head: Head) -> bool:
    return len(head.header) == 4 and head.header[0].casefold() in _STAR_ROWS


@contextmanager
def _read_list(head: Head) -> Iterator[CountsTable]:
    tally = Tally([sample_of(head.path)])
    for line, cells in numbered_rows(head, with_header=is_number(head.header[1])):
        tally.add(cells[0], [as_count(head, line, cells[1] if len(cells) > 1 else "", 2)])
    notes = [f"{counted(tally.repeated, 'repeated name')} added up"] if tally.repeated else []
    if _is_star(head):
        notes.append("counts are those without regard to the strand (second column)")
    yield tally.table(notes)


EXCERPT, SRNABENCH, GDC_MIRNAS, SEQBUSTER = map(_named, (_EXCERPT, _SRNABENCH, _GDC, _SEQBUSTER))
GDC_ISOFORMS = CountsLayout(
    "GDC isoform quantification",
    lambda head: head.has_columns(*_ISOFORM_COLUMNS),
    _read_isoforms,
    has_reads=True,
    replaces=GDC_MIRNAS.name,
)
STAR = CountsLayout("STAR ReadsPerGene", _is_star, _read_list, has_reads=True)
LIST = CountsLayout("list of names and counts of one sample", _is_list, _read_list, is_general=True)
