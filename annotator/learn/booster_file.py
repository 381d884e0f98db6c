"""Checking a stored booster before XGBoost sees it.

XGBoost believes what it reads: a wrong child index or a missing key makes it
read outside of its arrays and ends the process. So the file is read and
checked here, and what XGBoost is given is written anew from the checked parts.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from annotator.learn.ubjson import read_ubjson, write_ubjson

# The arrays of a tree, one entry a node.
NODE_ARRAYS = {
    "base_weights": np.float32,
    "default_left": np.uint8,
    "left_children": np.int32,
    "loss_changes": np.float32,
    "parents": np.int32,
    "right_children": np.int32,
    "split_conditions": np.float32,
    "split_indices": np.int32,
    "split_type": np.uint8,
    "sum_hessian": np.float32,
}
NO_PARENT = 2**31 - 1


def _demand(condition: Any, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _checked_tree(tree: dict[str, Any], number: int, features: int) -> dict[str, Any]:
    arrays = {name: tree[name] for name in NODE_ARRAYS}
    nodes = len(arrays["left_children"])
    for name, array in arrays.items():
        _demand(
            isinstance(array, np.ndarray)
            and array.dtype == NODE_ARRAYS[name]
            and len(array) == nodes
            and np.isfinite(array).all(),
            f"tree {number}: {name} is not an array of finite numbers, one a node",
        )
    left, right, parents = (
        arrays[name].astype(np.int64) for name in ("left_children", "right_children", "parents")
    )
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    _demand(
        nodes > 0
        and np.array_equal(inner, np.flatnonzero(right != -1))
        # Every node but the root is one node's child, and comes after it.
        and np.array_equal(np.sort(children), np.arange(1, nodes))
        and (children > np.tile(inner, 2)).all()
        and (parents[children] == np.tile(inner, 2)).all()
        and parents[0] == NO_PARENT,
        f"tree {number}: its nodes are no tree",
    )
    splits = arrays["split_indices"]
    _demand(
        (splits >= 0).all() and (splits < features).all(),
        f"tree {number}: splits on a feature that the model does not have",
    )
    _demand(not arrays["split_type"].any(), f"tree {number}: has categorical splits")
    return {
        **arrays,
        "categories": np.empty(0, np.int32),
        "categories_nodes": np.empty(0, np.int32),
        "categories_segments": np.empty(0, np.int64),
        "categories_sizes": np.empty(0, np.int64),
        "id": number,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(features),
            "num_nodes": str(nodes),
            "size_leaf_vector": "1",
        },
    }


def _checked_base_score(text: Any, classes: int) -> str:
    _demand(isinstance(text, str), "base_score is not text")
    score = json.loads(text)
    scores = score if isinstance(score, list) else [score]
    _demand(
        len(scores) in (1, classes)
        and all(isinstance(each, float | int) and math.isfinite(each) for each in scores),
        "base_score is not a finite number a class",
    )
    # Written anew: what Python takes for a number and what XGBoost does may differ.
    return "[" + ",".join(f"{float(each):.9E}" for each in scores) + "]"


def checked_booster(content: bytes, features: int, classes: int, rounds: int) -> bytes:
    """Check a stored booster and write it anew.

    Parameters
    ----------
    content
        UBJSON of ``xgboost.Booster.save_raw``.
    features, classes, rounds
        What the booster must have.

    Returns
    -------
    bytes
        UBJSON of a ``multi:softprob`` booster of plain trees.

    Raises
    ------
    ValueError
        It is something else, or damaged.
    """
    try:
        learner = read_ubjson(content)["learner"]
        model = learner["gradient_booster"]["model"]
        parameters = learner["learner_model_param"]
        trees = model["trees"]
        found = (
            learner["gradient_booster"]["name"],
            learner["objective"]["name"],
            parameters["num_class"],
            parameters["num_feature"],
            model["gbtree_model_param"]["num_parallel_tree"],
        )
        expected = ("gbtree", "multi:softprob", str(classes), str(features), "1")
        _demand(found == expected, f"a booster of {found}, not of {expected}")
        one_a_class = f"its trees are not one a class in each of {rounds} rounds"
        _demand(isinstance(trees, list) and len(trees) == classes * rounds, one_a_class)
        order = list(range(classes)) * rounds
        _demand(model["tree_info"] == order, one_a_class)
        checked = [_checked_tree(tree, each, features) for each, tree in enumerate(trees)]
        base_score = _checked_base_score(parameters["base_score"], classes)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not the parts of a booster: {error!r}") from error
    gradient_booster = {
        "model": {
            "cats": {
                "enc": [],
                "feature_segments": np.empty(0, np.int32),
                "sorted_idx": np.empty(0, np.int32),
            },
            "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(order))},
            "iteration_indptr": list(range(0, len(order) + 1, classes)),
            "tree_info": order,
            "trees": checked,
        },
        "name": "gbtree",
    }
    document = {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": gradient_booster,
            "learner_model_param": {
                "base_score": base_score,
                "boost_from_average": "1",
                "num_class": str(classes),
                "num_feature": str(features),
                "num_target": "1",
            },
            "objective": {
                "name": "multi:softprob",
                "softmax_multiclass_param": {"num_class": str(classes)},
            },
        },
        "version": [3, 2, 0],
    }
    return write_ubjson(document)
