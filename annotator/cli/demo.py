"""Run the whole program on a simulated atlas, from an empty folder to a review queue."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.cli.group import say
from annotator.cli.tables import as_table, retrain_table
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.wording import counted
from annotator.errors import InputError, NeedsPersonError
from annotator.logs import progress
from annotator.store.server.connection import Database, open_database
from annotator.store.server.home import only_demo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.settings import Settings

QUEUE = """
select sample_id, dataset_id, field, value, round(confidence::numeric, 2)::float8 as confidence,
       dataset_open as open_in_dataset, dataset_agrees, top_features[1:3] as top_features,
       prediction_id
from annotator.review_queue limit 12
"""

NEXT = """
What to try next:
  {program} status
  {program} sql "select * from review_queue limit 5"
  {program} sql "select field, preset, accuracy, samples, datasets from model_card"
  {program} sql "select class, feature, score from contribution where prediction_id = {prediction}"
  {program} explain {sample} --field {field}
  {program} sql "select class, feature, stability from class_marker where rank <= 3"
  {program} sql "select * from accept_suggestion({prediction}, 'looks right')"
  {program} sql "select * from accept_dataset('{dataset}', '{field}', 0.9, 'whole dataset agrees')"
  {program} evaluate --field tissue --scheme cv
  {program} report --out reports
  {program} retrain
  {program} serve
"""


def run_demo(settings: Settings) -> None:
    """Simulate an atlas, import it, retrain, annotate, and compare with the truth.

    An existing demo in ``ANNOTATOR_HOME`` is replaced.

    Raises
    ------
    InputError
        A database is set, or the home contains a database that is not a demo.
    NeedsPersonError
        Temporary files cannot be written.
    RetryableError
        Another demo is running in the home.
    """
    home = settings.home_folder()
    if settings.database_url is not None:
        raise InputError(
            "the demo works on the embedded database only: unset ANNOTATOR_DATABASE_URL"
        )
    started = time.monotonic()
    with open_database(settings, demo=True) as database, only_demo(home):
        _say(started, f"embedded PostgreSQL is up in {home}")
        atlas = _load_simulation(database, started)
        outcomes = _retrain(database, settings, started)
        _annotate(database, settings, started)
        _show(database, outcomes, atlas.truth, atlas.terms, settings)
        _say(started, "done")


def _say(started: float, message: str) -> None:
    say(f"[{time.monotonic() - started:5.0f} s] {message}", err=True)


def _load_simulation(database: Database, started: float) -> Any:
    from annotator.atlas.simulate import SimulationOptions, simulate_atlas, write_atlas
    from annotator.jobs.import_files import ImportOptions, import_files
    from annotator.store.server.schema import current_revision, downgrade, migrate

    with database.connect() as connection:
        if current_revision(connection) is not None:
            lost = connection.execute("select count(*) from annotator.review").fetchall()[0][0]
            _say(started, f"replacing the demo that was here, with {counted(lost, 'decision')}")
    downgrade(database)
    migrate(database)
    atlas = simulate_atlas(SimulationOptions())
    with tempfile.TemporaryDirectory(prefix="annotator-demo-") as folder:
        files = Path(folder)
        try:
            write_atlas(atlas, files)
        except OSError as error:
            raise NeedsPersonError(
                f"{folder}: the simulated files cannot be written ({error.strerror}); free some"
                " space, or set TMPDIR to another folder"
            ) from error
        _say(started, "simulated an atlas; importing it")
        for kind in FeatureKind:
            summary = import_files(
                database,
                files / f"counts_{kind.value}.tsv.gz",
                files / "samples.tsv",
                ontology=files / "ontology.tsv",
                options=ImportOptions(kind=kind),
            )
            _say(
                started,
                f"imported {kind.value} counts: {summary.samples_added} samples and"
                f" {summary.features_added} features added",
            )
    return atlas


def _retrain(database: Database, settings: Settings, started: float) -> list[Any]:
    from annotator.jobs.retrain.retrain import retrain

    outcomes = []
    # Few folds are enough for a demo.
    settings = replace(
        settings,
        folds=settings.folds or 5,
        cross_validation_folds=min(settings.cross_validation_folds, 3),
    )
    for field in settings.fields:
        _say(started, f"training {field}; whole datasets are held out for validation")
        with progress(f"{field}: folds", "folds") as shown:
            outcome = retrain(database, settings, field, DEFAULT_ORGANISM, progress=shown)
        outcomes.append(outcome)
        release = f" release {outcome.release_id}" if outcome.release_id else ""
        _say(started, f"{field}: {outcome.status}{release}")
        for reason in outcome.reasons:
            say(f"          {reason}", err=True)
    return outcomes


def _annotate(database: Database, settings: Settings, started: float) -> None:
    from annotator.jobs.annotate.annotate import annotate
    from annotator.jobs.annotate.worker import worker_name

    *most, last = settings.fields
    listed = f"{', '.join(most)} or {last}" if most else last
    _say(started, f"annotating the samples whose {listed} is missing")
    with progress("annotating", "samples") as shown:
        summary = annotate(database, settings, worker=worker_name(), progress=shown)
    _say(
        started,
        f"{sum(summary.predicted.values())} predictions made,"
        f" {sum(summary.quarantined.values())} samples quarantined",
    )


def _show(
    database: Database,
    outcomes: Sequence[Any],
    truth: Mapping[str, Mapping[str, Any]],
    terms: Mapping[str, tuple[str, ...]],
    settings: Settings,
) -> None:
    with database.connect() as connection:
        cursor = connection.execute(QUEUE)
        queue = cursor.fetchall()
        columns = [column.name for column in cursor.description or ()]
        answers = connection.execute(
            "select field, sample_id, value, models -> 'combined' ->> 'value'"
            " from annotator.suggestion order by field, sample_id"
        ).fetchall()
    say("\nValidation on datasets that the models had not seen\n")
    say(retrain_table(outcome for outcome in outcomes if outcome.metrics))
    say("\nReview queue, most useful first\n")
    say(as_table(columns, queue))
    say("\nThe filled gaps against the simulation's truth\n")
    say(
        as_table(
            ["field", "gaps", "answered", "right", "share right", "best guess right"],
            _compare(answers, truth, terms, settings),
        )
    )
    say(
        f"\nThe threshold is set for {settings.target_precision:.0%} precision on held-out datasets"
        f" ({_reached(outcomes)}); the best guess counts every gap."
    )
    if queue:
        first = dict(zip(columns, queue[0], strict=True))
        say(
            NEXT.format(
                program=_program(),
                prediction=first["prediction_id"],
                sample=first["sample_id"],
                dataset=first["dataset_id"],
                field=first["field"],
            )
        )
    say(f"The demo is in {settings.home_folder()}")


def _reached(outcomes: Sequence[Any]) -> str:
    """Return the precision and the answered share of each field on held-out datasets."""
    found = []
    for outcome in outcomes:
        metrics = {m.name: m.value for m in outcome.metrics if m.model_kind == "combined"}
        if "precision" in metrics:
            found.append(
                f"{outcome.field}: {metrics['answered']:.0%} answered,"
                f" {metrics['precision']:.1%} of them right"
            )
        elif "answered" in metrics:
            found.append(f"{outcome.field}: nothing answered")
    return "; ".join(found)


def _program() -> str:
    """Return the command to call this program with from the working folder."""
    program = Path(sys.argv[0]).absolute()
    if shutil.which("annotator") == str(program):
        return "annotator"
    if program.is_relative_to(Path.cwd()):
        return str(program.relative_to(Path.cwd()))
    return str(program)


def _compare(
    answers: Sequence[Sequence[Any]],
    truth: Mapping[str, Mapping[str, Any]],
    terms: Mapping[str, tuple[str, ...]],
    settings: Settings,
) -> list[list[Any]]:
    """Count the answers and best guesses that are right; for terms, ancestors count as right."""
    from annotator.domain.values.intervals import interval_of
    from annotator.learn.labels.ontology import Ontology

    ontology = Ontology(terms)

    def is_right(field: str, sample_id: str, value: str) -> bool:
        true_value = truth[field][sample_id]
        if field == "tissue":
            return value in ontology.lineage(str(true_value))
        if field == "age":
            return value == interval_of(float(true_value), settings.fields[field].limits)
        return bool(value == true_value)

    rows: list[list[Any]] = []
    for field in FIELDS:
        own = [row[1:] for row in answers if row[0] == field]
        if not own:
            rows.append([field, "no reliable model", "", "", "", ""])
            continue
        right = [is_right(field, sample, value) for sample, value, _ in own if value is not None]
        guesses = [is_right(field, sample, best) for sample, _, best in own]
        share = sum(right) / len(right) if right else ""
        guessed = sum(guesses) / len(guesses)
        rows.append([field, len(own), len(right), sum(right), share, guessed])
    return rows
