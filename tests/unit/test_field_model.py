from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Profiles
from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError, CohortError
from annotator.learn.models.linear import LinearOptions
from annotator.learn.models.network import NetworkOptions
from annotator.learn.models.preset import configuration, preset_from_configuration
from annotator.learn.models.presets import PRESETS
from annotator.learn.models.registry import KINDS
from annotator.learn.models.tensors import JSON_TYPE, SAFETENSORS_TYPE
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.files import read_model, write_model
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.running.parallel import Parallelism
from annotator.learn.selective.calibration import Calibration
from annotator.learn.validation.final_fit import kinds_on
from annotator.plain_data import plain

CLASSES = ("blood", "brain", "skin")
LINEAGES = {"blood": ("blood",), "brain": ("brain", "nervous system"), "skin": ("skin",)}
DEFAULT, PAPER = PRESETS["default"], PRESETS["paper"]
TINY = DEFAULT.changed(
    {
        "network": NetworkOptions(
            (12,), (0.1,), epochs=15, batch_size=16, learning_rate=0.01, wide=True, deep_share=0.5
        ),
        "forest": {"first_trees": 8, "trees": 10, "top_features": 15},
        "boosting": {"rounds": 5, "top_features": 20, "column_share": 0.5},
    }
)
TINY_PAPER = TINY.changed(
    {"name": "paper", "features": PAPER.features, "forest": {"down_sample": True}}
)
TINY_WEAK = TINY.changed(
    {
        "network": {"wide": False, "correlation_power": 0.75},
        "linear": LinearOptions((), 0.0, random_units=50),
    }
)
LIGHT = TINY.changed({"network": None, "boosting": None, "linear": None})
NUMBERS = LIGHT.changed({"forest": None, "linear": TINY_WEAK.kinds["linear"]})
CALIBRATION = Calibration({"network": 0.8, "forest": 12.0, "boosting": 0.7, "linear": 0.9}, 1.2, 50)


def problem(seed=0, samples=60, features=30):
    """Each class expresses features of its own; two datasets a class."""
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % len(CLASSES)
    counts = random.negative_binomial(2, 0.05, (samples, features)).astype(np.float32)
    for position in range(len(CLASSES)):
        counts[truth == position, 3 * position : 3 * position + 3] += 400
    counts[:, -2:] += 5
    kinds = ["srna"] * (features - 2) + ["contaminant"] * 2
    profiles = Profiles(
        np.array([f"S{i}" for i in range(samples)], dtype=object),
        np.array([f"f{i}" for i in range(features)], dtype=object),
        np.array(kinds, dtype=object),
        csr_matrix(counts),
    )
    labels = np.array([CLASSES[each] for each in truth], dtype=object)
    datasets = np.array([f"D{i // 30}" for i in range(samples)], dtype=object)
    return profiles, labels, datasets, truth


def novelty(model: FieldModel, profiles):
    return model.novelty_scores(profiles, model.predict_raw(profiles))


def fit(preset=TINY, seed=1, calibration=None, field="tissue", **more) -> FieldModel:
    profiles, labels, datasets, _ = problem()
    samples = TrainingSamples(profiles, labels, datasets, CLASSES, **more)
    model = fit_field_model(samples, FIELDS[field], preset, seed, threads=1)
    return replace(model, calibration=calibration, lineages=LINEAGES)


@pytest.fixture(scope="module")
def fitted() -> FieldModel:
    return fit(calibration=CALIBRATION)


def assert_same_predictions(first, second, profiles) -> None:
    ours, theirs = first.predict(profiles), second.predict(profiles)
    assert ours.keys() == theirs.keys()
    for kind in ours:
        assert np.array_equal(ours[kind], theirs[kind]), kind


def test_all_kinds_learn_and_rows_sum_to_one(fitted) -> None:
    profiles, _, _, truth = problem(seed=9)
    predictions = fitted.predict(profiles)
    assert list(predictions) == ["network", "forest", "boosting", "linear", COMBINED]
    for kind, probabilities in predictions.items():
        assert probabilities.shape == (60, 3)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities.argmax(axis=1) == truth).mean() > 0.8, kind


def test_kinds_that_are_fitted_by_other_processes_are_the_same_to_the_last_byte() -> None:
    profiles, labels, datasets, _ = problem()
    samples = TrainingSamples(profiles, labels, datasets, CLASSES)
    given = (samples, FIELDS["tissue"], TINY, 1, 1)
    one_by_one = fit_field_model(*given)
    together = fit_field_model(*given, kinds_on(Parallelism(workers=2)))
    assert list(together.models) == list(one_by_one.models) == list(TINY.kinds)
    for kind, model in one_by_one.models.items():
        assert together.models[kind].to_bytes() == model.to_bytes(), kind


def test_datasets_are_compared_without_slips_of_the_pen(monkeypatch) -> None:
    profiles, labels, datasets, _ = problem()
    labels[4] = "blood"
    seen = {}

    def fit_linear(part, *_rest):
        seen["compared"] = part.compared_index
        return KINDS["linear"].fit(part, *_rest)

    kinds = KINDS | {"linear": replace(KINDS["linear"], fit=fit_linear)}
    monkeypatch.setattr("annotator.learn.release.fitting.KINDS", kinds)
    samples = TrainingSamples(profiles, labels, datasets, CLASSES)
    for options, aside in ((DEFAULT.kinds["linear"], [4]), (LinearOptions((0.1,), 0.0), [])):
        preset = LIGHT.changed({"linear": options})
        fit_field_model(samples, FIELDS["tissue"], preset, 1, threads=1)
        assert np.flatnonzero(seen["compared"] < 0).tolist() == aside


def test_the_same_seed_gives_the_same_model(fitted) -> None:
    profiles = problem(seed=9)[0]
    assert_same_predictions(fitted, fit(calibration=CALIBRATION), profiles)
    other = fit(calibration=CALIBRATION, seed=2).predict(profiles)
    assert not np.array_equal(other["forest"], fitted.predict(profiles)["forest"])


def test_a_kind_does_not_depend_on_which_others_there_are(fitted) -> None:
    profiles = problem(seed=9)[0]
    assert np.array_equal(
        fit(LIGHT).predict(profiles)["forest"], fitted.predict_raw(profiles)["forest"]
    )


def test_without_a_calibration_the_combination_is_the_mean(fitted) -> None:
    profiles = problem(seed=9)[0]
    raw = fitted.predict_raw(profiles)
    plain = replace(fitted, calibration=None).predict(profiles)
    np.testing.assert_allclose(plain[COMBINED], sum(raw.values()) / 4)
    assert np.array_equal(plain["network"], raw["network"])
    calibrated, combined = CALIBRATION.apply(raw)
    assert np.array_equal(fitted.predict(profiles)[COMBINED], combined)
    assert np.array_equal(fitted.predict(profiles)["forest"], calibrated["forest"])


def test_the_shares_of_the_kinds_sum_to_one(fitted) -> None:
    assert fitted.weights == CALIBRATION.weights
    assert sum(fitted.weights.values()) == pytest.approx(1)
    plain = replace(fitted, calibration=None).weights
    assert plain == dict.fromkeys(fitted.kinds, pytest.approx(1 / len(fitted.kinds)))


def test_the_wide_path_is_the_linear_kind(fitted) -> None:
    assert np.array_equal(fitted.network.wide, fitted.models["linear"].coefficients.T)
    assert fit(TINY_WEAK).network.wide is None


@pytest.mark.parametrize("linear", [None, TINY_WEAK.kinds["linear"]])
def test_a_wide_path_without_a_linear_kind_of_the_inputs_is_refused(linear) -> None:
    with pytest.raises(ValueError, match="wide path needs a linear kind"):
        TINY.changed({"linear": linear})
    without = TINY.changed({"network": None, "linear": linear})
    assert without.kinds.get("linear") == linear
    described = configuration(TINY) | {"linear": None if linear is None else plain(linear)}
    with pytest.raises(ValueError, match="wide path needs a linear kind"):
        preset_from_configuration(described)


def fit_aged(numbers) -> FieldModel:
    """Fit three intervals of age; the classes are in their order."""
    return fit(NUMBERS, numbers=numbers, limits=(0.0, 20.0, 40.0, 60.0))


def test_numbers_are_predicted_although_one_sample_has_its_interval_alone() -> None:
    profiles, _, _, truth = problem()
    numbers = 20.0 * truth + np.random.default_rng(0).uniform(1, 19, len(truth))
    inputs = fit_aged(numbers).inputs(profiles)
    whole = fit_aged(numbers).numbers(inputs)
    numbers[7] = np.nan
    found = fit_aged(numbers).numbers(inputs)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, whole, atol=2)
    assert not np.array_equal(found, whole)


def test_no_numbers_are_predicted_where_none_is_known() -> None:
    profiles = problem()[0]
    for model in (fit_aged(np.full(60, np.nan)), fit_aged(None), fit(TINY)):
        assert model.numbers(model.inputs(profiles)) is None


def test_fields_see_their_own_feature_kinds() -> None:
    assert set(fit(LIGHT).features).isdisjoint({"f28", "f29"})
    assert {"f28", "f29"} <= set(fit(LIGHT, field="sex").features)


@pytest.mark.parametrize("preset", [TINY, TINY_PAPER, TINY_WEAK, LIGHT])
@pytest.mark.parametrize("calibrated", [True, False])
def test_it_comes_back_from_its_artefacts_with_identical_predictions(preset, calibrated) -> None:
    profiles = problem(seed=9)[0]
    calibration = Calibration(dict.fromkeys(preset.kinds, 2.0), 0.4, 5)
    model = fit(preset, calibration=calibration if calibrated else None)
    stored = write_model(model)
    again = read_model(stored)
    assert_same_predictions(model, again, profiles)
    assert np.array_equal(novelty(model, profiles), novelty(again, profiles))
    assert np.array_equal(model.known_features(profiles), again.known_features(profiles))
    for name in ("field", "classes", "features", "preset", "lineages", "seed", "calibration"):
        assert getattr(again, name) == getattr(model, name)
    assert [each.name for each in write_model(again)] == [each.name for each in stored]
    assert {each.media_type for each in stored} == {JSON_TYPE, SAFETENSORS_TYPE}


def test_features_in_another_order_and_number_change_nothing(fitted) -> None:
    profiles = problem(seed=9)[0]
    order = np.random.default_rng(3).permutation(30)
    wider = csr_matrix(np.hstack([profiles.counts[:, order].toarray(), np.zeros((60, 1))]))
    other = Profiles(
        profiles.sample_ids,
        np.append(profiles.features[order], "new"),
        np.append(profiles.kinds[order], "srna"),
        wider,
    )
    for kind, probabilities in fitted.predict(other).items():
        np.testing.assert_allclose(probabilities, fitted.predict(profiles)[kind], atol=1e-6)


def test_profiles_that_share_no_feature_are_predicted_and_said_to_be_alien(fitted) -> None:
    profiles = problem(seed=9)[0]
    renamed = replace(profiles, features=np.array([f"x{i}" for i in range(30)], dtype=object))
    assert np.isfinite(fitted.predict(renamed)[COMBINED]).all()
    assert fitted.known_features(renamed).tolist() == [0.0] * 60
    assert (novelty(fitted, renamed) > 0.9).all()


def test_what_is_made_from_profiles_that_were_aligned_once_is_the_same(fitted) -> None:
    profiles, *_ = problem(seed=3)
    aligned = fitted.aligned(profiles)
    before = aligned.rpm.copy()
    raw = fitted.predict_raw(profiles)
    np.testing.assert_array_equal(fitted.aligned_inputs(aligned), fitted.inputs(profiles))
    np.testing.assert_array_equal(aligned.rpm, fitted.expression(profiles))
    np.testing.assert_array_equal(
        fitted.known_ratio(aligned.expressed), fitted.known_features(profiles)
    )
    np.testing.assert_array_equal(
        fitted.aligned_novelty(aligned, raw), fitted.novelty_scores(profiles, raw)
    )
    np.testing.assert_array_equal(aligned.rpm, before)
    some = aligned.take(np.array([5, 2]))
    np.testing.assert_array_equal(some.rpm, before[[5, 2]])
    assert some.expressed.tolist() == aligned.expressed[[5, 2]].tolist()


def test_usual_samples_express_the_usual_number_of_features(fitted) -> None:
    profiles = problem()[0]
    assert np.median(fitted.known_features(profiles)) == pytest.approx(1)


def test_novelty_is_within_its_range_and_higher_for_noise_than_for_alike_samples(fitted) -> None:
    alike = novelty(fitted, problem(seed=9)[0])
    assert ((alike >= 0) & (alike <= 2)).all()
    noise = problem(seed=4)[0]
    random = np.random.default_rng(1)
    strange = replace(noise, counts=csr_matrix(random.permutation(noise.counts.toarray().T).T))
    assert np.median(novelty(fitted, strange)) > np.quantile(alike, 0.95)


def test_explainers_get_what_they_need(fitted) -> None:
    inputs = fitted.inputs(problem()[0])
    assert inputs.dtype == np.float32
    assert [kernel.shape for kernel, _ in fitted.network.layers] == [(28, 12), (12, 3)]
    for trees in (fitted.models["forest"].trees, fitted.models["boosting"].trees):
        assert 0 < trees.feature.max() < inputs.shape[1] == len(fitted.features)
    assert len(np.unique(fitted.models["forest"].trees.feature)) <= 15 + 1  # and -1, the leaves
    assert fit(LIGHT).network is None
    assert fit(LIGHT).models.keys() == {"forest"}


@pytest.mark.parametrize(
    ("labels", "classes", "word"),
    [
        (["blood"], ("blood",), "at least 2"),
        (["blood", "moss"], ("blood", "brain"), "moss"),
        (["blood", "blood"], ("blood", "brain"), "no training sample"),
    ],
)
def test_unusable_cohorts_are_refused(labels, classes, word) -> None:
    profiles, _, datasets, _ = problem()
    every = np.array((labels * 60)[:60], dtype=object)
    samples = TrainingSamples(profiles, every, datasets, classes)
    with pytest.raises(CohortError, match=word):
        fit_field_model(samples, FIELDS["tissue"], LIGHT, 1)


@pytest.fixture(scope="module")
def stored() -> dict[str, bytes]:
    calibration = Calibration({"forest": 2.0}, 0.4, 5)
    return {each.name: each.content for each in write_model(fit(LIGHT, calibration=calibration))}


def load(contents: dict[str, bytes]) -> FieldModel:
    return read_model([Artefact(name, "x", each) for name, each in contents.items()])


def test_any_damaged_artefact_is_refused(stored) -> None:
    load(stored)
    for name in stored:
        for damage in (b"", pickle.dumps({"a": 1}), stored[name][: len(stored[name]) // 2]):
            with pytest.raises(ArtefactError):
                load({**stored, name: damage})
    for name in stored:
        rest = {each: content for each, content in stored.items() if each != name}
        if name == "calibration.json":
            assert load(rest).calibration is None
        else:
            with pytest.raises(ArtefactError):
                load(rest)


def test_an_artefact_too_many_is_refused(stored) -> None:
    for name in ("evil.pkl", "network.safetensors"):
        with pytest.raises(ArtefactError):
            load({**stored, name: b""})


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(format=1),
        lambda data: data.update(format=2),
        lambda data: data.update(field="Colour!"),
        lambda data: data.update(field=None),
        lambda data: data.update(classes=["blood", "brain"]),
        lambda data: data.update(classes=["blood", "brain", "brain"]),
        lambda data: data.update(features=data["features"][:-1]),
        lambda data: data.update(features=[1, 2]),
        lambda data: data["lineages"].pop("skin"),
        lambda data: data.update(leaves=["blood", "brain", "skin"]),
        lambda data: data.update(number_half_width=-3),
        lambda data: data.update(lineages=3),
        lambda data: data.update(usual_features=-1),
        lambda data: data.update(usual_features="many"),
        lambda data: data.update(seed="x"),
        lambda data: data.update(configuration=[]),
        lambda data: data["configuration"]["forest"].update(trees=11),
        lambda data: data["configuration"].pop("forest"),
        lambda data: data.update(code="print()"),
        lambda data: data.pop("seed"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(stored, change) -> None:
    data = json.loads(stored["model.json"])
    change(data)
    with pytest.raises(ArtefactError):
        load({**stored, "model.json": json.dumps(data).encode()})


def test_a_calibration_of_other_kinds_is_refused(stored) -> None:
    other = json.dumps(plain(CALIBRATION)).encode()
    with pytest.raises(ArtefactError, match="other model kinds"):
        load({**stored, "calibration.json": other})
