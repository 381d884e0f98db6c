"""The results of an import or of a removal of datasets, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.cli.ontology_text import label_lines, ontology_lines
from annotator.cli.value_text import value_lines
from annotator.domain.wording import counted, some, visible

if TYPE_CHECKING:
    from annotator.domain.imports import (
        CopiedSample,
        ForgottenData,
        ImportSummary,
        UnnamedFeatures,
    )


def import_lines(summary: ImportSummary, *, dry_run: bool) -> str:
    """Return what was recognised in the files, and what was changed and kept."""
    lines = []
    for file in summary.files:
        lines.append(f"{file.path}: {file.detected}")
        lines += [f"  {note}" for note in file.notes]
    lines += ontology_lines(summary.ontology)
    lines.append(
        f"samples: {summary.samples_added} added, {summary.samples_changed} changed,"
        f" {summary.samples_unchanged} unchanged; {counted(summary.datasets_added, 'dataset')},"
        f" {counted(summary.features_added, 'feature')}, {counted(summary.terms_added, 'term')}"
        f" added; {counted(summary.annotations_changed, 'annotation')} changed"
    )
    if summary.copies:
        lines.append(_copies_line(summary.copies))
    if summary.samples_added + summary.samples_changed and not summary.near_copies_sought:
        lines.append(
            "copies of libraries were looked for among equal counts only; `annotator doctor` also"
            " finds those with slightly other counts"
        )
    lines += [*_details(summary), *value_lines(summary.values), *label_lines(summary.labels)]
    if any(each.not_understood for each in summary.values):
        lines.append(
            "values that are not understood are kept in attributes named such as 'sex (as given)';"
            " the samples count as unlabelled"
        )
    if dry_run:
        lines.append("this was a dry run: nothing was changed")
    return "\n".join(map(visible, lines))


def _copies_line(copies: tuple[CopiedSample, ...]) -> str:
    examples = some(
        copies, lambda one: f"{one.sample_id} = {one.dataset_of_copy}:{one.copy_of}", most=3
    )
    return (
        f"{counted(len(copies), 'sample')} with a copy in another dataset ({examples});"
        " retraining counts each library once"
    )


def _details(summary: ImportSummary) -> list[str]:
    lines = []
    if summary.samples_moved:
        lines.append(f"moved {counted(summary.samples_moved, 'sample')} to another dataset")
    if summary.counts_changed:
        lines.append(
            f"changed {counted(summary.counts_changed, 'stored count')} that this file names too"
        )
    if summary.kept.features:
        lines.append(f"kept {_unnamed(summary.kept)}")
    if summary.removed.features:
        lines.append(f"removed {_unnamed(summary.removed)}")
    if summary.attributes_kept:
        lines.append(
            f"kept {counted(summary.attributes_kept, 'attribute')} that this file does not have"
        )
    if summary.expression_repaired:
        lines.append(
            f"replaced the expression of {counted(summary.expression_repaired, 'sample')} whose"
            " stored counts could not be read"
        )
    return lines


def _unnamed(found: UnnamedFeatures) -> str:
    return (
        f"{counted(found.features, 'feature')} of {counted(found.samples, 'sample')} that this file"
        " does not name"
    )


def forgotten_lines(found: ForgottenData) -> str:
    """Return what goes with some datasets, and what becomes of the rest."""
    lines = [
        f"{counted(len(found.datasets), 'dataset')}: {', '.join(found.datasets)}",
        f"removed: {counted(found.samples, 'sample')}, {counted(found.counts, 'count')},"
        f" {counted(found.annotations, 'annotation')}",
        f"kept as history: {counted(found.predictions, 'prediction')}, and"
        f" {counted(found.decisions, 'decision')} by curators, undone",
    ]
    if found.releases:
        numbers = ", ".join(map(str, found.releases))
        lines.append(f"live releases that have learned from these samples stay live: {numbers}")
    return "\n".join(map(visible, lines))
