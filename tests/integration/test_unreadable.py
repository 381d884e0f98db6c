"""A sample whose row cannot be read, or ends whoever reads it, stops no other sample."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from annotator.jobs.annotate import predict as predict_module
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain.retrain import retrain
from annotator.settings import Settings
from annotator.store.server.connection import lost
from tests.support.atlas import load_atlas, small_atlas
from tests.support.databases import name_of, new_database
from tests.support.presets import LIGHT_FOREST
from tests.support.store import execute, rows

ATLAS = small_atlas()
PENDING = sorted(row.sample_id for row in ATLAS.samples if "tissue" not in row.values)
LABELLED = sorted(row.sample_id for row in ATLAS.samples if "tissue" in row.values)
FAST = {
    "preset": str(LIGHT_FOREST),
    "folds": 2,
    "cross_validation_folds": 0,
    "workers": 1,
    "batch_size": 16,
    "marker_count": 10,
    "similarity_samples": 5,
    "baseline_margin": -1.0,
}

VIEW = """
create schema source;
alter table atlas.expression set schema source;
create view atlas.expression as
select sample_id, case when sample_id = {bad} then {nnz} else nnz end as nnz,
    case when sample_id = {endless} then array_fill(1, '{{3000000}}') else feature_ids end
        as feature_ids,
    counts
from source.expression;
"""
RAISES = "1 / (length(sample_id) - length(sample_id))"
ENDS_THE_SERVER_PROCESS = "pg_terminate_backend(pg_backend_pid(), length(sample_id) * 0)::int"


def put_view(database, bad: str, endless: str = "", nnz: str = RAISES) -> None:
    """Put a view in the place of the expression, with a row that raises an error."""
    execute(database, VIEW.format(bad=f"'{bad}'", endless=f"'{endless}'", nnz=nnz))


@pytest.fixture(scope="module")
def released(server):
    """The name of a database with a live tissue release, made once: tests clone it."""
    with new_database(server) as made:
        load_atlas(made)
        assert retrain(made, Settings(**FAST), "tissue").status == "promoted"
        yield name_of(made)


@pytest.fixture
def trained(server, released):
    """A database with that release."""
    with new_database(server, released) as made:
        yield made


@pytest.fixture
def job_settings(settings):
    return replace(settings, **FAST)


def codes(database) -> dict[str, str]:
    return dict(rows(database, "select sample_id, code from annotator.quarantine"))


def answered(database) -> set[str]:
    found = rows(database, "select sample_id from annotator.prediction where is_current")
    return {sample_id for (sample_id,) in found}


def test_rows_that_raise_errors_or_never_end_are_quarantined_and_the_others_answered(
    trained, job_settings
):
    put_view(trained, PENDING[0], PENDING[1])
    annotate(trained, job_settings, worker="w1")
    assert codes(trained).items() >= {
        (PENDING[0], "unreadable"),
        (PENDING[1], "too_many_features"),
    }
    assert answered(trained) == set(PENDING) - codes(trained).keys()
    again = annotate(trained, job_settings, worker="w1")
    assert (again.predicted, again.quarantined) == ({}, {})


def test_an_unreadable_sample_is_read_again_by_the_next_release(trained, job_settings):
    put_view(trained, PENDING[0])
    annotate(trained, job_settings, worker="w1")
    execute(trained, "create or replace view atlas.expression as select * from source.expression")
    retrain(trained, replace(job_settings, seed=2, gate_margin=1.0), "tissue")
    annotate(trained, job_settings, worker="w1")
    assert PENDING[0] in answered(trained)


def test_a_retraining_leaves_unreadable_samples_out_and_counts_them(trained, job_settings):
    put_view(trained, LABELLED[0], LABELLED[1])
    outcome = retrain(trained, replace(job_settings, gate_margin=1.0), "tissue")
    assert outcome.status == "promoted"
    assert any("1 whose counts are not usable (unreadable)" in note for note in outcome.reasons)
    assert codes(trained).items() >= {
        (LABELLED[0], "unreadable"),
        (LABELLED[1], "too_many_features"),
    }


def annotate_until_done(database, settings) -> None:
    """Make passes of one worker, as a daemon does, however they end."""
    for _ in range(20):
        try:
            annotate(database, settings, worker="w1")
        except MemoryError:
            continue
        except psycopg.Error as error:
            if not lost(error):
                raise
        else:
            return
    raise AssertionError("there is no end to it")


def test_a_row_that_ends_the_server_process_is_quarantined_and_the_others_answered(
    trained, job_settings
):
    put_view(trained, PENDING[0], nnz=ENDS_THE_SERVER_PROCESS)
    annotate_until_done(trained, job_settings)
    assert codes(trained)[PENDING[0]] == "repeatedly_failed"
    assert answered(trained) == set(PENDING) - codes(trained).keys()


def test_a_sample_that_needs_too_much_memory_is_quarantined_and_the_others_answered(
    trained, job_settings, monkeypatch
):
    predict = predict_module.predict_samples

    def predict_unless_large(live, claimed, *arguments):
        if any(sample.sample_id == PENDING[0] for sample in claimed):
            raise MemoryError
        return predict(live, claimed, *arguments)

    monkeypatch.setattr(predict_module, "predict_samples", predict_unless_large)
    annotate_until_done(trained, job_settings)
    assert codes(trained)[PENDING[0]] == "repeatedly_failed"
    assert answered(trained) == set(PENDING) - codes(trained).keys()
