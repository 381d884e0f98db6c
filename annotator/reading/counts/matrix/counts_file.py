"""Read tables of features and samples, in either orientation, into one row per sample.

The file is read once, block by block, and checked to its end before any counts are
returned. The non-zero counts go to a temporary file, from which the rows of any range of
samples can be collected without ever holding the whole matrix in memory.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.errors import InputError
from annotator.reading.counts.layout import SAMPLES_AT_ONCE, CountsLayout
from annotator.reading.counts.matrix.header import SAMPLES_DOWN, read_header
from annotator.reading.counts.matrix.numbers import LineParser
from annotator.reading.counts.matrix.spill import CountsSpill, SampleSpill, Spill
from annotator.reading.counts.matrix.table_bytes import tab_separated
from annotator.reading.text.findings import Findings
from annotator.reading.text.head import read_head, skipped_note
from annotator.reading.text.text_file import open_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from annotator.reading.text.head import Head
    from annotator.reading.text.text_file import Blocks


class CountsFile:
    """A COUNTS file that has been read and passed all checks.

    Attributes
    ----------
    sample_ids, feature_names
        In the order of the file.
    orientation
        ``features-down`` or ``samples-down``.
    notes
        What was detected, converted or left out.
    """

    def __init__(
        self,
        sample_ids: tuple[str, ...],
        feature_names: tuple[str, ...],
        spill: Spill,
        orientation: str,
        notes: tuple[str, ...],
    ) -> None:
        self.sample_ids, self.feature_names = sample_ids, feature_names
        self.orientation, self.notes = orientation, notes
        self._spill = spill

    @property
    def is_whole(self) -> bool:
        """Whether all counts are whole numbers."""
        return self._spill.is_whole

    @property
    def totals(self) -> NDArray[np.float64]:
        """Sum of the counts of each sample."""
        return self._spill.totals

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[tuple[str, ...], csr_matrix]]:
        """Yield the counts, some samples at a time; may be called more than once.

        Parameters
        ----------
        samples_at_once
            Number of rows per batch; the last batch may have fewer.

        Yields
        ------
        sample_ids, counts
            Counts have shape ``(samples, features)``, dtype float32, sorted
            indices and no explicit zeros.
        """
        if samples_at_once < 1:
            raise ValueError("samples_at_once must be at least 1")
        for first in range(0, len(self.sample_ids), samples_at_once):
            ids = self.sample_ids[first : first + samples_at_once]
            yield ids, self._spill.rows(first, first + len(ids), len(self.feature_names))


@contextmanager
def read_matrix(source: Path | Head, *, spill_folder: Path | None = None) -> Iterator[CountsFile]:
    """Read and check a table of counts in bounded memory.

    Columns are separated by tabs, commas, semicolons or spaces; the first one has the names
    of features, or of samples (``samples-down``), whatever its header is. Counts are numbers
    from 0 to 1e9 and may have fractions, with a decimal comma where commas do not separate
    columns. Rows and columns at the end without any value are left out.

    Parameters
    ----------
    source
        The file, or its head.
    spill_folder
        Folder for the temporary file, which needs 8 bytes per non-zero count and is
        removed at the end of the ``with`` block, also after an error. By default the
        system's folder for temporary files.

    Yields
    ------
    CountsFile
        The file, checked to its end.

    Raises
    ------
    InputError
        The file has errors; the message names the line and column of the first one, and
        ``findings`` has the others.
    NeedsPersonError
        The temporary file cannot be written, as when the disk is full.
    """
    head = read_head(source) if isinstance(source, Path) else source
    try:
        temporary = tempfile.TemporaryFile(buffering=0, dir=spill_folder)  # noqa: SIM115 - closed by with below
    except OSError as error:
        raise InputError(
            f"no temporary file can be created here: {error.strerror or error}",
            source=str(spill_folder or tempfile.gettempdir()),
        ) from error
    with temporary as file:
        yield _read(head, file)


def _read(head: Head, file: FileIO) -> CountsFile:
    with open_blocks(head.path) as blocks:
        if not any(head.header):
            for _ in blocks:  # which names what is wrong with a file that is not text
                pass
            raise InputError("the file is empty", source=str(head.path))
        findings = Findings(head.path)
        header = read_header(head, findings)
        findings.raise_all()  # the meaning of the columns decides what the cells are
        parser = LineParser(header.shape, findings, head.dialect.delimiter != ",")
        samples_down = header.orientation == SAMPLES_DOWN
        across = header.shape.names
        spill: Spill = SampleSpill(file) if samples_down else CountsSpill(file, len(across))
        for first_line, block in _below(blocks, head.header_line):
            cells = tab_separated(block, head.dialect, first_line, findings)
            lines = parser.parse(first_line, cells)
            if not findings.found:
                spill.add(lines)
        if not parser.line_of and not findings.found:
            findings.add(f"there is a header but no {header.shape.down}", head.header_line + 1)
        parser.finish()
    spill.finish_piece()
    down = tuple(parser.line_of)
    ids, features = (down, across) if samples_down else (across, down)
    notes = (*_notes(head, blocks, parser), *header.notes)
    return CountsFile(ids, features, spill, header.orientation, notes)


def _below(blocks: Blocks, header_line: int) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks without the header and the lines above it."""
    for first_line, block in blocks:
        skipped = header_line + 1 - first_line
        if skipped <= 0:
            yield first_line, block
            continue
        *_, rest = block.split(b"\n", skipped)
        if rest:
            yield header_line + 1, rest


def _notes(head: Head, blocks: Blocks, parser: LineParser) -> tuple[str, ...]:
    notes = []
    if blocks.encoding != head.dialect.written_in:
        notes.append(f"a later line is not UTF-8; from there it was read as {blocks.encoding}")
    if head.comments:
        notes.append(skipped_note(head.comments))
    if parser.empty_lines:
        notes.append(f"{counted(parser.empty_lines, 'empty row')} left out")
    return tuple(notes)


MATRIX = CountsLayout(
    "table of features and samples", lambda _head: True, read_matrix, is_general=True
)
