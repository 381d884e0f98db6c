from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.ensemble import RandomForestClassifier

from annotator.errors import ArtefactError
from annotator.learn.models.forest import trees_of_forest
from annotator.learn.models.trees import GrownTree, Trees, level_by_level, read_trees, write_trees

FEATURES = 6
#        0
#      1   2        features 4 and 1; node 2 splits again
#         3 4
SMALL = GrownTree(
    left=np.array([1, -1, 3, -1, -1]),
    right=np.array([2, -1, 4, -1, -1]),
    feature=np.array([4, -2, 1, -2, -2]),
    threshold=np.array([0.5, 0, -1, 0, 0], np.float32),
    weight=np.array([9.0, 4.0, 5.0, 2.0, 3.0]),
    values=np.arange(10.0).reshape(5, 2),
)
LEAF = GrownTree(
    left=np.array([-1]),
    right=np.array([-1]),
    feature=np.array([-2]),
    threshold=np.array([0], np.float32),
    weight=np.array([7.0]),
    values=np.array([[0.25, 0.75]]),
)


def grown(seed=0, trees=7, depth=None, samples=80) -> tuple[RandomForestClassifier, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(samples, FEATURES)).astype(np.float32)
    labels = random.integers(0, 3, samples)
    return RandomForestClassifier(trees, max_depth=depth, random_state=seed).fit(
        inputs, labels
    ), inputs


def read(content: bytes, trees=7, features=FEATURES, outputs=3) -> Trees:
    return read_trees(content, "forest", trees=trees, features=features, outputs=outputs)[0]


@pytest.fixture(scope="module")
def stored() -> bytes:
    return write_trees(trees_of_forest(grown(depth=4)[0], np.arange(FEATURES)))


def test_nodes_stand_level_by_level_and_children_side_by_side() -> None:
    trees = level_by_level([SMALL, LEAF, SMALL])
    assert trees.sizes.tolist() == [5, 1, 5]
    assert trees.roots.tolist() == [0, 5, 6]
    assert trees.feature.tolist() == [4, -1, 1, -1, -1, -1, 4, -1, 1, -1, -1]
    assert trees.first_child.tolist() == [1, 0, 3, 0, 0, 0, 7, 0, 9, 0, 0]
    of_small = [[2, 3], [6, 7], [8, 9]]
    assert trees.values.tolist() == [*of_small, [0.25, 0.75], *of_small]
    assert trees.weight.tolist() == [9, 4, 5, 2, 3, 7, 9, 4, 5, 2, 3]
    assert trees.depth.tolist() == [0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]


def test_values_up_to_the_threshold_go_to_the_first_child() -> None:
    inputs = np.zeros((4, FEATURES), np.float32)
    inputs[:, 4] = [0.5, np.nextafter(np.float32(0.5), np.float32(1)), 9, 9]
    inputs[:, 1] = [9, 9, -1, -0.5]
    assert level_by_level([SMALL, LEAF]).leaves(inputs).tolist() == [[0, 3], [2, 3], [1, 3], [2, 3]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 9), st.sampled_from([1, 3, 4, None]))
def test_every_sample_comes_to_the_leaf_that_scikit_learn_finds(seed, trees, depth) -> None:
    forest, inputs = grown(seed, trees, depth)
    columns = np.array([7, 2, 0, 9, 4, 3])
    wide = np.full((len(inputs), 11), 5.0, np.float32)
    wide[:, columns] = inputs
    found = trees_of_forest(forest, columns)
    theirs = forest.apply(inputs)
    for number, (leaves, nodes) in enumerate(zip(found.leaves(wide).T, theirs.T, strict=True)):
        values = forest.estimators_[number].tree_.value[nodes, 0]
        np.testing.assert_allclose(found.values[leaves], values, atol=1e-7)


def test_some_trees_are_taken_with_their_nodes_and_leaves() -> None:
    forest, inputs = grown()
    trees = trees_of_forest(forest, np.arange(FEATURES))
    some = trees.take(np.array([5, 0, 3]))
    whole = trees.values[trees.leaves(inputs)][:, [5, 0, 3]]
    np.testing.assert_array_equal(some.values[some.leaves(inputs)], whole)


def test_they_come_back_from_their_bytes_unchanged(stored) -> None:
    inputs = grown()[1]
    again = read(stored)
    trees = trees_of_forest(grown(depth=4)[0], np.arange(FEATURES))
    np.testing.assert_array_equal(again.leaves(inputs), trees.leaves(inputs))
    assert write_trees(again) == stored


def changed(stored: bytes, name: str, change) -> bytes:
    arrays = {key: value.copy() for key, value in load(stored).items()}
    arrays[name] = change(arrays[name])
    return save(arrays)


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


CHANGES = {
    "a leaf that splits": ("feature", lambda a: np.where(a < 0, 0, a)),
    "no splits": ("feature", lambda a: np.full_like(a, -1)),
    "feature outside": ("feature", put(0, FEATURES)),
    "a node too few": ("feature", lambda a: a[:-1]),
    "sizes of others": ("sizes", lambda a: a[::-1].copy() + np.arange(len(a), dtype=a.dtype)),
    "size negative": ("sizes", put(0, -3)),
    "size zero": ("sizes", put(0, 0)),
    "size too large": ("sizes", put(0, 2**31 - 1)),
    "trees missing": ("sizes", lambda a: a[:-1]),
    "not finite": ("threshold", put(0, np.nan)),
    "a threshold too few": ("threshold", lambda a: a[:-1]),
    "no weight": ("weight", put(0, 0)),
    "a child heavier than its parent": ("weight", put(2, 1e6)),
    "values of other classes": ("values", lambda a: a[:, :-1].copy()),
    "a value too few": ("values", lambda a: a[:-1]),
    "another type": ("feature", lambda a: a.astype(np.int64)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_are_no_trees_are_refused(stored, change) -> None:
    with pytest.raises(ArtefactError, match="forest"):
        read(changed(stored, *CHANGES[change]))


def test_nodes_that_lead_in_circles_are_refused() -> None:
    """As many splits as there should be, but each before the node that leads to it."""
    trees = level_by_level([SMALL])
    odd = Trees(
        trees.sizes,
        np.array([-1, -1, -1, 4, 1], np.int32),
        trees.threshold,
        trees.weight,
        trees.values,
    )
    with pytest.raises(ArtefactError, match="do not form trees"):
        read(write_trees(odd), trees=1, outputs=2)


def test_a_model_without_trees_is_refused() -> None:
    nothing = np.zeros(0, np.int32)
    none = np.zeros(0, np.float32)
    empty = Trees(nothing, nothing, none, none, np.zeros((0, 3), np.float32))
    with pytest.raises(ArtefactError, match="do not form trees"):
        read(write_trees(empty), trees=0)


@pytest.mark.parametrize(("trees", "features", "outputs"), [(8, 6, 3), (7, 2, 3), (7, 6, 4)])
def test_trees_of_another_shape_are_refused(stored, trees, features, outputs) -> None:
    with pytest.raises(ArtefactError, match="forest"):
        read(stored, trees, features, outputs)


def test_a_header_that_promises_too_much_is_refused_at_once(stored) -> None:
    (length,) = struct.unpack("<Q", stored[:8])
    header = json.loads(stored[8 : 8 + length])
    header["values"]["shape"] = [2**40, 3]
    text = json.dumps(header).encode()
    with pytest.raises(ArtefactError, match="forest"):
        read(struct.pack("<Q", len(text)) + text + stored[8 + length :])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_bytes_are_refused_or_give_finite_values(stored, data) -> None:
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
        trees = read(bytes(content))
    except ArtefactError:
        return
    # A changed number inside its range is nothing that a shape can tell.
    assert kind == "flip"
    assert np.isfinite(trees.values[trees.leaves(grown()[1])]).all()
