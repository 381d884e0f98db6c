"""From the columns of a sample table to one record per sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS
from annotator.domain.imports import SampleRecord
from annotator.reading.samples.characteristics import NamedColumns, named_columns
from annotator.reading.samples.meanings import Column, Meanings, column_meanings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from annotator.domain.fields import FieldDefinition
    from annotator.reading.samples.layout import SampleTable

_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
