"""The answer is what is explained: contributions of all features add up to its log-odds.

The models are real ones, fitted on a small problem; the answer is what the field model
predicts with a calibration, which knows nothing of explanations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Profiles
from annotator.explain.answer import WEIGHTED_SUM, AnswerExplainer
from annotator.learn.models.linear import LinearOptions
from annotator.learn.models.network import NetworkOptions
from annotator.learn.models.presets import PRESETS
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.selective.calibration import Calibration
from tests.support.explained import centred_log_odds

FEATURES = 25
WIDE = PRESETS["default"].changed(
    {
        "network": NetworkOptions(
            (10, 6),
            (0.1, 0.1),
            epochs=8,
            batch_size=16,
            learning_rate=0.01,
            wide=True,
            deep_share=0.5,
        ),
        "forest": {"first_trees": 8, "trees": 10, "top_features": 15},
        "boosting": {"rounds": 5, "top_features": 20, "column_share": 0.5},
        "linear": LinearOptions((0.1, 0.05), 1.0, (0.25, -0.25)),
    }
)
PRESETS_HERE = {
    "a wide path": WIDE,
    "random units": WIDE.changed(
        {"network": {"wide": False}, "linear": LinearOptions((), 0.0, random_units=40)}
    ),
}
KINDS = ("network", "forest", "boosting", "linear")
OTHERS_THAN_THE_FOREST = ("network", "boosting", "linear")


def drawn(seed: int, classes: int, samples: int = 60) -> tuple[Profiles, np.ndarray]:
    """Counts of which each class raises some; and the classes."""
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % classes
    counts = random.negative_binomial(2, 0.05, (samples, FEATURES)).astype(np.float32)
    for place in range(classes):
        counts[truth == place, 3 * place : 3 * place + 3] += 200
    profiles = Profiles(
        np.array([f"S{i}" for i in range(samples)], dtype=object),
        np.array([f"f{i}" for i in range(FEATURES)], dtype=object),
        np.array(["srna"] * FEATURES, dtype=object),
        csr_matrix(counts),
    )
    return profiles, truth


@cache
def fitted(preset: str, classes: int) -> FieldModel:
    profiles, truth = drawn(0, classes)
    names = [f"c{number}" for number in range(classes)]
    labels = np.array(names, dtype=object)[truth]
    # Some labels are wrong, so that no probability is all but 0 or 1.
    labels[::7] = labels[1::7][: len(labels[::7])]
    datasets = np.array([f"D{i // 12}" for i in range(60)], dtype=object)
    samples = TrainingSamples(profiles, labels, datasets, tuple(names))
    return fit_field_model(samples, FIELDS["tissue"], PRESETS_HERE[preset], 1, threads=1)


def with_kinds(model: FieldModel, slopes: dict[str, float], sharpness: float) -> FieldModel:
    """Return the model with some of its kinds, calibrated."""
    return replace(
        model,
        models={kind: model.models[kind] for kind in slopes},
        calibration=Calibration(slopes, sharpness, 50),
    )


def all_classes(model: FieldModel, samples: int) -> np.ndarray:
    return np.tile(np.arange(len(model.classes)), (samples, 1))


def centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)


slopes_of_some_kinds = st.sets(st.sampled_from(KINDS), min_size=1).flatmap(
    lambda kinds: st.fixed_dictionaries(
        # A forest by itself may give a class no vote: its log-odds are infinite then.
        {kind: st.floats(0.2, 3.0) for kind in (kinds if kinds - {"forest"} else set(KINDS))}
    )
)


@settings(max_examples=40, deadline=None)
@given(
    preset=st.sampled_from(list(PRESETS_HERE)),
    classes=st.sampled_from([2, 4]),
    slopes=slopes_of_some_kinds,
    sharpness=st.floats(0.5, 2.0),
    seed=st.integers(0, 2**16),
)
def test_contributions_add_up_to_the_log_odds_of_the_answer(
    preset, classes, slopes, sharpness, seed
) -> None:
    model = with_kinds(fitted(preset, classes), slopes, sharpness)
    profiles, _ = drawn(seed, classes, samples=9)
    answer = model.predict(profiles)[COMBINED]
    explainer = model.explainer()
    targets = all_classes(model, 9)
    method, scores = explainer.contributions(model.inputs(profiles), targets)[COMBINED]
    assert method == WEIGHTED_SUM
    assert scores.shape == (classes, 9, len(model.features))
    found = centred(scores.sum(axis=2).T)
    expected = centred_log_odds(answer) - centred(explainer.references(classes)[None])
    # Rounding grows with all that is added, not with what is left of it.
    scale = max(1.0, np.abs(scores).sum(axis=2).max())
    np.testing.assert_allclose(found, expected, atol=2e-5 * scale)


@settings(max_examples=10, deadline=None)
@given(
    classes=st.sampled_from([2, 4]),
    weights=st.lists(st.floats(0.5, 1.0), min_size=5, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_what_a_samples_own_profile_counts_scales_its_contributions(classes, weights, seed) -> None:
    model = with_kinds(fitted("a wide path", classes), dict.fromkeys(KINDS, 1.0), 1.0)
    inputs = model.inputs(drawn(seed, classes, samples=5)[0])
    explainer, targets = model.explainer(), all_classes(model, 5)
    alone = explainer.contributions(inputs, targets)
    pooled = explainer.contributions(inputs, targets, np.array(weights))
    expected = alone[COMBINED][1] * np.array(weights)[None, :, None]
    np.testing.assert_allclose(pooled[COMBINED][1], expected, rtol=1e-5, atol=1e-7)
    for kind in KINDS:  # each kind's own are what they are
        np.testing.assert_array_equal(pooled[kind][1], alone[kind][1])


@pytest.mark.parametrize("preset", PRESETS_HERE)
def test_each_kind_is_explained_in_its_own_unit_after_the_answer(preset) -> None:
    model = with_kinds(fitted(preset, 4), dict.fromkeys(KINDS, 1.0), 1.0)
    profiles, _ = drawn(5, 4, samples=9)
    inputs, explainer = model.inputs(profiles), model.explainer()
    found = explainer.contributions(inputs, all_classes(model, 9))
    assert list(found) == [COMBINED, *KINDS]
    methods = {kind: method for kind, (method, _) in found.items()}
    assert methods["network"] == "deeplift"
    assert methods["forest"] == methods["boosting"] == "tree_shap"
    assert methods["linear"] == ("coefficient" if preset == "a wide path" else "deeplift")
    raw = model.predict_raw(profiles)
    for kind in KINDS:
        total = found[kind][1].sum(axis=2).T
        total = total + explainer.kinds[kind].explainer.references(np.arange(4))
        if kind == "forest":
            np.testing.assert_allclose(total, raw[kind], atol=2e-6)
        else:
            np.testing.assert_allclose(centred(total), centred_log_odds(raw[kind]), atol=1e-4)


@pytest.mark.parametrize("kind", OTHERS_THAN_THE_FOREST)
def test_only_the_classes_asked_about_are_explained(kind) -> None:
    model = with_kinds(fitted("a wide path", 4), {kind: 1.0, "forest": 8.0}, 1.5)
    inputs, explainer = model.inputs(drawn(3, 4, samples=6)[0]), model.explainer()
    every = explainer.contributions(inputs, all_classes(model, 6))
    targets = np.random.default_rng(0).integers(0, 4, (6, 2))
    some = explainer.contributions(inputs, targets)
    assert some.keys() == every.keys()
    for name, (_, scores) in some.items():
        for place in (0, 1):
            expected = every[name][1][targets[:, place], np.arange(6)]
            np.testing.assert_allclose(scores[place], expected, atol=1e-6)


def test_models_without_a_common_answer_are_explained_kind_by_kind() -> None:
    model = fitted("a wide path", 2)
    assert model.calibration is None
    explainer = model.explainer()
    found = explainer.contributions(model.inputs(drawn(1, 2, 4)[0]), all_classes(model, 4))
    assert list(found) == list(KINDS)
    with pytest.raises(ValueError, match="not a product"):
        explainer.references(2)


def test_log_odds_are_centred_and_finite() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
    found = centred_log_odds(probabilities)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(found[0, 0] - found[0, 1], np.log(2))
    np.testing.assert_allclose(found[2, 1] - found[2, 2], np.log(0.3 / 0.5))


def test_an_explainer_of_its_own_keeps_what_it_is_given() -> None:
    kinds, factors = {}, {"network": 1.0}
    explainer = AnswerExplainer(kinds, factors)
    factors["network"] = 2.0
    assert explainer.factors == {"network": 1.0}


@pytest.mark.parametrize("preset", PRESETS_HERE)
def test_of_two_classes_each_is_explained_as_if_asked_about_alone(preset) -> None:
    model = with_kinds(fitted(preset, 2), dict.fromkeys(KINDS, 1.0), 1.0)
    inputs, explainer = model.inputs(drawn(5, 2, samples=9)[0]), model.explainer()
    assert {kind for kind, each in explainer.kinds.items() if each.opposite} == {*KINDS} - {
        "boosting"
    }
    together = explainer.contributions(inputs, all_classes(model, 9))
    for kind, each in explainer.kinds.items():
        for target in (0, 1):
            alone = each.explainer.contributions(inputs, np.full(9, target))
            np.testing.assert_allclose(together[kind][1][target], alone, atol=1e-6)
