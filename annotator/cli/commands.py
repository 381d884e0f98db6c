"""The ``annotator`` command.

Every command imports what it needs when it runs, so that those which need no
model answer at once. Errors are one line on standard error; the exit code says
whose turn it is: 2 the person's who typed, 3 a person's who runs the system,
4 try again, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from annotator import __version__
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.held_out import CROSS_VALIDATION, ONE_DATASET_OUT
from annotator.errors import AnnotatorError, InputError, NeedsPersonError
from annotator.logs import configure_logging, progress
from annotator.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.jobs.report import WrittenReport
    from annotator.jobs.retrain.retrain import RetrainOutcome
    from annotator.store.server.connection import Database

INTERRUPTED = 130

_file = click.Path(path_type=Path)
_field = click.Choice(tuple(FIELDS))


def _preset_or_file(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept a built-in preset or an existing TOML file."""
    if value in (None, "default", "paper") or (value.endswith(".toml") and Path(value).is_file()):
        return value
    raise click.BadParameter(f"{value!r} is neither default nor paper nor an existing TOML file")


_preset = click.option(
    "--preset",
    metavar="default|paper|FILE.toml",
    callback=_preset_or_file,
    help="How models are trained.",
)
_folds = click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Group whole datasets into so many folds, for a quick look.",
)


def _utf8(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse what the database cannot be told; it is not repeated, for no terminal can show it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        name = parameter.human_readable_name
        raise InputError(f"{name}: not UTF-8 at character {error.start + 1}") from error
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="annotator")
@click.option("--config", type=_file, help="Settings file; ./annotator.toml by default.")
@click.pass_context
def command_line(context: click.Context, config: Path | None) -> None:
    """Fill in missing tissue, sex and age annotations of a small-RNA expression atlas."""
    if context.resilient_parsing:
        return
    if config is not None and not config.is_file():
        raise InputError("there is no such settings file", source=str(config))
    if config is not None:
        os.environ["ANNOTATOR_CONFIG"] = str(config.absolute())  # child processes read it too
    settings = load_settings()
    configure_logging(settings.log_format)
    context.obj = settings


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    import psycopg

    from annotator.store.server.connection import open_database, translating

    with open_database(settings) as database:
        try:
            with translating():
                yield database
        except psycopg.Error as error:
            raise NeedsPersonError(f"the database refused: {error}") from error


def _changed(settings: Settings, **options: Any) -> Settings:
    """Return the settings with the options that were given on the command line."""
    return replace(
        settings, **{name: value for name, value in options.items() if value is not None}
    )


@command_line.command()
@click.pass_obj
def demo(settings: Settings) -> None:
    """Simulate an atlas in the embedded database, train on it, and fill its gaps.

    A demo that is there already is made anew: whatever was decided or imported in it is gone.
    """
    from annotator.cli.demo import run_demo

    run_demo(settings)


@command_line.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Bring the database to the current schema."""
    from annotator.store.server.schema import migrate as bring_to_head

    with _database(settings) as database:
        before, after = bring_to_head(database)
    state = "is already" if before == after else "is now"
    click.echo(f"the database {state} at schema {after}")


@command_line.command("import")
@click.argument("counts", type=_file)
@click.argument("samples", type=_file)
@click.option("--ontology", type=_file, help="TSV of term and parent.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in FeatureKind]),
    default=FeatureKind.SRNA.value,
    show_default=True,
    help="What the features of COUNTS are.",
)
@click.pass_obj
def import_(
    settings: Settings, counts: Path, samples: Path, ontology: Path | None, kind: str
) -> None:
    """Load or update the mirror from COUNTS and SAMPLES, all of it or nothing."""
    from annotator.jobs.import_files import import_files
    from annotator.store.server.embedded import forget_demo

    with _database(settings) as database:
        summary = import_files(database, counts, samples, ontology=ontology, kind=FeatureKind(kind))
    if settings.database_url is None and forget_demo(settings.home_folder()):
        click.echo("the embedded database is no longer a mere demo: `demo` will not replace it")
    click.echo(
        f"samples: {summary.samples_added} added, {summary.samples_changed} changed,"
        f" {summary.samples_unchanged} unchanged; {summary.datasets_added} datasets,"
        f" {summary.features_added} features, {summary.terms_added} terms added;"
        f" {summary.annotations_changed} annotations changed"
    )


@command_line.command()
@click.option("--field", "fields", type=_field, multiple=True, help="Only this field; repeatable.")
@_preset
@_folds
@click.pass_obj
def retrain(
    settings: Settings, fields: tuple[str, ...], preset: str | None, folds: int | None
) -> None:
    """Train and validate on the current labels; promote only what is better."""
    from annotator.cli.tables import retrain_table
    from annotator.jobs.report import bring_up_to_date
    from annotator.jobs.retrain.retrain import UNLABELLED
    from annotator.jobs.retrain.retrain import retrain as retrain_field

    settings = _changed(settings, preset=preset, folds=folds)
    outcomes: list[RetrainOutcome] = []
    with _database(settings) as database:
        for field in fields or tuple(FIELDS):
            with progress(f"{field}: held-out folds", "folds") as shown:
                outcomes.append(retrain_field(database, settings, field, progress=shown))
            click.echo(_outcome_line(outcomes[-1]))
        for written in bring_up_to_date(database, settings):
            click.echo(_report_line(written))
    trained = [outcome for outcome in outcomes if outcome.metrics]
    if trained:
        click.echo()
        click.echo(retrain_table(trained))
    if any(outcome.failed for outcome in outcomes) or all(
        outcome.status == UNLABELLED for outcome in outcomes
    ):
        raise SystemExit(1)


def _outcome_line(outcome: RetrainOutcome) -> str:
    release = f" release {outcome.release_id}" if outcome.release_id is not None else ""
    lines = [f"{outcome.field}: {outcome.status}{release}"]
    return "\n".join(lines + [f"  - {reason}" for reason in outcome.reasons])


def _report_line(written: WrittenReport) -> str:
    return f"{written.field}: report of release {written.release_id} is {written.path}"


@command_line.command()
@click.option(
    "--release",
    "release_id",
    type=click.IntRange(1, 2**63 - 1),
    help="Any release; by default every live one.",
)
@click.option("--out", "folder", type=_file, required=True, help="Folder to write into.")
@click.pass_obj
def report(settings: Settings, release_id: int | None, folder: Path) -> None:
    """Write the report of a release: one HTML file, and its figures as SVG."""
    from annotator.jobs.report import report as write_reports

    with _database(settings) as database:
        for written in write_reports(database, release_id, folder):
            click.echo(_report_line(written))


@command_line.command()
@click.pass_obj
def annotate(settings: Settings) -> None:
    """Annotate everything pending, once."""
    from annotator.jobs.annotate.annotate import annotate as annotate_pending
    from annotator.jobs.annotate.worker import worker_name

    with _database(settings) as database, progress("annotating", "samples") as shown:
        summary = annotate_pending(database, settings, worker=worker_name(), progress=shown)
    if not summary.releases:
        click.echo("no release is live: run `annotator retrain` first")
        return
    fields = sorted({*summary.predicted, *summary.quarantined})
    if not fields:
        click.echo("nothing is pending")
    for field in fields:
        click.echo(
            f"{field}: {summary.predicted.get(field, 0)} annotated,"
            f" {summary.quarantined.get(field, 0)} quarantined"
        )


@command_line.command()
@click.argument("sample", callback=_utf8)
@click.option("--field", type=_field, required=True, help="The field whose answer is explained.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Leading sRNAs for, and as many against.",
)
@click.option("--store", is_flag=True, help="Also store the contributions to every class, for SQL.")
@click.option("--svg", type=_file, help="Where to draw; SAMPLE-FIELD.svg here by default.")
@click.pass_obj
def explain(
    settings: Settings, sample: str, field: str, top: int, store: bool, svg: Path | None
) -> None:
    """Show which sRNAs speak for and against each class of SAMPLE, labelled or not."""
    from annotator.cli.explain_text import explanation_figure, explanation_text, figure_file_name
    from annotator.jobs.explain import explain_sample

    _check_output_file(svg)
    with _database(settings) as database:
        found = explain_sample(database, settings, sample, field, top, store=store)
    click.echo(explanation_text(found))
    figure = explanation_figure(found)
    if figure is not None:
        path = svg or Path(figure_file_name(found))
        _write_file(path, figure.svg)
        click.echo(f"\ndrawn in {path}")


@command_line.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Run the daemon: poll, annotate, and retrain on its schedule."""
    from annotator.daemon import run_daemon

    with _database(settings) as database:
        run_daemon(database, settings)


@command_line.command()
@click.option("--field", type=_field, required=True, help="The field to evaluate.")
@click.option(
    "--scheme",
    type=click.Choice((CROSS_VALIDATION, ONE_DATASET_OUT)),
    required=True,
    help="Random 5-fold cross-validation, or whole datasets held out.",
)
@_preset
@_folds
@click.option(
    "--level", type=click.Choice(("term", "group")), help="Tissue terms, or tissue groups."
)
@click.option("--json", "json_file", type=_file, help="Also write the figures to this file.")
@click.pass_obj
def evaluate(
    settings: Settings,
    field: str,
    scheme: str,
    preset: str | None,
    folds: int | None,
    level: str | None,
    json_file: Path | None,
) -> None:
    """Validate the models of a field; nothing is stored or promoted."""
    from annotator.cli.tables import class_tables, kind_table, term_table
    from annotator.jobs.retrain.evaluate import as_json
    from annotator.jobs.retrain.evaluate import evaluate as validate

    settings = _changed(settings, preset=preset, folds=folds, tissue_level=level)
    _check_output_file(json_file)
    with _database(settings) as database, progress(f"{field}: folds", "folds") as shown:
        validation = validate(database, settings, field, scheme, progress=shown)
    click.echo(f"{field}, preset {settings.preset}: {validation.description}")
    for note in validation.notes:
        click.echo(note)
    click.echo(kind_table(validation.metrics, datasets_held_out=scheme != CROSS_VALIDATION))
    click.echo()
    click.echo(class_tables(validation.metrics))
    if by_term := term_table(validation.metrics):
        click.echo(f"\n{by_term}")
    _write_json_file(json_file, as_json(field, settings.preset, validation))


@command_line.command()
@click.option("--field", type=_field, required=True, help="The field whose models are compared.")
@click.option(
    "--scheme",
    type=click.Choice((CROSS_VALIDATION, ONE_DATASET_OUT)),
    default=ONE_DATASET_OUT,
    show_default=True,
    help="Random 5-fold cross-validation, or whole datasets held out.",
)
@_preset
@_folds
@click.option("--json", "json_file", type=_file, help="Also write the figures to this file.")
@click.option("--figure", type=_file, help="Also draw the accuracies, as SVG, beside the paper's.")
@click.pass_obj
def ablation(
    settings: Settings,
    field: str,
    scheme: str,
    preset: str | None,
    folds: int | None,
    json_file: Path | None,
    figure: Path | None,
) -> None:
    """Compare models on sRNAs, on contaminants and on both; nothing is stored."""
    from annotator.cli.tables import ablation_table
    from annotator.jobs.retrain.ablation import ablate, as_json

    settings = _changed(settings, preset=preset, folds=folds)
    _check_output_file(json_file)
    _check_output_file(figure)
    with _database(settings) as database, progress(f"{field}: folds", "folds") as shown:
        compared = ablate(database, settings, field, scheme, progress=shown)
    click.echo(f"{field}, preset {settings.preset}: {compared.description}")
    for note in compared.notes:
        click.echo(note)
    click.echo(ablation_table(compared))
    _write_json_file(json_file, as_json(compared))
    if figure is not None:
        from annotator.report.figures.ablation import ablation_figure

        drawn = ablation_figure(compared.field, compared.scheme, compared.metrics)
        _write_file(figure, drawn.svg)
        click.echo(f"drawn in {figure}")


def _check_output_file(path: Path | None) -> None:
    """Refuse before hours of work what could not be written after them."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError("its folder does not exist", source=str(path))


def _write_json_file(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        _write_file(path, json.dumps(content, indent=2) + "\n")


def _write_file(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", source=str(path)) from error


@command_line.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--daemon", is_flag=True, help="Fail unless a daemon of this host is alive.")
@click.pass_obj
def status(settings: Settings, as_json: bool, daemon: bool) -> None:
    """Show what is live, pending, failing and scheduled."""
    from annotator.jobs.watch.status import read_status, status_lines

    with _database(settings) as database:
        report = read_status(database, settings, with_figures=as_json)
    click.echo(json.dumps(report.as_dict(), default=str) if as_json else status_lines(report))
    if not report.daemon_here if daemon else report.problems:
        raise SystemExit(1)


@command_line.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--quick", is_flag=True, help="Check the digests of models without loading them.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, quick: bool) -> None:
    """Check the set-up, and say how to mend what is wrong."""
    from dataclasses import asdict

    from annotator.jobs.watch.doctor.examine import examine, report_lines
    from annotator.jobs.watch.doctor.findings import WRONG

    findings = examine(settings, quick=quick)
    content = {"findings": [asdict(finding) for finding in findings]}
    click.echo(json.dumps(content, default=str) if as_json else report_lines(findings))
    if any(finding.level == WRONG for finding in findings):
        raise SystemExit(1)


@command_line.command()
@click.argument("query", callback=_utf8)
@click.option(
    "--format",
    "output",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
)
@click.pass_obj
def sql(settings: Settings, query: str, output: str) -> None:
    """Run one SQL statement as a curator: it can read, and call the review functions."""
    from annotator.cli.tables import query_output
    from annotator.store.server.query import run_query
    from annotator.store.server.schema import check_schema

    with _database(settings) as database:
        with database.connect() as connection:
            check_schema(connection)
        result = run_query(database, query)
    click.echo(query_output(result.columns, result.rows, output), nl=False)


def _end(code: int, message: str) -> NoReturn:
    one_line = " ".join(message.split())
    click.echo(f"annotator: {one_line}", err=True)
    raise SystemExit(code)


def main() -> None:
    """Run the command line; turn every expected error into one line and a code."""
    # As for Ctrl-C: what is open is closed in order. The daemon sets handlers of its own.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        command_line.main(standalone_mode=False, prog_name="annotator")
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else str(error), err=True)
        raise SystemExit(2) from None
    except click.ClickException as error:
        _end(2, error.format_message())
    except AnnotatorError as error:
        _end(error.exit_code, str(error))
    except (click.Abort, KeyboardInterrupt):
        _end(INTERRUPTED, "interrupted; nothing half-written was left")
    except BrokenPipeError:
        # The reader of our output went away: that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
