"""The ``annotator`` command.

Every command imports its dependencies when it runs, so that commands without
models start at once. Errors are one line on standard error, with an exit code:
2 for an error in the input, 3 if a person must fix the system, 4 to try again,
130 if interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import click

import annotator.cli.import_commands
import annotator.cli.model_commands  # noqa: F401 - these add their commands to the group
from annotator.cli.group import command_line, database_of, emit, say, utf8
from annotator.domain.wording import visible
from annotator.errors import AnnotatorError, InputError
from annotator.logs import progress
from annotator.stopping import StopRequests, end_later

if TYPE_CHECKING:
    from types import FrameType

    from annotator.settings import Settings

INTERRUPTED = 130
STOP_SECONDS = 60
_stop_requests = StopRequests()


@command_line.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Simulate an atlas in the embedded database, train on it, and fill its gaps.

    An existing demo is replaced: all decisions and imported files in it are lost.
    """
    from annotator.cli.demo import run_demo

    run_demo(settings)


@command_line.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Bring the database to the current schema."""
    from annotator.store.mirror.label_values import declare_words
    from annotator.store.mirror.organisms import note_organisms
    from annotator.store.server.schema import migrate as bring_to_head

    with database_of(settings) as database:
        found = bring_to_head(database)
        with database.connect() as connection:
            declare_words(connection, settings.fields)
            note_organisms(connection, settings.default_organism)
    if found.before != found.after:
        say(f"the database is now at schema {found.after}")
    elif not found.replaced:
        say(f"the database is already at schema {found.after}")
    else:
        say(
            f"the database is at schema {found.after} as before; its views, functions and rights"
            " are now those of this version"
        )


@command_line.command()
@click.pass_obj
def annotate(settings: Settings) -> None:
    """Annotate all pending samples once."""
    from annotator.jobs.annotate.annotate import annotate as annotate_pending
    from annotator.jobs.annotate.worker import worker_name

    with database_of(settings) as database, progress("annotating", "samples") as shown:
        summary = annotate_pending(database, settings, worker=worker_name(), progress=shown)
    if not summary.releases:
        say("no release is live: run `annotator retrain` first")
        return
    fields = sorted({*summary.predicted, *summary.quarantined})
    if not fields:
        say("nothing is pending")
    for field in fields:
        say(
            f"{field}: {summary.predicted.get(field, 0)} annotated,"
            f" {summary.quarantined.get(field, 0)} quarantined"
        )
    for note in summary.notes:
        say(note)


@command_line.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Run the daemon: poll, annotate, and retrain on schedule."""
    from annotator.daemon import run_daemon

    with database_of(settings) as database:
        run_daemon(database, settings)


@command_line.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--daemon", is_flag=True, help="Fail unless a daemon is running on this host.")
@click.pass_obj
def status(settings: Settings, as_json: bool, daemon: bool) -> None:
    """Show what is live, pending, failing and scheduled."""
    from annotator.cli.watch_text import status_lines
    from annotator.jobs.watch.status import read_status

    with database_of(settings) as database:
        report = read_status(
            database, settings, with_metrics=as_json, with_values=as_json or not daemon
        )
    if as_json:
        emit(json.dumps(report.as_dict(), default=str) + "\n")
    else:
        say(status_lines(report))
    if not report.daemon_here if daemon else report.problems:
        raise SystemExit(1)


@command_line.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--quick", is_flag=True, help="Neither load models nor compare libraries.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, quick: bool) -> None:
    """Check the installation and tell you how to fix what is wrong."""
    from dataclasses import asdict

    from annotator.cli.watch_text import findings_lines
    from annotator.jobs.watch.doctor.examine import examine
    from annotator.jobs.watch.doctor.findings import WRONG

    findings = examine(settings, quick=quick)
    content = {"findings": [asdict(finding) for finding in findings]}
    if as_json:
        emit(json.dumps(content, default=str) + "\n")
    else:
        say(findings_lines(findings))
    if any(finding.level == WRONG for finding in findings):
        raise SystemExit(1)


@command_line.command()
@click.argument("query", callback=utf8)
@click.option(
    "--format",
    "output",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
)
@click.pass_obj
def sql(settings: Settings, query: str, output: str) -> None:
    """Run one SQL statement as a curator, who can read and call the review functions."""
    from annotator.cli.tables import query_output
    from annotator.store.server.query import run_query
    from annotator.store.server.schema import check_schema

    with database_of(settings) as database:
        with database.connect() as connection:
            check_schema(connection)
        result = run_query(database, query)
    emit(query_output(result.columns, result.rows, output))


def _end(code: int, message: str) -> NoReturn:
    say(f"annotator: {visible(message)}", err=True)
    raise SystemExit(code)


def _end_with_findings(error: InputError) -> NoReturn:
    for finding in error.findings:
        say(f"annotator: {visible(finding)}", err=True)
    shown = len(error.findings)
    first = f", of which the first {shown} are listed" if error.found > shown else ""
    _end(error.exit_code, f"{error.found} errors were found{first}; nothing was changed")


def _stop(number: int, _frame: FrameType | None) -> None:
    """Close open resources in order; end at once if asked again or if that takes too long."""
    _stop_requests.note(number)
    end_later(number, STOP_SECONDS)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; turn every expected error into one line and an exit code."""
    os.environ["PYTHONSAFEPATH"] = "1"  # child processes import nothing from the working folder
    for number in (signal.SIGTERM, signal.SIGINT):  # the daemon has its own handlers
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        command_line.main(standalone_mode=False, prog_name="annotator")
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.ctx.get_help() if error.ctx else str(error), err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        _end(2, " ".join(error.format_message().split()))
    except InputError as error:
        if error.found > 1:
            _end_with_findings(error)
        _end(error.exit_code, str(error))
    except AnnotatorError as error:
        _end(error.exit_code, str(error))
    except (click.Abort, KeyboardInterrupt):
        _end(INTERRUPTED, "interrupted; nothing half-written was left")
    except BrokenPipeError:
        # The reader of the output has closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:  # noqa: BLE001 - as Python would end, but with names made visible
        say("".join(traceback.format_exception(error)), err=True, nl=False)
        raise SystemExit(1) from None
