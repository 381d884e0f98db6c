"""The commands that change the mirror: ``import`` and ``forget``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from annotator.cli.group import FILE, command_line, database_of, say, utf8_text
from annotator.domain.fields import FeatureKind
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from annotator.settings import Settings


@command_line.command("import")
@click.argument("counts", type=FILE, required=False)
@click.argument("samples", type=FILE, required=False)
@click.option(
    "--ontology",
    type=FILE,
    help="Terms and their parents: OBO, OBO Graph JSON, or a table with columns term and parent.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in FeatureKind]),
    default=FeatureKind.SRNA.value,
    show_default=True,
    help="The kind of the features in COUNTS.",
)
@click.option(
    "--map",
    "meanings",
    multiple=True,
    metavar="COLUMN=MEANING",
    help="What a column of SAMPLES means: sample_id, dataset_id, organism, is_cell_line or a"
    " field. May be repeated.",
)
@click.option("--dataset", metavar="ID", help="The dataset of samples for which none is given.")
@click.option(
    "--samples",
    "which",
    type=click.Choice(["same", "common", "all"]),
    default="same",
    show_default=True,
    help="Samples to take if the files do not have the same: those of both, or also those"
    " without counts.",
)
@click.option(
    "--orientation",
    type=click.Choice(["features-down", "samples-down"]),
    help="What the lines of COUNTS are, if it cannot be found out.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Remove what the samples have and the files do not; samples may change their dataset.",
)
@click.option(
    "--sample-prefix",
    metavar="TEXT|dataset",
    help="Put TEXT, or the dataset and a colon, before every sample id.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@click.pass_obj
def import_(
    settings: Settings,
    /,
    counts: Path | None,
    samples: Path | None,
    ontology: Path | None,
    **options: Any,
) -> None:
    """Load or update the mirror from COUNTS and SAMPLES: everything or nothing.

    COUNTS and SAMPLES may be left out to load an ontology alone.
    """
    from annotator.cli.import_text import import_lines
    from annotator.jobs.import_files import ImportOptions, check_given, import_files
    from annotator.reading.importers import SampleOptions, Which
    from annotator.store.server.home import forget_demo

    how = ImportOptions(
        kind=FeatureKind(options["kind"]),
        which=Which(options["which"]),
        orientation=options["orientation"],
        columns=SampleOptions(_meanings(options["meanings"]), options["dataset"] or ""),
        replace=options["replace"],
        sample_prefix=options["sample_prefix"],
        dry_run=options["dry_run"],
    )
    check_given(counts, samples, ontology)
    with database_of(settings) as database:
        summary = import_files(
            database,
            counts,
            samples,
            ontology=ontology,
            options=how,
            fields=settings.fields,
            default_organism=settings.default_organism,
        )
    if settings.database_url is None and not how.dry_run and forget_demo(settings.home_folder()):
        say("the embedded database is no longer just a demo: `demo` will not replace it")
    say(import_lines(summary, dry_run=how.dry_run))


def _meanings(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.rpartition("=") for each in given]
    for column, _, meaning in pairs:
        if not column or not meaning:
            raise InputError("--map needs COLUMN=MEANING, such as --map organism_part=tissue")
    return {column: meaning for column, _, meaning in pairs}


@command_line.command()
@click.argument("datasets", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(settings: Settings, datasets: tuple[str, ...], yes: bool) -> None:
    """Remove DATASETS from the mirror, after showing what goes and asking."""
    from annotator.cli.import_text import forgotten_lines
    from annotator.domain.wording import counted
    from annotator.jobs.forget import forget as remove
    from annotator.jobs.forget import what_would_go

    for dataset in datasets:
        utf8_text("DATASETS", dataset)
    with database_of(settings) as database:
        say(forgotten_lines(what_would_go(database, datasets)))
        if not yes and not sys.stdin.isatty():
            raise InputError("nobody can be asked here, and nothing was removed; add --yes")
        if not yes and not click.confirm("Remove these datasets?", default=False):
            say("nothing was removed")
            return
        found = remove(database, datasets)
    datasets_gone = counted(len(found.datasets), "dataset")
    say(f"done: {datasets_gone} with {counted(found.samples, 'sample')} removed")
