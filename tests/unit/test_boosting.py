from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif

from annotator.errors import ArtefactError
from annotator.learn.boosting import BoostingModel, fit_boosting, telling_features
from annotator.learn.presets import PRESETS
from annotator.learn.ubjson import read_ubjson, write_ubjson

TINY = replace(PRESETS["default"].boosting, rounds=6, top_features=10, column_share=0.5)


def problem(seed=0, samples=90, features=20, classes=3):
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % classes
    inputs = random.normal(size=(samples, features)).astype(np.float32)
    inputs[np.arange(samples), truth] += 4
    return inputs, truth


def fit(seed=1, threads=1, classes=3, options=TINY) -> BoostingModel:
    inputs, truth = problem(classes=classes)
    return fit_boosting(inputs, truth, np.ones(len(truth)), classes, options, seed, threads)


@pytest.fixture(scope="module")
def stored() -> bytes:
    return fit().to_bytes()


@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_two_and_more_classes(classes) -> None:
    inputs, truth = problem(seed=7, classes=classes)
    probabilities = fit(classes=classes).predict(inputs)
    assert probabilities.shape == (90, classes)
    assert probabilities.dtype == np.float64
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_seeds_decide_and_threads_do_not() -> None:
    assert fit().to_bytes() == fit(threads=2).to_bytes()
    assert fit().to_bytes() != fit(seed=2).to_bytes()


def test_trees_use_the_telling_features_only() -> None:
    model = fit(options=replace(TINY, top_features=3))
    used = set(model.booster.get_score(importance_type="weight"))
    assert used <= {"f0", "f1", "f2"}
    assert model.booster.num_features() == 20


def test_telling_features_are_those_of_the_f_statistic() -> None:
    inputs, truth = problem(seed=11)
    expected = np.sort(np.argsort(-f_classif(inputs, truth)[0])[:7])
    assert telling_features(inputs, truth, 7).tolist() == expected.tolist()


def test_it_comes_back_from_its_bytes_unchanged(stored) -> None:
    inputs, _ = problem(seed=7)
    model = fit()
    again = BoostingModel.from_bytes(stored, 20, 3, TINY)
    assert np.array_equal(again.predict(inputs), model.predict(inputs))
    assert again.to_bytes() == stored


def changed(stored: bytes, change) -> bytes:
    document = read_ubjson(stored)
    change(document["learner"])
    return write_ubjson(document)


def tree(learner, number=2):
    return learner["gradient_booster"]["model"]["trees"][number]


def set_item(array, position, value) -> None:
    array[position] = value


CHANGES = {
    "child outside": lambda le: set_item(tree(le)["left_children"], 0, 9999),
    "child before": lambda le: set_item(tree(le)["right_children"], 0, 0),
    "half a leaf": lambda le: set_item(tree(le)["right_children"], 0, -1),
    "feature outside": lambda le: set_item(tree(le)["split_indices"], 0, 20),
    "feature negative": lambda le: set_item(tree(le)["split_indices"], 0, -1),
    "not finite": lambda le: set_item(tree(le)["split_conditions"], 0, np.nan),
    "categorical": lambda le: set_item(tree(le)["split_type"], 0, 1),
    "parent": lambda le: set_item(tree(le)["parents"], 1, 1),
    "short": lambda le: tree(le).update(parents=tree(le)["parents"][:-1]),
    "type": lambda le: tree(le).update(parents=tree(le)["parents"].astype(np.int64)),
    "no array": lambda le: tree(le).update(parents="0"),
    "missing": lambda le: tree(le).pop("sum_hessian"),
    "fewer trees": lambda le: le["gradient_booster"]["model"]["trees"].pop(),
    "wrong class": lambda le: set_item(le["gradient_booster"]["model"]["tree_info"], 0, 2),
    "objective": lambda le: le["objective"].update(name="multi:softmax"),
    "base score": lambda le: le["learner_model_param"].update(base_score="[1,2]"),
    "base score text": lambda le: le["learner_model_param"].update(base_score="[NaN,1,2]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_booster_that_would_mislead_xgboost_is_refused(stored, change) -> None:
    with pytest.raises(ArtefactError, match="boosting"):
        BoostingModel.from_bytes(changed(stored, CHANGES[change]), 20, 3, TINY)


@pytest.mark.parametrize(
    ("features", "classes", "options"),
    [(21, 3, TINY), (20, 4, TINY), (20, 3, replace(TINY, rounds=7))],
)
def test_a_booster_of_another_shape_is_refused(stored, features, classes, options) -> None:
    with pytest.raises(ArtefactError, match="boosting"):
        BoostingModel.from_bytes(stored, features, classes, options)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_bytes_never_reach_xgboost(stored, data) -> None:
    """XGBoost itself ends the process on many of these."""
    position = data.draw(st.integers(0, len(stored) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    content = bytearray(stored)
    if kind == "cut":
        del content[position:]
    elif kind == "flip":
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content[position:position] = data.draw(st.binary(min_size=1, max_size=4))
    try:
        model = BoostingModel.from_bytes(bytes(content), 20, 3, TINY)
    except ArtefactError:
        return
    # A changed number inside its range is nothing that a shape can tell.
    assert kind == "flip"
    assert np.isfinite(model.predict(problem()[0])).all()


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"{L", b"\x80\x04x", b'{"learner": {}}'])
def test_what_is_no_booster_is_refused(content) -> None:
    with pytest.raises(ArtefactError, match="boosting"):
        BoostingModel.from_bytes(content, 20, 3, TINY)


def test_the_fixed_format_is_one_that_xgboost_reads_as_its_own(stored) -> None:
    original = xgboost.Booster({"nthread": 1})
    original.load_model(bytearray(stored))
    again = BoostingModel.from_bytes(stored, 20, 3, TINY)
    assert bytes(original.save_raw("ubj")) == again.to_bytes()


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content) -> None:
    for each in (content, b"{" + content):
        with contextlib.suppress(ValueError):
            read_ubjson(each)
