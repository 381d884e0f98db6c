"""A model kind is one value: what loops over the registry takes in another one."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Annotated, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from msgspec import Meta
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Cohort, Profiles
from annotator.errors import ArtefactError
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import Ontology
from annotator.learn.models.kind import RESERVED
from annotator.learn.models.preset import Preset
from annotator.learn.models.preset_file import BASE
from annotator.learn.models.presets import PRESETS
from annotator.learn.models.registry import KINDS
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.files import read_model, write_model
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.selective.calibration import fit_calibration
from annotator.learn.validation.cross_calibration import release_calibration
from annotator.learn.validation.plan import ModelPlan
from annotator.learn.validation.validate import one_dataset_out
from annotator.report.tables.cells import BASELINES
from tests.support.explained import centred_log_odds
from tests.support.made_up_kind import MEANS, MeansOptions

CLASSES = ("blood", "brain", "skin")
SAMPLES, FEATURES = 60, 25


@pytest.fixture(autouse=True)
def _registered(monkeypatch) -> None:
    monkeypatch.setitem(KINDS, MEANS.name, MEANS)


@pytest.fixture
def preset() -> Preset:
    """The new kind beside a small forest."""
    return PRESETS["default"].changed(
        {
            "network": None,
            "boosting": None,
            "linear": None,
            "forest": {"first_trees": 8, "trees": 10, "top_features": 15},
            "means": {"sharpness": 0.02},
        }
    )


def drawn(seed: int) -> tuple[Profiles, np.ndarray]:
    """Counts of which each class raises some; and the classes, one in seven of them wrong."""
    random = np.random.default_rng(seed)
    truth = np.arange(SAMPLES) % len(CLASSES)
    counts = random.negative_binomial(2, 0.05, (SAMPLES, FEATURES)).astype(np.float32)
    for place in range(len(CLASSES)):
        counts[truth == place, 3 * place : 3 * place + 3] += 100
    profiles = Profiles(
        np.array([f"S{row}" for row in range(SAMPLES)], dtype=object),
        np.array([f"f{column}" for column in range(FEATURES)], dtype=object),
        np.array(["srna"] * FEATURES, dtype=object),
        csr_matrix(counts),
    )
    truth[::7] = (truth[::7] + 1) % len(CLASSES)
    return profiles, truth


def labels_and_datasets(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array(CLASSES, dtype=object)[truth]
    return labels, np.array([f"D{row // 12}" for row in range(SAMPLES)], dtype=object)


@pytest.fixture
def model(preset) -> FieldModel:
    """Fitted, and calibrated on other samples."""
    profiles, truth = drawn(0)
    samples = TrainingSamples(profiles, *labels_and_datasets(truth), CLASSES)
    model = fit_field_model(samples, FIELDS["tissue"], preset, seed=1, threads=1)
    others, truth = drawn(1)
    return replace(model, calibration=fit_calibration(model.predict_raw(others), truth))


def test_it_is_fitted_and_is_a_family_of_its_own(model) -> None:
    assert model.kinds == ("forest", "means")
    assert model.weights == {"forest": 0.5, "means": 0.5}
    profiles, truth = drawn(2)
    for kind, probabilities in model.predict(profiles).items():
        assert (probabilities.argmax(axis=1) == truth).mean() > 0.75, kind


def test_it_comes_back_from_its_file(model) -> None:
    artefacts = write_model(model)
    assert "means.safetensors" in {each.name for each in artefacts}
    again, profiles = read_model(artefacts), drawn(2)[0]
    assert again.preset == model.preset
    for kind, probabilities in model.predict(profiles).items():
        np.testing.assert_array_equal(again.predict(profiles)[kind], probabilities)


def test_models_with_enormous_numbers_are_refused(model) -> None:
    means = model.models["means"]
    wild = replace(means, means=means.means * np.float32(1e30))
    artefacts = write_model(replace(model, models={**model.models, "means": wild}))
    with pytest.raises(ArtefactError, match="means: its numbers are too large"):
        read_model(artefacts)
    kinds = {**model.preset.kinds, "means": MeansOptions(1e300)}
    artefacts = write_model(replace(model, preset=replace(model.preset, kinds=kinds)))
    with pytest.raises(ArtefactError, match="sharpness"):
        read_model(artefacts)


def test_no_kind_has_the_name_of_something_else() -> None:
    taken = {COMBINED, *BASELINES, BASE, *(each.name for each in fields(Preset))}
    assert taken <= RESERVED
    assert RESERVED.isdisjoint(KINDS)
    with pytest.raises(ValueError, match="no model kind can be named combined"):
        replace(MEANS, name=COMBINED)


def test_numbers_are_those_of_the_kind_that_they_are_credited_to(model) -> None:
    means = replace(MEANS, number=lambda _model, inputs: np.zeros(len(inputs)))
    forest = replace(KINDS["forest"], number=lambda _model, _inputs: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "means", means)
        assert model.numbers(np.zeros((2, 25), np.float32)) is not None
        patch.setitem(KINDS, "forest", forest)  # the first kind with numbers is validated
        assert model.numbers(np.zeros((2, 25), np.float32)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_the_options_has_a_limit(kind) -> None:
    def limited(of) -> bool:
        if get_origin(of) is Annotated:
            return limited(get_args(of)[0]) or any(
                isinstance(each, Meta) for each in of.__metadata__
            )
        inner = [each for each in get_args(of) if each is not Ellipsis]
        return all(map(limited, inner)) if inner else of not in (int, float)

    hints = get_type_hints(KINDS[kind].options, include_extras=True)
    assert [name for name, of in hints.items() if not limited(of)] == []


def test_contributions_add_up_to_the_log_odds_of_the_answer(model) -> None:
    profiles = drawn(2)[0].take(np.arange(9))
    targets = np.tile(np.arange(len(CLASSES)), (9, 1))
    explainer = model.explainer()
    found = explainer.contributions(model.inputs(profiles), targets)
    assert [*found] == [COMBINED, "forest", "means"]
    assert found["means"][0] == "distance"

    def centred(values):
        return values - values.mean(axis=-1, keepdims=True)

    raw, answer = model.predict_raw(profiles)["means"], model.predict(profiles)[COMBINED]
    of_kind, of_answer = (found[each][1].sum(axis=2).T for each in ("means", COMBINED))
    of_kind += explainer.kinds["means"].explainer.references(np.arange(len(CLASSES)))
    np.testing.assert_allclose(centred(of_kind), centred_log_odds(raw), atol=1e-4)
    expected = centred_log_odds(answer) - centred(explainer.references(len(CLASSES)))
    np.testing.assert_allclose(centred(of_answer), expected, atol=1e-4)


def test_a_feature_without_expression_contributes_nothing(model) -> None:
    inputs = np.zeros((1, len(model.features)), dtype=np.float32)
    means = model.explainer().kinds["means"].explainer
    assert not means.contributions(inputs, np.array([0])).any()


def test_it_is_validated_and_calibrated_with_the_others(preset) -> None:
    profiles, truth = drawn(0)
    labels, datasets = labels_and_datasets(truth)
    numbers = np.full(SAMPLES, np.nan)
    cohort = Cohort(FIELDS["tissue"], profiles, datasets, labels, numbers, {})
    plan = ModelPlan(preset, labels=LabelOptions(4, 2))
    found = one_dataset_out(cohort, Ontology({}), plan)
    assert set(found.predictions.probabilities) == {"forest", "means", COMBINED}
    accuracy = {m.model_kind: m.value for m in found.metrics if m.name == "accuracy"}
    assert accuracy["means"] > 0.7
    calibration = release_calibration(found.raw, preset)
    assert calibration is not None
    assert calibration.slopes.keys() == {"forest", "means"}


def test_presets_without_it_are_what_they_were(preset) -> None:
    assert "means" not in PRESETS["default"].changed({}).kinds
    assert preset.changed({"means": False}).kinds.keys() == {"forest"}
