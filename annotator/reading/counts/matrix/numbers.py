"""Parse lines of counts, quickly where they are plain and with every error named elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.values.lengths import length_problem
from annotator.reading.counts.matrix.spill import ParsedLines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.reading.text.findings import Findings

LARGEST_COUNT = 1_000_000_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NUMBER_BYTES = b"0123456789.eE+- "
_GROUPED = re.compile(rb"(?:^|\t) *[1-9]\d{0,2}(?:[.,]\d{3})+ *(?=\t|$)")
_MARKED = re.compile(rb"[^\t]*[.,][^\t]*")
_LARGE = re.compile(rb"(?:^|\t) *[1-9]\d{3,} *(?=\t|$)")
_LONGEST_PLAIN = len(str(LARGEST_COUNT))

# The role of each byte for the quick parser.
_DIGIT, _SEPARATOR, _OTHER = 0, 1, 2
_KIND_OF_BYTE = bytes(
    _DIGIT if byte in b"0123456789" else _SEPARATOR if byte in b"\t\n" else _OTHER
    for byte in range(256)
)


@dataclass(frozen=True)
class LineShape:
    """The cells of a line: one name, and values in some of the columns.

    Attributes
    ----------
    down, across
        What lines and columns are: ``feature`` and ``sample``, or the other way round.
    names
        Names of the columns with values.
    places
        Their places in a line, from 0.
    width
        Number of cells in a line.
    unnamed
        Places that have no name in the header and must be empty.
    name_at
        The place of the line's name.
    """

    down: str
    across: str
    names: tuple[str, ...]
    places: tuple[int, ...]
    width: int
    unnamed: tuple[int, ...] = ()
    name_at: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the name comes first and all other cells are values."""
        return self.name_at == 0 and self.places == tuple(range(1, self.width))


@dataclass
class LineParser:
    """Parses lines whose cells are separated by tabs.

    Attributes
    ----------
    shape
        The cells of a line.
    findings
        Collects the errors.
    decimal_comma
        Whether a comma in a number is a decimal point.
    line_of
        Line of each name.
    empty_lines
        Number of lines with nothing but delimiters, and of blank ones above others.
    """

    shape: LineShape
    findings: Findings
    decimal_comma: bool
    line_of: dict[str, int] = field(default_factory=dict)
    empty_lines: int = 0
    _is_plain: bool = field(init=False)
    _blank: int = 0
    _marked: int = 0  # numbers with a point or comma
    _grouped: int = 0  # those that may have a separator of thousands, such as 1.234
    _has_large: bool = False  # numbers from 1000 without one

    def __post_init__(self) -> None:
        self._is_plain = self.shape.is_plain

    def parse(self, first_line: int, block: bytes) -> ParsedLines:
        r"""Parse whole lines, each ending with ``\n``, with the quick parser if possible."""
        lines = _parse_plain(block, self.shape.width - 1) if self._is_plain else None
        if lines is None:
            return self._parse_each_line(first_line, block)
        if self._blank:
            self.empty_lines += self._blank
            self._blank = 0
        self._has_large = self._has_large or bool(lines.counts.max(initial=0) >= 1000)
        for line, name in enumerate(lines.names, start=first_line):
            self._check_name(name, line)
        return lines

    def finish(self) -> None:
        """Check what can only be known at the end of the file.

        Raises
        ------
        InputError
            The errors that were found.
        """
        if self._marked and self._marked == self._grouped and not self._has_large:
            self.findings.add(
                f"all {self._marked} numbers with a point or comma have three digits behind it,"
                " as separators of thousands do; write the counts without separators"
            )
        self.findings.raise_all()

    def _parse_each_line(self, first_line: int, block: bytes) -> ParsedLines:
        names: list[str] = []
        columns: list[NDArray[np.int32]] = []
        counts: list[NDArray[np.float32]] = []
        for line, content in enumerate(block.split(b"\n")[:-1], start=first_line):
            values = self._parse_line(line, content, names)
            if values is not None:
                present = np.flatnonzero(values)
                columns.append(present.astype(np.int32))
                counts.append(values[present].astype(np.float32))
        return ParsedLines(
            names,
            np.array([part.size for part in columns], dtype=np.int64),
            np.concatenate([np.empty(0, np.int32), *columns]),
            np.concatenate([np.empty(0, np.float32), *counts]),
        )

    def _parse_line(
        self, line: int, content: bytes, names: list[str]
    ) -> NDArray[np.float64] | None:
        if not content.strip(b" \t"):
            if b"\t" in content:
                self.empty_lines += 1
            else:
                self._blank += 1
            return None
        self.empty_lines, self._blank = self.empty_lines + self._blank, 0
        cells = content.split(b"\t")
        if not self._fits(cells, line):
            return None
        name = cells[self.shape.name_at].decode().strip()
        self._check_name(name, line)
        names.append(name)
        counted = [cells[place] for place in self.shape.places]
        values = self._numbers(counted)
        if values is None:
            self._explain(line, name, counted)
            return np.zeros(len(counted))
        return values

    def _fits(self, cells: list[bytes], line: int) -> bool:
        width = self.shape.width
        while len(cells) > width and not cells[-1].strip():
            cells.pop()
        if len(cells) != width:
            self.findings.add(
                f"{len(cells)} columns where the header has {width}",
                line,
                min(len(cells), width + 1),
            )
            return False
        for place in self.shape.unnamed:
            if cells[place].strip():
                self.findings.add("a value in a column without a name", line, place + 1)
                return False
        return True

    def _numbers(self, cells: list[bytes]) -> NDArray[np.float64] | None:
        """Return the counts of a line, ``None`` if one of them is not a count."""
        joined = b"\t".join(cells)
        if b"." in joined or b"," in joined:
            self._marked += len(_MARKED.findall(joined))
            self._grouped += len(_GROUPED.findall(joined))
        if self.decimal_comma and b"," in joined:
            cells = joined.replace(b",", b".").split(b"\t")
            joined = b"\t".join(cells)
        if joined.translate(None, _NUMBER_BYTES + b"\t"):
            return None
        try:
            values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
        except ValueError:
            return None
        if not ((values >= 0) & (values <= LARGEST_COUNT)).all():
            return None
        self._has_large = self._has_large or _LARGE.search(joined) is not None
        return values

    def _explain(self, line: int, name: str, cells: list[bytes]) -> None:
        for place, cell, across in zip(self.shape.places, cells, self.shape.names, strict=True):
            wrong = _what_is_wrong(cell.decode().strip(), decimal_comma=self.decimal_comma)
            if wrong is not None:
                where = f"{self.shape.down} {name!r}, {self.shape.across} {across!r}"
                self.findings.add(f"{where}: {wrong}", line, place + 1)

    def _check_name(self, name: str, line: int) -> None:
        before = self.line_of.setdefault(name, line)
        if not name:
            what = "name of the feature" if self.shape.down == "feature" else "sample id"
            self.findings.add(f"the {what} is empty", line, self.shape.name_at + 1)
        elif before != line:
            self.findings.add(
                f"{self.shape.down} {name!r} is already in line {before}",
                line,
                self.shape.name_at + 1,
            )
        elif problem := length_problem(name):
            self.findings.add(problem, line, self.shape.name_at + 1)


def _parse_plain(block: bytes, values: int) -> ParsedLines | None:
    """Parse lines whose counts are all digits; ``None`` if any line has other characters."""
    data = np.frombuffer(block, dtype=np.uint8)
    kind = np.frombuffer(block.translate(_KIND_OF_BYTE), dtype=np.uint8)
    separates = kind == _SEPARATOR
    ends, line_ends = np.flatnonzero(separates), np.flatnonzero(data == ord("\n"))
    width = values + 1
    if ends.size != line_ends.size * width or (ends[values::width] != line_ends).any():
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    name_starts, name_ends = starts[::width], ends[::width]
    if _others_outside_names(kind, name_starts, name_ends):
        return None
    # Most counts are zero: they are recognised by their bytes and never parsed.
    lone_zero = (data[:-1] == ord("0")) & separates[1:]
    cells = np.flatnonzero(~np.append(lone_zero, False)[starts])
    lines, columns = np.divmod(cells, width)
    is_count = columns > 0
    cells, lines, columns = cells[is_count], lines[is_count], columns[is_count] - 1
    numbers = _digits_to_numbers(data, starts[cells], ends[cells] - starts[cells])
    if numbers is None:
        return None
    names = [
        block[start:end].decode().strip()
        for start, end in zip(name_starts.tolist(), name_ends.tolist(), strict=True)
    ]
    if not all(names):
        return None
    stored = numbers > 0  # not so for 00
    return ParsedLines(
        names,
        np.bincount(lines[stored], minlength=line_ends.size).astype(np.int64),
        columns[stored].astype(np.int32),
        numbers[stored].astype(np.float32),
    )


def _others_outside_names(
    kind: NDArray[np.uint8], name_starts: NDArray[np.int64], name_ends: NDArray[np.int64]
) -> bool:
    """Return whether any count contains a byte that is not a digit."""
    others = np.flatnonzero(kind == _OTHER)
    inside = np.searchsorted(others, name_ends) - np.searchsorted(others, name_starts)
    return int(inside.sum()) != others.size


def _digits_to_numbers(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return the numbers, ``None`` if one is empty, very long or too large."""
    longest = int(lengths.max(initial=0))
    if lengths.min(initial=1) < 1 or longest > _LONGEST_PLAIN:
        return None
    values = np.zeros(starts.size, dtype=np.int64)
    for place in range(longest):
        reaches = lengths > place
        digits = data[starts[reaches] + place].astype(np.int64) - ord("0")
        values[reaches] = values[reaches] * 10 + digits
    return values if values.max(initial=0) <= LARGEST_COUNT else None


def _what_is_wrong(text: str, *, decimal_comma: bool) -> str | None:
    """Return the error in one count, ``None`` if it is valid."""
    shown = repr(text if len(text) <= 40 else text[:40] + "…")
    if not text:
        return "the count is empty; write 0 where there are no reads"
    lowered = text.lower().lstrip("+-")
    if lowered in ("nan", "na", "n/a", "null", "none"):
        return f"the count is missing ({shown}); write 0 where there are no reads"
    if lowered in ("inf", "infinity"):
        return f"the count is infinite ({shown})"
    if decimal_comma:
        text = text.replace(",", ".")
    if _NUMBER.fullmatch(text) is None:
        return f"the count is not a number ({shown})"
    value = float(text)
    if value < 0:
        return f"the count is negative ({shown}), as logarithms and scaled values can be"
    if value > LARGEST_COUNT:
        return f"the count is absurdly large ({shown}); more than 1e9 reads are not believed"
    return None
