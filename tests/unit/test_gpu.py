from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest

from annotator.errors import SettingsError
from annotator.explain.answer import explainer_on
from annotator.explain.deep_lift import DeepLift
from annotator.gpu import (
    TENSORFLOW_CPU,
    TENSORFLOW_GPU,
    product_on,
    tensorflow_device,
    usable_device,
)
from annotator.learn.models.presets import PRESETS
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.settings import load_settings
from tests.support.made_up_cohort import made_cohort

NETWORK_ONLY = PRESETS["default"].changed(
    {
        "network": {"hidden_units": [8], "dropout": [0.1], "epochs": 3},
        "forest": None,
        "boosting": None,
    }
)


def _network() -> DeepLift:
    random = np.random.default_rng(3)
    sizes = (30, 12, 4)
    layers = [
        (random.normal(size=(before, after)), random.normal(size=after))
        for before, after in pairwise(sizes)
    ]
    return DeepLift(layers, random.normal(size=(30, 4)))


def _fitted(device):
    cohort = made_cohort()
    samples = TrainingSamples(
        cohort.profiles, cohort.values, cohort.dataset_ids, ("female", "male")
    )
    return fit_field_model(samples, cohort.definition, NETWORK_ONLY, 1, 1, device=device)


def test_contributions_are_the_same_with_products_of_tensorflow():
    network = _network()
    inputs = np.random.default_rng(4).normal(size=(9, 30)).astype(np.float32)
    classes = np.arange(9) % 4
    other = network.multiplying_by(product_on(TENSORFLOW_CPU))
    assert np.allclose(
        network.contributions(inputs, classes), other.contributions(inputs, classes), atol=1e-4
    )
    assert np.allclose(network.all_classes(inputs), other.all_classes(inputs), atol=1e-4)


def test_networks_of_an_answer_are_explained_on_the_device():
    explainer = _fitted("cpu").explainer()
    assert explainer_on("cpu", explainer) is explainer
    inputs = np.random.default_rng(5).normal(
        size=(6, explainer.kinds["network"].explainer.features)
    )
    inputs = inputs.astype(np.float32)
    classes = np.arange(6) % 2
    moved = explainer_on("gpu", explainer)
    for name, kind in explainer.kinds.items():
        assert moved.kinds[name] is not kind
        assert np.allclose(
            kind.explainer.contributions(inputs, classes),
            moved.kinds[name].explainer.contributions(inputs, classes),
            atol=1e-3,
        )


def _skip_unless(has_gpu: bool) -> None:
    if (tensorflow_device("gpu") == TENSORFLOW_GPU) is not has_gpu:
        pytest.skip("TensorFlow finds no GPU here" if has_gpu else "this machine has a GPU")


def test_without_a_gpu_one_line_says_so_and_the_cpu_trains_the_same_network(caplog):
    _skip_unless(has_gpu=False)
    with caplog.at_level(logging.WARNING):
        assert usable_device("gpu") == "cpu"
    (record,) = caplog.records
    assert "no GPU" in record.getMessage()
    caplog.clear()
    on_cpu, asked = _fitted("cpu"), _fitted("gpu")
    assert "no GPU" in caplog.text  # a worker of a cluster finds out only here
    assert on_cpu.network is not None
    assert asked.network is not None
    assert on_cpu.network.to_bytes() == asked.network.to_bytes()


def test_a_network_trained_on_a_gpu_predicts_as_one_of_the_cpu_does():
    _skip_unless(has_gpu=True)
    assert usable_device("gpu") == "gpu"
    cohort = made_cohort()
    predicted = [_fitted(device).predict(cohort.profiles)["network"] for device in ("cpu", "gpu")]
    assert np.allclose(*predicted, atol=0.05)


def test_only_known_devices_can_be_set():
    assert load_settings({"ANNOTATOR_DEVICE": "gpu"}).device == "gpu"
    with pytest.raises(SettingsError, match="cpu or gpu"):
        load_settings({"ANNOTATOR_DEVICE": "tpu"})
