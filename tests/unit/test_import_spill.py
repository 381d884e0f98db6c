"""Counts that are written to disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from annotator.reading.counts.matrix import spill as spill_module


def test_a_disk_that_takes_a_few_bytes_at_a_time_loses_none(tmp_path: Path) -> None:
    class SlowFile(io.FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(memoryview(data)[:3])

    with SlowFile(tmp_path / "spill", "w+b") as file:
        spill = spill_module.CountsSpill(file, samples=3)
        for feature in range(2):
            spill.add(
                spill_module.ParsedLines(
                    [f"miR-{feature}"],
                    np.array([2]),
                    np.array([0, 2], dtype=np.int32),
                    np.array([feature + 1, 500], dtype=np.float32),
                )
            )
            spill.finish_piece()
        assert spill.rows(0, 3, 2).toarray().tolist() == [[1, 2], [0, 0], [500, 500]]
        assert spill.rows(1, 3, 2).toarray().tolist() == [[0, 0], [500, 500]]
