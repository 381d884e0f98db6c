"""The full text that NCBI BioSample exports: a block per sample with ``/key="value"`` lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text.expansion import check_cells
from annotator.reading.text.text_file import whole_text

if TYPE_CHECKING:
    from annotator.reading.text.head import Head

_BLOCK = re.compile(r"^\d+: ", re.MULTILINE)
_ATTRIBUTE = re.compile(r'^\s*/([^=]+)="(.*)"\s*$', re.MULTILINE)
_ACCESSION = re.compile(r"^Accession: (\S+)", re.MULTILINE)
_ORGANISM = re.compile(r"^Organism: (.+)$", re.MULTILINE)
_IDENTIFIERS = re.compile(r"^Identifiers: (.+)$", re.MULTILINE)


def _is_full_text(head: Head) -> bool:
    lines = [" ".join(row) for row in (head.header, *head.rows)]
    return any(line.startswith("Identifiers: BioSample:") for line in lines)


def _read(head: Head) -> SampleTable:
    samples = []
    for block in _BLOCK.split(whole_text(head.path))[1:]:
        accession = _ACCESSION.search(block)
        organism = _ORGANISM.search(block)
        samples.append(
            {
                **_identifiers(block),
                "BioSample": accession.group(1) if accession else "",
                "title": block.split("\n", 1)[0].strip(),
                "organism": organism.group(1).strip() if organism else "",
                **{key.strip(): value.strip() for key, value in _ATTRIBUTE.findall(block)},
            }
        )
    if not samples:
        raise InputError("there is no sample in this BioSample text", source=str(head.path))
    columns = tuple(dict.fromkeys(name for sample in samples for name in sample))
    check_cells(head.path, len(samples), len(columns))
    rows = [
        (number, tuple(sample.get(name, "") for name in columns))
        for number, sample in enumerate(samples, start=1)
    ]
    return SampleTable(head.path, columns, tuple(rows))


def _identifiers(block: str) -> dict[str, str]:
    """Return the ids of a sample in the databases, and the name that its submitter gave it."""
    line = _IDENTIFIERS.search(block)
    pairs = (part.partition(":") for part in line.group(1).split(";")) if line else ()
    ids = {key.strip(): value.strip() for key, _, value in pairs if value.strip()}
    # The submitter's name is unique in a study only, so it is not the id of first choice.
    return {"submitted name" if key == "Sample name" else key: ids[key] for key in ids}


BIOSAMPLE = SamplesLayout("BioSample full text", _is_full_text, _read, has_columns=False)
