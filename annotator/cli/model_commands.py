"""Commands about models: retrain, evaluate, ablation, explain and report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from annotator.cli.group import (
    FIELD,
    FILE,
    changed,
    check_output_file,
    command_line,
    database_of,
    default_organism_option,
    folds_option,
    organism_option,
    preset_option,
    say,
    utf8,
    write_file,
    write_json_file,
)
from annotator.cli.value_text import value_line
from annotator.domain.fields import Level
from annotator.domain.held_out import CROSS_VALIDATION, ONE_DATASET_OUT
from annotator.domain.organisms import DEFAULT_ORGANISM, of_organism, organism_named
from annotator.domain.wording import visible
from annotator.logs import progress

if TYPE_CHECKING:
    from annotator.jobs.report import WrittenReport
    from annotator.jobs.retrain.retrain import RetrainOutcome
    from annotator.settings import Settings


@command_line.command()
@click.option("--field", "fields", type=FIELD, multiple=True, help="Only this field; repeatable.")
@organism_option
@preset_option
@folds_option
@click.pass_obj
def retrain(
    settings: Settings,
    fields: tuple[str, ...],
    organism: str | None,
    preset: str | None,
    folds: int | None,
) -> None:
    """Train and validate on the current labels; promote candidates that pass the gate.

    Each organism with enough labels gets models of its own.
    """
    from annotator.cli.tables import retrain_table
    from annotator.jobs.report import bring_up_to_date
    from annotator.jobs.retrain.retrain import organisms_to_train
    from annotator.jobs.retrain.retrain import retrain as retrain_field

    settings = changed(settings, preset=preset, folds=folds)
    outcomes: list[RetrainOutcome] = []
    with database_of(settings) as database:
        due = {
            field: organisms_to_train(database, settings, field, organism)
            for field in fields or tuple(settings.fields)
        }
        among = {name for organisms in due.values() for name in organisms}
        for field, name in [(each, name) for each in due for name in due[each]]:
            title = of_organism(field, name, among)
            with progress(f"{title}: folds", "folds") as shown:
                outcome = retrain_field(
                    database,
                    settings,
                    field,
                    name,
                    is_required=len(due[field]) == 1,
                    progress=shown,
                )
            outcomes.append(outcome)
            say(_outcome_line(title, outcome))
        for written in bring_up_to_date(database, settings):
            say(_report_line(written))
    trained = [outcome for outcome in outcomes if outcome.metrics]
    if trained:
        say()
        say(retrain_table(trained))
    if any(outcome.failed for outcome in outcomes) or all(
        outcome.has_nothing_to_learn for outcome in outcomes
    ):
        raise SystemExit(1)


def _outcome_line(title: str, outcome: RetrainOutcome) -> str:
    release = f" release {outcome.release_id}" if outcome.release_id is not None else ""
    lines = [f"{title}: {outcome.status}{release}"]
    if outcome.values is not None and outcome.values.given:
        lines.append(f"  - {value_line(outcome.values)}")
    lines += [f"  - {reason}" for reason in outcome.reasons]
    return "\n".join(map(visible, lines))


def _title(field: str, settings: Settings) -> str:
    """Return the field, with the organism of the settings if it is an unusual one."""
    return of_organism(field, organism_named(settings.default_organism), [DEFAULT_ORGANISM])


def _report_line(written: WrittenReport) -> str:
    return f"{written.field}: report of release {written.release_id} is {written.path}"


@command_line.command()
@click.option(
    "--release",
    "release_id",
    type=click.IntRange(1, 2**63 - 1),
    help="Number of any release; by default every live one.",
)
@click.option("--out", "folder", type=FILE, required=True, help="Folder to write into.")
@click.pass_obj
def report(settings: Settings, release_id: int | None, folder: Path) -> None:
    """Write the report of a release: one HTML file, and its plots as SVG."""
    from annotator.jobs.report import report as write_reports

    with database_of(settings) as database:
        for written in write_reports(database, release_id, folder):
            say(_report_line(written))


@command_line.command()
@click.option("--field", type=FIELD, required=True, help="The field to evaluate.")
@default_organism_option
@click.option(
    "--scheme",
    type=click.Choice((CROSS_VALIDATION, ONE_DATASET_OUT)),
    required=True,
    help="Random 5-fold cross-validation, or whole datasets held out.",
)
@preset_option
@folds_option
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    help="Ontology terms, or groups of terms.",
)
@click.option("--json", "json_file", type=FILE, help="Also write the metrics to this file.")
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

    settings = changed(settings, preset=preset, folds=folds)
    if level is not None:
        definition = replace(settings.fields[field], level=Level(level))
        settings = replace(settings, fields={**settings.fields, field: definition})
    check_output_file(json_file)
    with database_of(settings) as database, progress(f"{field}: folds", "folds") as shown:
        validation = validate(database, settings, field, scheme, progress=shown)
    say(f"{_title(field, settings)}, preset {settings.preset}: {validation.description}")
    for note in validation.notes:
        say(note)
    say(kind_table(validation.metrics, datasets_held_out=scheme != CROSS_VALIDATION))
    say()
    say(class_tables(validation.metrics))
    if by_term := term_table(validation.metrics):
        say(f"\n{by_term}")
    write_json_file(json_file, as_json(field, settings.preset, validation))


@command_line.command()
@click.option("--field", type=FIELD, required=True, help="The field whose models are compared.")
@default_organism_option
@click.option(
    "--scheme",
    type=click.Choice((CROSS_VALIDATION, ONE_DATASET_OUT)),
    default=ONE_DATASET_OUT,
    show_default=True,
    help="Random 5-fold cross-validation, or whole datasets held out.",
)
@preset_option
@folds_option
@click.option("--json", "json_file", type=FILE, help="Also write the metrics to this file.")
@click.option("--figure", type=FILE, help="Also draw the accuracies, as SVG, beside the paper's.")
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

    settings = changed(settings, preset=preset, folds=folds)
    check_output_file(json_file)
    check_output_file(figure)
    with database_of(settings) as database, progress(f"{field}: folds", "folds") as shown:
        compared = ablate(database, settings, field, scheme, progress=shown)
    say(f"{_title(field, settings)}, preset {settings.preset}: {compared.description}")
    for note in compared.notes:
        say(note)
    say(ablation_table(compared))
    write_json_file(json_file, as_json(compared))
    if figure is not None:
        from annotator.report.figures.ablation import ablation_figure

        drawn = ablation_figure(compared.field, compared.scheme, compared.metrics)
        write_file(figure, drawn.svg)
        say(f"drawn in {figure}")


@command_line.command()
@click.argument("sample", callback=utf8)
@click.option("--field", type=FIELD, required=True, help="The field whose answer is explained.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of sRNAs for each class, and as many against it.",
)
@click.option("--store", is_flag=True, help="Also store the contributions to every class, for SQL.")
@click.option("--svg", type=FILE, help="File to draw to; ./SAMPLE-FIELD.svg by default.")
@click.pass_obj
def explain(
    settings: Settings, sample: str, field: str, top: int, store: bool, svg: Path | None
) -> None:
    """Show the sRNAs with the largest contributions to each class of SAMPLE, labelled or not."""
    from annotator.cli.explain_text import explanation_plot, explanation_text, plot_file_name
    from annotator.jobs.explain import explain_sample

    check_output_file(svg)
    with database_of(settings) as database:
        found = explain_sample(database, settings, sample, field, top, store=store)
    say(explanation_text(found))
    plot = explanation_plot(found)
    if plot is not None:
        path = svg or Path(plot_file_name(found))
        write_file(path, plot.svg)
        say(f"\ndrawn in {path}")
