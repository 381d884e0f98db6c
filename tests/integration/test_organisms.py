"""Organisms in one atlas: each has its own releases, and none meets the models of another."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from annotator.atlas.simulate import simulate_atlas
from annotator.cli.commands import command_line
from annotator.domain.fields import FeatureKind
from annotator.domain.imports import SampleRecord
from annotator.domain.organisms import WithoutRelease
from annotator.errors import NeedsPersonError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.explain import explain_sample
from annotator.jobs.retrain.plan import plan_of
from annotator.jobs.retrain.retrain import TOO_FEW, organisms_to_train, retrain
from annotator.jobs.watch.doctor.artefacts import check_organisms
from annotator.jobs.watch.status import read_status
from annotator.settings import Settings
from annotator.store.answers import work
from annotator.store.answers.dataset_samples import other_samples_in
from annotator.store.mirror.cohorts import labelled_organisms
from annotator.store.mirror.organisms import (
    note_organisms,
    samples_without_release,
    with_organisms,
)
from annotator.store.releases import lifecycle, registry
from annotator.store.server import schema
from tests.support import ROOT
from tests.support.atlas import OPTIONS, load_atlas, small_atlas
from tests.support.databases import name_of, new_database
from tests.support.store import add_release, add_samples, execute, rows, run

HUMAN, MOUSE, RAT = "Homo sapiens", "Mus musculus", "Rattus norvegicus"
FAST = {
    "preset": str(ROOT / "tests" / "support" / "presets" / "linear_only.toml"),
    "folds": 2,
    "cross_validation_folds": 0,
    "workers": 1,
    "baseline_margin": -1.0,
    "marker_count": 5,
    "similarity_samples": 2,
}


def add_of(connection: psycopg.Connection, organism: str, *names: str, dataset: str = "D1") -> None:
    """Add samples of an organism, spelt in any way; committed."""
    add_samples(connection, *names, dataset=dataset)
    run(
        connection,
        "update atlas.sample set organism = %s where sample_id = any (%s)",
        organism,
        list(names),
    )


def label(connection: psycopg.Connection, name: str, value: str = "liver") -> None:
    run(
        connection,
        "insert into atlas.annotation (sample_id, field, value) values (%s, 'tissue', %s)",
        name,
        value,
    )


def predict(connection: psycopg.Connection, name: str, release_id: int) -> None:
    run(
        connection,
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, confidence, status)"
        " select sample_id, dataset_id, 'tissue', %s, repeat('0', 64), updated_at, 'liver', 0.9,"
        " 'suggested' from atlas.sample where sample_id = %s",
        release_id,
        name,
    )


# --- spellings ----------------------------------------------------------------------------------


def test_spellings_of_the_mirror_are_one_organism(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    for number, spelling in enumerate(("Mus musculus", "mouse", "10090", "Apis mellifera", " ")):
        add_of(connection, spelling, f"s{number}")
    assert note_organisms(daemon, "rat") == {MOUSE: 3, "Apis mellifera": 1, RAT: 1}
    found = dict(run(connection, "select sample_id, organism from annotator.sample_organism"))
    assert [found[f"s{number}"] for number in range(5)] == [
        *(MOUSE, MOUSE, MOUSE),
        *("Apis mellifera", RAT),
    ]
    # Names that are right already are not stored.
    assert run(connection, "select spelling from annotator.organism_spelling order by 1") == [
        (" ",),
        ("10090",),
        ("mouse",),
    ]


def test_another_default_applies_to_samples_without_an_organism(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_of(connection, "", "s")
    query = "select organism from annotator.sample_organism"
    assert run(connection, query) == [(HUMAN,)]
    for default in (MOUSE, HUMAN):
        note_organisms(daemon, default)
        assert run(connection, query) == [(default,)]


def test_new_samples_without_an_organism_get_the_default(connection: psycopg.Connection) -> None:
    add_samples(connection, "known")
    given = [
        SampleRecord(name, "D1", {}, {}, organism=organism)
        for name, organism in (("known", None), ("new", None), ("given", "rat"))
    ]
    found = with_organisms(connection, given, "mouse")
    assert [record.organism for record in found] == [None, MOUSE, "rat"]


# --- work and releases --------------------------------------------------------------------------


def test_releases_of_two_organisms_are_live_together(connection: psycopg.Connection) -> None:
    human, mouse = add_release(connection), add_release(connection, organism=MOUSE)
    assert [each.release_id for each in registry.live_releases(connection)] == [human, mouse]
    live = registry.live_release(connection, "tissue", MOUSE)
    assert live is not None
    assert (live.release_id, live.organism) == (mouse, MOUSE)
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(connection, "update annotator.release set organism = %s", MOUSE)
    connection.rollback()


def test_a_promotion_leaves_the_release_of_another_organism(connection: psycopg.Connection) -> None:
    human, mouse = add_release(connection), add_release(connection, organism=MOUSE)
    ((candidate,),) = run(
        connection,
        "with t as (insert into annotator.training_run (field, organism, preset, seed, host)"
        " values ('tissue', %s, 'default', 1, 'here') returning run_id, organism)"
        " insert into annotator.release (field, organism, run_id, classes, features)"
        " select 'tissue', organism, run_id, '{liver,brain}', 5 from t returning release_id",
        MOUSE,
    )
    lifecycle.promote(connection, candidate, ["better"])
    states = dict(run(connection, "select release_id, status::text from annotator.release"))
    assert states == {human: "live", mouse: "retired", candidate: "live"}
    earlier = registry.earlier_releases(connection, "tissue", HUMAN)
    assert earlier == ()


def test_each_release_queues_and_claims_its_organism(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_of(connection, "human", "h1", "h2")
    add_of(connection, "mmu", "m1")
    add_of(connection, "rat", "r1")
    note_organisms(daemon, HUMAN)
    human, mouse = add_release(connection), add_release(connection, organism=MOUSE)
    assert work.queue_pending(daemon, "tissue", human) == 2
    assert work.queue_pending(daemon, "tissue", mouse) == 1
    assert work.queue_pending(daemon, "tissue", human) == 0  # rows of the other are not removed
    assert work.pending_counts(daemon) == {human: (2, 0), mouse: (1, 0)}
    claimed = work.claim(daemon, "w", "tissue", mouse, 9, 600)
    assert [sample.sample_id for sample in claimed] == ["m1"]
    assert work.count_pending(daemon, "tissue", human) == 2
    others = other_samples_in(daemon, "tissue", human, ["D1"], 10)
    assert [sample.sample_id for sample in others] == ["h1", "h2"]


def test_a_sample_that_changes_its_organism_changes_its_release(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_of(connection, HUMAN, "s")
    human, mouse = add_release(connection), add_release(connection, organism=MOUSE)
    predict(connection, "s", human)
    run(connection, "update atlas.sample set organism = %s", MOUSE)
    assert run(daemon, "select annotator.watch_mirror()") == [(1,)]
    assert run(connection, "select count(*) from annotator.suggestion") == [(0,)]
    assert work.count_pending(daemon, "tissue", human) == 0
    assert work.count_pending(daemon, "tissue", mouse) == 1


def test_samples_without_a_release_are_counted(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_of(connection, HUMAN, "h1")
    add_of(connection, MOUSE, "m1", "m2", "labelled")
    add_of(connection, "mouse", "m3")
    add_of(connection, "HUMAN", "h2")
    label(connection, "labelled")
    assert samples_without_release(daemon) == ()  # nothing is live at all
    add_release(connection)
    expected = (WithoutRelease("tissue", MOUSE, 3),)
    assert samples_without_release(daemon) == expected  # whether spellings were noted or not
    note_organisms(daemon, HUMAN)
    assert samples_without_release(daemon) == expected
    (finding,) = check_organisms(daemon)
    assert (finding.level, finding.found) == ("warning", expected[0].sentence)
    add_release(connection, organism=MOUSE)
    assert samples_without_release(daemon) == ()


def test_views_show_the_organism(connection: psycopg.Connection) -> None:
    add_of(connection, MOUSE, "m1")
    mouse = add_release(connection, organism=MOUSE)
    predict(connection, "m1", mouse)
    for view in ("suggestion", "review_queue", "model_card"):
        assert run(connection, f"select organism from annotator.{view}") == [(MOUSE,)], view


def test_the_queue_lists_samples_of_the_organism_that_was_refused(
    connection: psycopg.Connection,
) -> None:
    add_of(connection, HUMAN, "h1")
    add_of(connection, MOUSE, "m1")
    add_release(connection)
    mouse = add_release(connection, organism=MOUSE)
    run(
        connection,
        "update annotator.release set status = 'rejected', promoted_at = null"
        " where release_id = %s",
        mouse,
    )
    query = "select sample_id, organism, release_id from annotator.review_queue"
    assert run(connection, query) == [("m1", MOUSE, mouse)]


def test_the_organism_is_part_of_the_plan() -> None:
    human, mouse = plan_of(Settings(), "tissue"), plan_of(Settings(), "tissue", "mouse")
    assert human.configuration() == mouse.configuration() | {"organism": HUMAN}
    assert mouse.configuration()["organism"] == MOUSE
    assert plan_of(Settings(default_organism="mmu"), "tissue") == mouse


# --- upgrades -----------------------------------------------------------------------------------


def test_releases_of_earlier_versions_are_human(database, connection: psycopg.Connection) -> None:
    human, mouse = add_release(connection), add_release(connection, organism=MOUSE)
    schema.downgrade(database, "0001")
    states = dict(run(connection, "select release_id, status::text from annotator.release"))
    assert states == {human: "live", mouse: "retired"}
    schema.migrate(database)
    assert run(connection, "select release_id, organism, status::text from annotator.release") == [
        (human, HUMAN, "live"),
        (mouse, HUMAN, "retired"),
    ]


# --- jobs ---------------------------------------------------------------------------------------


def of_organism(atlas, organism: str, prefix: str):
    """An atlas as that of another organism: other ids, and names without a species."""
    profiles = atlas.profiles
    names = [name.removeprefix("hsa-") for name in profiles.features]
    profiles.features[:] = names
    samples = tuple(
        replace(
            sample,
            sample_id=prefix + sample.sample_id,
            dataset_id=prefix + sample.dataset_id,
            organism=organism,
        )
        for sample in atlas.samples
    )
    ids = profiles.sample_ids.copy()
    ids[:] = [sample.sample_id for sample in samples]
    return replace(atlas, samples=samples, profiles=replace(profiles, sample_ids=ids))


@pytest.fixture(scope="module")
def two(server):
    """The name of a database with a human and a mouse release, and unlabelled rats among humans."""
    human = of_organism(simulate_atlas(OPTIONS), "human", "")
    mouse = of_organism(simulate_atlas(replace(OPTIONS, seed=9)), "mus_musculus", "M")
    few = [row for row, sample in enumerate(mouse.samples) if row < 5]
    rats = replace(
        mouse,
        samples=tuple(
            replace(
                mouse.samples[row],
                sample_id=f"R{row}",
                dataset_id=human.samples[0].dataset_id,
                organism="rat",
                values={"tissue": "liver"} if row == 0 else {},
                numbers={},
            )
            for row in few
        ),
        profiles=mouse.profiles.take(few),
    )
    rats.profiles.sample_ids[:] = [sample.sample_id for sample in rats.samples]
    settings = Settings(**FAST)
    with new_database(server) as made:
        for atlas in (human, mouse, rats):
            load_atlas(made, atlas, kinds=(FeatureKind.SRNA,))
        assert set(organisms_to_train(made, settings, "tissue")) == {HUMAN, MOUSE, RAT}
        for organism in (HUMAN, MOUSE):
            outcome = retrain(made, settings, "tissue", organism)
            assert (outcome.status, outcome.organism) == ("promoted", organism), outcome.reasons
        yield name_of(made)


@pytest.fixture
def trained(server, two):
    with new_database(server, two) as made:
        yield made


def test_no_sample_meets_a_model_of_another_organism(trained) -> None:
    settings = Settings(**FAST)
    summary = annotate(trained, settings, worker="w")
    assert summary.without_release == (WithoutRelease("tissue", RAT, 4),)
    crossed = rows(
        trained,
        "select s.organism, r.organism, count(*) from annotator.prediction p"
        " join annotator.release r using (release_id)"
        " join annotator.sample_organism s using (sample_id) group by 1, 2 order by 1",
    )
    assert [pair[:2] for pair in crossed] == [(HUMAN, HUMAN), (MOUSE, MOUSE)]
    learned = rows(
        trained,
        "select distinct r.organism, s.organism from annotator.learned_sample l"
        " join annotator.release r using (release_id)"
        " join annotator.sample_organism s using (sample_id) order by 1",
    )
    assert learned == [(HUMAN, HUMAN), (MOUSE, MOUSE)]
    assert rows(trained, "select from annotator.quarantine where sample_id like 'R%%'") == []
    snapshot = read_status(trained, settings).snapshot
    of_tissue = [field for field in snapshot.fields if field.field == "tissue"]
    assert [field.organism for field in of_tissue] == [HUMAN, MOUSE]
    assert [field.waiting for field in of_tissue] == [0, 0]
    assert [field.suggested + field.abstained for field in of_tissue] == [
        count for _, _, count in crossed
    ]
    assert snapshot.without_release == summary.without_release


def test_an_organism_with_too_few_labels_is_no_failure(trained) -> None:
    settings = Settings(**FAST)
    outcome = retrain(trained, settings, "tissue", RAT, is_required=False)
    assert (outcome.status, outcome.failed, outcome.organism) == (TOO_FEW, False, RAT)
    assert len(outcome.reasons) == 1
    with trained.connect() as connection:
        assert labelled_organisms(connection, "tissue", True)[RAT] == 1
    assert rows(trained, "select from annotator.training_run where organism = %s", RAT) == []


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--organism", "rat"], 1)])
def test_the_command_fails_only_if_nothing_can_be_trained(
    trained, monkeypatch, options, code
) -> None:
    # Reports take longer than everything else here.
    monkeypatch.setattr("annotator.jobs.report.bring_up_to_date", lambda *_: ())
    parts = conninfo_to_dict(trained.conninfo)
    url = f"postgresql://{parts['user']}@:{parts['port']}/{parts['dbname']}?host={parts['host']}"
    variables = {f"ANNOTATOR_{name.upper()}": str(value) for name, value in FAST.items()}
    variables["ANNOTATOR_DATABASE_URL"] = url
    given = ["retrain", "--field", "tissue", *options]
    found = CliRunner().invoke(command_line, given, env=variables)
    assert found.exit_code == code, found.output
    assert ("tissue of Mus musculus: skipped" in found.output) == (code == 0)


def test_retraining_one_organism_is_independent_of_the_other(trained) -> None:
    settings = Settings(**FAST)
    assert retrain(trained, settings, "tissue", MOUSE).status == "skipped"
    execute(
        trained,
        "update atlas.annotation set value = 'skin' where sample_id = (select min(sample_id)"
        " from annotator.sample_organism s join atlas.annotation a using (sample_id)"
        " where organism = %s and field = 'tissue' and value <> 'skin') and field = 'tissue'",
        HUMAN,
    )
    assert retrain(trained, settings, "tissue", MOUSE).status == "skipped"
    assert retrain(trained, settings, "tissue", HUMAN).status != "skipped"


def test_a_sample_is_explained_by_the_release_of_its_organism(trained) -> None:
    settings = Settings(**FAST)
    sample_id = f"M{small_atlas().samples[0].sample_id}"
    found = explain_sample(trained, settings, sample_id, "tissue", 3)
    assert found.release.organism == MOUSE
    with pytest.raises(NeedsPersonError, match=f"for {RAT}"):
        explain_sample(trained, settings, "R1", "tissue", 3)
