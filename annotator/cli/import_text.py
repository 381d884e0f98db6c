"""The output of ``annotator import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.cli.value_text import value_lines

if TYPE_CHECKING:
    from annotator.domain.imports import ImportSummary


def import_lines(summary: ImportSummary, *, dry_run: bool) -> str:
    """Return what was recognised in the files, and what was changed."""
    lines = []
    for file in summary.files:
        lines.append(f"{file.path}: {file.detected}")
        lines += [f"  {note}" for note in file.notes]
    lines.append(
        f"samples: {summary.samples_added} added, {summary.samples_changed} changed,"
        f" {summary.samples_unchanged} unchanged; {summary.datasets_added} datasets,"
        f" {summary.features_added} features, {summary.terms_added} terms added;"
        f" {summary.annotations_changed} annotations changed"
    )
    lines += value_lines(summary.values)
    if any(each.not_understood for each in summary.values):
        lines.append(
            "values that are not understood are kept in attributes named such as 'sex (as given)';"
            " the samples count as unlabelled"
        )
    if dry_run:
        lines.append("this was a dry run: nothing was changed")
    return "\n".join(lines)
