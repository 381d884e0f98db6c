"""Status and findings of the doctor as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.cli.value_text import not_used_text, value_line
from annotator.domain.organisms import of_organism
from annotator.domain.wording import visible

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from annotator.jobs.watch.doctor.findings import Finding
    from annotator.jobs.watch.status import StatusReport


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def status_lines(report: StatusReport) -> str:
    """Return the status as text."""
    found = report.snapshot
    among = [field.organism for field in found.fields]
    names = [of_organism(field.field, field.organism, among) for field in found.fields]
    width = max([8, *(len(name) + 1 for name in names)])
    of_preset = max([9, *(len(field.preset or "") + 2 for field in found.fields)])
    lines = [
        f"atlas: {found.samples} samples in {found.datasets} datasets",
        "",
        f"{'field':<{width}}{'live':>6}  {'preset':<{of_preset}}{'since':<18}{'accuracy':>8}"
        f"{'waiting':>9}{'leased':>8}{'suggested':>11}{'abstained':>11}{'quarantined':>13}",
    ]
    for name, field in zip(names, found.fields, strict=True):
        release = "-" if field.release_id is None else str(field.release_id)
        accuracy = "-" if field.accuracy is None else f"{field.accuracy:.3f}"
        lines.append(
            f"{name:<{width}}{release:>6}  {field.preset or '-':<{of_preset}}"
            f"{_when(field.promoted_at):<18}"
            f"{accuracy:>8}{field.waiting:>9}{field.leased:>8}{field.suggested:>11}"
            f"{field.abstained:>11}{field.quarantined:>13}"
        )
    lines.append("")
    lines += [
        f"{name}: {field.answered:.1%} of the samples in held-out datasets are answered,"
        f" {field.precision:.1%} of the answers are right"
        for name, field in zip(names, found.fields, strict=True)
        if field.answered is not None and field.precision is not None
    ]
    lines += [
        f"{name}: none of the samples in held-out datasets is answered"
        for name, field in zip(names, found.fields, strict=True)
        if field.answered is not None and field.precision is None
    ]
    lines += [value_line(each) for each in report.values if each.not_used]
    lines += [
        f"no reliable model of {name}: release {field.refused_release_id} was refused;"
        " model_card has the reasons"
        for name, field in zip(names, found.fields, strict=True)
        if field.refused_release_id is not None
    ]
    lines += [
        f"last retraining of {name}: {field.last_run_status}"
        f" ({_when(field.last_run_started_at)})"
        + (f": {field.last_run_reason}" if field.last_run_reason else "")
        for name, field in zip(names, found.fields, strict=True)
        if field.last_run_status is not None
    ]
    lines += [waiting.sentence for waiting in found.without_release]
    lines += [
        f"daemon {daemon.worker} {daemon.version}: {daemon.state},"
        f" last heartbeat {daemon.silent_seconds:.0f} s ago"
        for daemon in found.daemons
    ] or ["no daemon is running; start one with `annotator serve`"]
    if found.last_annotation_run is not None:
        run = found.last_annotation_run
        lines.append(
            f"last annotation pass ({_when(run.started_at)}): {run.predicted} annotated,"
            f" {run.quarantined} quarantined"
        )
    lines += [
        f"failure at {_when(event.at)}, {event.subject}: {event.detail.get('reason', '')}"
        for event in found.failures
    ]
    upcoming = ", ".join(f"{due:%a %Y-%m-%d %H:%M}" for due in report.next_retrainings)
    lines.append(f"daemons retrain at cron {report.retrain_cron!r} (UTC); next: {upcoming}")
    lines += [f"problem: {problem}" for problem in report.problems]
    return "\n".join(map(visible, lines))


def findings_lines(findings: Iterable[Finding]) -> str:
    """Return the findings as text."""
    lines = []
    for finding in findings:
        more = "" if finding.values is None else not_used_text(finding.values)
        lines.append(f"{finding.level:<9}{finding.subject:<12}{finding.found}{more}")
        if finding.fix is not None:
            lines.append(f"{'':<9}{'to fix':<12}{finding.fix}")
    return "\n".join(map(visible, lines))
