"""The table ``obs`` of an AnnData file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.reading.anndata_file import is_anndata, read_obs
from annotator.reading.samples.layout import SamplesLayout, SampleTable

if TYPE_CHECKING:
    from annotator.reading.text.head import Head


def _read(head: Head) -> SampleTable:
    columns, rows = read_obs(head.path)
    return SampleTable(head.path, columns, tuple(enumerate(rows, start=1)))


ANNDATA_OBS = SamplesLayout("obs of AnnData", lambda head: is_anndata(head.path), _read)
