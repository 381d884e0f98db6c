"""The header of a table of counts: which column is what, and what its lines are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.other_rows import looks_like_rna
from annotator.domain.values.lengths import length_problem
from annotator.domain.wording import counted, some
from annotator.errors import InputError
from annotator.reading.counts.matrix.numbers import LineShape
from annotator.reading.matching import loose_key
from annotator.reading.text.dialect import is_number
from annotator.reading.text.tables import column_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from annotator.reading.text.findings import Findings
    from annotator.reading.text.head import Head

FEATURES_DOWN, SAMPLES_DOWN = "features-down", "samples-down"

NOT_SAMPLES = frozenset(
    {"accession", "annotation", "biotype", "chr", "chrom", "chromosome", "description", "end"}
    | {"entrez_id", "gene_biotype", "gene_name", "gene_symbol", "gene_type", "genename", "length"}
    | {"mean", "median", "mirbase_accession", "mirbase_id", "precursor", "seq", "seqname"}
    | {"sequence", "start", "strand", "sum", "symbol", "total", "type"}
)
"""Columns that describe features, as featureCounts and others write them, in lower case."""

NOT_FEATURES = frozenset(
    {"batch", "class", "condition", "dataset", "dataset_id", "group", "label", "organism"}
    | {"sample_name", "species", "study", "total"}
)
"""Columns that describe samples, beside those of fields, in lower case."""

_FEATURE_WORDS = frozenset(
    {"feature", "features", "gene", "gene_id", "geneid", "id", "id_ref", "mature", "mirna"}
    | {"mirna_id", "mirnas", "name", "pirna", "referenceid", "rna", "srna", "transcript"}
)
_SAMPLE_WORDS = frozenset(
    {"barcode", "gsm", "library", "run", "sample", "sample_id", "sampleid", "samples"}
)
_CLEARLY = 0.1  # share of names


@dataclass(frozen=True)
class MatrixHeader:
    """The columns of a table of counts.

    Attributes
    ----------
    shape
        The cells of a line.
    orientation
        ``features-down`` or ``samples-down``.
    notes
        What was detected or left out.
    """

    shape: LineShape
    orientation: str
    notes: tuple[str, ...]


def read_header(head: Head, findings: Findings) -> MatrixHeader:
    """Find out what the columns and lines of a table of counts are.

    Parameters
    ----------
    head
        The head of the file.
    findings
        Gets an error for each column without a usable name.

    Raises
    ------
    InputError
        There is no table, or its orientation cannot be found out.
    """
    _check_is_counts(head)
    names, notes = _column_names(head)
    rows = [row for row in head.rows if any(row)]
    name_at = _name_column(names, rows)
    below = [row[name_at] for row in rows if len(row) > name_at]
    orientation = head.hints.orientation or _orientation(head, names, name_at, below)
    described = NOT_SAMPLES if orientation == FEATURES_DOWN else NOT_FEATURES | head.hints.fields
    describes = frozenset(map(column_key, described))
    last = max((at for at, name in enumerate(names) if name), default=0)
    places, left_out = [], []
    for at, name in enumerate(names[: last + 1]):
        if name_at == at or (at < name_at and not name):
            continue
        if column_key(name) in describes and name not in head.hints.sample_ids:
            left_out.append(name)
        else:
            places.append(at)
    if name_at:
        notes.append(f"the names are in column {name_at + 1}; the numbers before it are left out")
    if left_out:
        what = "features" if orientation == FEATURES_DOWN else "samples"
        notes.append(f"columns left out because they describe {what}: {some(left_out, most=10)}")
    unnamed = tuple(range(last + 1, len(names)))
    if unnamed:
        notes.append(f"{counted(len(unnamed), 'empty column')} at the end left out")
    down, across = "feature", "sample"
    if orientation == SAMPLES_DOWN:
        down, across = across, down
    _check_names(names, places, across, head, findings)
    _refuse_text(names, places, rows, head, findings)
    kept = tuple(names[at] for at in places)
    shape = LineShape(down, across, kept, tuple(places), len(names), unnamed, name_at)
    return MatrixHeader(shape, orientation, tuple(notes))


def _check_is_counts(head: Head) -> None:
    wrong = None
    if head.has_columns("sample_id", "dataset_id") and not any(map(looks_like_rna, head.header)):
        wrong = "this is a table of samples, not of counts; COUNTS comes first, then SAMPLES"
    elif (
        len(head.header) > 1
        and looks_like_rna(head.header[0])
        and all(map(is_number, head.header[1:]))
        and head.hints.sample_ids.isdisjoint(head.header)
    ):
        wrong = "there is no header: the first line has counts; name the columns above it"
    if wrong is not None:
        raise InputError(wrong, source=str(head.path), line=head.header_line)


def _column_names(head: Head) -> tuple[list[str], list[str]]:
    names = list(head.header)
    rows = [row for row in head.rows if any(row)]
    narrower = [row for row in rows if len(row) == len(names) + 1 and row[-1]]
    notes = []
    is_corner = names[0] not in head.hints.sample_ids and (
        _corner_word(names[0]) in _FEATURE_WORDS | _SAMPLE_WORDS
    )
    if len(narrower) * 2 > len(rows) and not is_corner:
        names.insert(0, "")
        notes.append("the header has one cell less than the rows, as R writes row names")
    if len(names) == 1:
        raise InputError(
            "the first line has only one column; columns are separated by tabs, commas,"
            " semicolons or spaces",
            source=str(head.path),
            line=head.header_line,
        )
    return names, notes


def _corner_word(name: str) -> str:
    return name.lstrip("#").strip().casefold().replace(" ", "_")


def _name_column(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the column with the names: the second one below numbers without a name."""
    if names[0] or not rows or len(names) < 3:
        return 0
    numbered = all(is_number(row[0]) for row in rows if row)
    named = not any(is_number(row[1]) for row in rows if len(row) > 1)
    return 1 if numbered and named else 0


def _check_names(
    names: Sequence[str], places: Sequence[int], across: str, head: Head, findings: Findings
) -> None:
    place_of: dict[str, int] = {}
    for at in places:
        name = names[at]
        before = place_of.setdefault(name, at)
        if not name:
            what = "sample id" if across == "sample" else "name of the feature"
            findings.add(f"the {what} is empty", head.header_line, at + 1)
        elif before != at:
            findings.add(
                f"{across} {name!r} is already in column {before + 1}", head.header_line, at + 1
            )
        elif problem := length_problem(name):
            findings.add(problem, head.header_line, at + 1)
    if not places:
        findings.add(f"there is no column with a {across}", head.header_line)


def _refuse_text(
    names: Sequence[str],
    places: Sequence[int],
    rows: Sequence[Sequence[str]],
    head: Head,
    findings: Findings,
) -> None:
    """Refuse columns that have only text, once each and not once per line."""
    for at in places:
        cells = [row[at] for row in rows if len(row) > at and row[at]]
        if len(cells) > 1 and not any(map(_may_be_count, cells)):
            findings.add(
                f"column {names[at]!r} has text where counts are expected, such as {cells[0]!r};"
                " take it out of the file",
                head.header_line,
                at + 1,
            )


def _may_be_count(cell: str) -> bool:
    """Return whether a cell is a number, or a word for a missing or endless one."""
    return is_number(cell.strip("+- .")) or cell.lstrip("+-").casefold() in (
        *("na", "nan", "n/a", "null", "none", "inf", "infinity", "-", "."),
    )


def _orientation(head: Head, names: Sequence[str], name_at: int, below: Sequence[str]) -> str:
    """Find out what the lines are: by ids in SAMPLES, else by names of RNAs and of the corner."""
    across = names[name_at + 1 :]
    columns, lines = _known_shares(across, below, head.hints.sample_ids)
    if min(columns, lines) > _CLEARLY:
        raise _unclear(head, "sample ids")
    if columns != lines:
        return FEATURES_DOWN if columns > lines else SAMPLES_DOWN
    columns, lines = _rna_like(across), _rna_like(below)
    if min(columns, lines) > _CLEARLY:
        raise _unclear(head, "names of RNAs")
    if columns != lines:
        return FEATURES_DOWN if lines > columns else SAMPLES_DOWN
    return SAMPLES_DOWN if _corner_word(names[name_at]) in _SAMPLE_WORDS else FEATURES_DOWN


def _known_shares(
    across: Sequence[str], below: Sequence[str], ids: frozenset[str]
) -> tuple[float, float]:
    exact = _share(name in ids for name in across), _share(name in ids for name in below)
    if any(exact) or not ids:
        return exact
    keys = {loose_key(one) for one in ids}
    return (
        _share(loose_key(name) in keys for name in across),
        _share(loose_key(name) in keys for name in below),
    )


def _rna_like(names: Sequence[str]) -> float:
    return _share(map(looks_like_rna, names))


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return sum(found) / len(found) if found else 0.0


def _unclear(head: Head, what: str) -> InputError:
    return InputError(
        f"both columns and lines have {what}; give --orientation {FEATURES_DOWN} or {SAMPLES_DOWN}",
        source=str(head.path),
    )
