"""mirGFF3, the format of miRTop: one line per isomiR, counts of all samples in an attribute.

Reads that passed the filter are added up by miRNA (Desvignes et al. 2020, mirGFF3 1.2).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.errors import InputError
from annotator.reading.counts.layout import CountsLayout
from annotator.reading.counts.tally import Tally
from annotator.reading.text.rows import as_count
from annotator.reading.text.text_file import numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head

_SAMPLES = "COLDATA:"


def _is_mirgff(head: Head) -> bool:
    return any(line.casefold().startswith("mirgff3") for line in head.comments)


@contextmanager
def _read(head: Head) -> Iterator[CountsTable]:
    samples = next((line for line in head.comments if line.startswith(_SAMPLES)), None)
    if samples is None:
        raise InputError(
            "there is no line '## COLDATA:' with the names of the samples", source=str(head.path)
        )
    names = [name.strip() for name in samples.removeprefix(_SAMPLES).split(",")]
    tally = Tally(names)
    left_out, reads = 0, 0.0
    for line, attributes in _lines(head):
        counts = _expression(head, line, attributes, len(names))
        if attributes.get("Filter", "Pass").casefold() == "pass" and attributes.get("Name"):
            tally.add(attributes["Name"], counts)
        else:
            left_out, reads = left_out + 1, reads + sum(counts)
    notes = ["reads of isomiRs are added up by miRNA"]
    if left_out:
        lines = counted(left_out, "line")
        notes.append(f"left out: {lines} that did not pass the filter ({reads:,.0f} reads)")
    yield tally.table(notes)


def _lines(head: Head) -> Iterator[tuple[int, dict[str, str]]]:
    for line, content in numbered_lines(head.path):
        if content.startswith("#") or not content.strip():
            continue
        cells = content.split("\t")
        if len(cells) != 9:
            raise InputError(
                f"{len(cells)} columns where mirGFF3 has 9", source=str(head.path), line=line
            )
        pairs = (part.strip().partition("=") for part in cells[8].split(";"))
        yield line, {key: value.strip() for key, _, value in pairs if key}


def _expression(head: Head, line: int, attributes: dict[str, str], samples: int) -> list[float]:
    counts = [
        as_count(head, line, text.strip(), "Expression")
        for text in attributes.get("Expression", "").split(",")
    ]
    if len(counts) != samples:
        raise InputError(
            f"Expression has {len(counts)} counts for {samples} samples",
            source=str(head.path),
            line=line,
        )
    return counts


MIRGFF = CountsLayout("mirGFF3", _is_mirgff, _read, has_reads=True)
