"""Releases that earlier versions stored are read as they were written.

``tests/data/releases/README.md`` says what the files are and when there must be more.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Profiles
from annotator.errors import ArtefactError
from annotator.jobs.annotate.live_models import live_model
from annotator.learn.models.preset import configuration
from annotator.learn.models.registry import KINDS
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.files import read_model, write_model
from annotator.learn.release.json_files import (
    CALIBRATION_FILE,
    FIRST_FORMAT,
    FORMAT,
    MODEL_FILE,
    POLICY_FILE,
)
from annotator.learn.selective.pooling import Pooling
from annotator.learn.selective.prediction_sets import PredictionSets
from annotator.learn.selective.threshold import OperatingPoint
from annotator.store.releases.registry import LiveRelease
from tests.support.stored_releases import CLASSES, EXPECTED, FEATURES, FOLDER, artefacts_of, stored

FORMATS = range(FIRST_FORMAT, FORMAT + 1)
JSON_FILES = (MODEL_FILE, CALIBRATION_FILE, POLICY_FILE)

every_format = pytest.mark.parametrize("number", FORMATS)


def read(contents: dict[str, bytes]) -> FieldModel:
    return read_model(artefacts_of(contents))


def changed(contents: dict[str, bytes], name: str, change) -> dict[str, bytes]:
    """The files with one JSON file changed in place."""
    data: dict[str, Any] = json.loads(contents[name])
    change(data)
    return {**contents, name: json.dumps(data).encode()}


@pytest.fixture(scope="module")
def samples() -> Profiles:
    data = json.loads((FOLDER / "samples.json").read_text())
    counts = csr_matrix(np.array(data["counts"], dtype=np.float32))
    return Profiles(
        np.array([f"S{row}" for row in range(counts.shape[0])], dtype=object),
        np.array(data["features"], dtype=object),
        np.array(data["kinds"], dtype=object),
        counts,
    )


def assert_predictions_are_those_of_then(model: FieldModel, number: int, samples: Profiles) -> None:
    expected = json.loads((FOLDER / f"format-{number}" / EXPECTED).read_text())
    found = model.predict(samples)
    assert found.keys() == expected.keys() > {COMBINED}
    for kind, probabilities in found.items():
        # Another BLAS may add in another order.
        np.testing.assert_allclose(probabilities, expected[kind], rtol=0, atol=1e-6)


def test_there_is_a_release_of_every_format_that_is_read() -> None:
    found = sorted(path.name for path in FOLDER.glob("format-*"))
    assert found == [f"format-{number}" for number in FORMATS]
    for number in FORMATS:
        assert json.loads(stored(number)[MODEL_FILE])["format"] == number


@every_format
def test_predictions_are_those_of_the_version_that_wrote_it(number, samples) -> None:
    assert_predictions_are_those_of_then(read(stored(number)), number, samples)


@every_format
def test_everything_else_is_what_was_written(number) -> None:
    model = read(stored(number))
    assert (model.field, model.seed, model.usual_features) == ("tissue", 1, 28.0)
    assert model.lineages["brain"] == ("brain", "nervous system")
    assert model.calibration is not None
    assert model.calibration.pooling == Pooling(0.25, 1.1)
    assert model.calibration.slopes["forest"] == 12.0
    assert model.policy is not None
    assert model.policy.operating_point == OperatingPoint(0.95, 0.6, 0.97, 0.8, 60, 0.0)
    assert model.policy.prediction_sets == PredictionSets(0.9, 0.7)
    assert len(model.policy.novelty_quantiles) == 101
    assert model.policy.maximum_novelty == 0.99


@every_format
def test_it_can_be_written_again_in_the_format_of_today(number, samples) -> None:
    again = {each.name: each.content for each in write_model(read(stored(number)))}
    for name in JSON_FILES:
        assert json.loads(again[name])["format"] == FORMAT
    assert_predictions_are_those_of_then(read(again), number, samples)


def options_with_their_default(number: int) -> list[tuple[str, str]]:
    """Kind and name of the options that a release has at their defaults."""
    described = json.loads(stored(number)[MODEL_FILE])["configuration"]
    return [
        (name, option.name)
        for name, kind in KINDS.items()
        if name in described
        for option in fields(kind.options)
        if option.default is not MISSING and described[name][option.name] == option.default
    ]


@pytest.mark.parametrize(
    ("number", "kind", "option"),
    [(number, *each) for number in FORMATS for each in options_with_their_default(number)],
)
def test_an_option_that_was_added_later_has_its_default(number, kind, option, samples) -> None:
    contents = stored(number)
    before = changed(contents, MODEL_FILE, lambda data: data["configuration"][kind].pop(option))
    assert before != contents
    model = read(before)
    assert configuration(model.preset) == configuration(read(contents).preset)
    assert_predictions_are_those_of_then(model, number, samples)


@every_format
@pytest.mark.parametrize(
    ("name", "change"),
    [
        (MODEL_FILE, lambda data: data["configuration"]["network"].update(activation="tanh")),
        (MODEL_FILE, lambda data: data["configuration"]["features"].update(bins=3)),
        (MODEL_FILE, lambda data: data["configuration"].update(attention={"heads": 4})),
        *((name, lambda data: data.update(further=1)) for name in JSON_FILES),
        (CALIBRATION_FILE, lambda data: data["pooling"].update(further=1)),
        (POLICY_FILE, lambda data: data["operating_point"].update(further=1)),
        (POLICY_FILE, lambda data: data["prediction_sets"].update(further=1)),
    ],
)
def test_what_this_version_does_not_know_is_refused(number, name, change) -> None:
    with pytest.raises(ArtefactError, match=f"{name}: .*unknown"):
        read(changed(stored(number), name, change))


@every_format
@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("other", [FIRST_FORMAT - 1, FORMAT + 1, str(FORMAT), None, 4.5, True])
def test_another_format_is_refused(number, name, other) -> None:
    with pytest.raises(ArtefactError, match=f"{name}: format .* reads {FIRST_FORMAT} to {FORMAT}"):
        read(changed(stored(number), name, lambda data: data.update(format=other)))


@pytest.fixture
def release() -> LiveRelease:
    """What the database says of a release with these models."""
    return LiveRelease(7, "tissue", 1, "default", CLASSES, FEATURES, None, None, datetime.now(UTC))


def test_a_release_with_models_of_another_field_is_refused(release) -> None:
    artefacts = write_model(read(stored(FORMAT)))
    assert live_model(release, artefacts).model.field == "tissue"
    with pytest.raises(ArtefactError, match="release 7 of sex holds models of tissue"):
        live_model(replace(release, field="sex"), artefacts)


def test_a_release_for_another_organism_is_refused(release) -> None:
    artefacts = write_model(replace(read(stored(FORMAT)), organism="Mus musculus"))
    with pytest.raises(ArtefactError, match=r"for Homo sapiens, .* models of Mus musculus"):
        live_model(release, artefacts)
    mouse = replace(release, organism="Mus musculus")
    assert live_model(mouse, artefacts).model.organism == "Mus musculus"


@pytest.mark.parametrize("other", [{"classes": ("blood", "brain", "bone")}, {"features": 29}])
def test_a_release_with_other_classes_or_features_is_refused(release, other) -> None:
    artefacts = write_model(read(stored(FORMAT)))
    with pytest.raises(ArtefactError, match=r"classes|features"):
        live_model(replace(release, **other), artefacts)


@every_format
def test_a_release_without_an_organism_is_human(number) -> None:
    artefacts = changed(stored(number), MODEL_FILE, lambda data: data.pop("organism", None))
    assert read(artefacts).organism == "Homo sapiens"


@every_format
def test_a_description_without_its_format_is_refused(number) -> None:
    with pytest.raises(ArtefactError, match="format None"):
        read(changed(stored(number), MODEL_FILE, lambda data: data.pop("format")))
