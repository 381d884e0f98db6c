"""Files of releases that somebody made on purpose; their digests are right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load, save

if TYPE_CHECKING:
    from collections.abc import Callable

Files = dict[str, bytes]
FOREST, MODEL = "forest.safetensors", "model.json"
DEEP = 100_000


def replaced(name: str, content: bytes) -> Callable[[Files], Files]:
    """Return a change that replaces a whole file."""
    return lambda files: {**files, name: content}


def described(change: Callable[[dict[str, Any]], object]) -> Callable[[Files], Files]:
    """Return a change of the description of the models."""

    def changed(files: Files) -> Files:
        data = json.loads(files[MODEL])
        change(data)
        return {**files, MODEL: json.dumps(data).encode()}

    return changed


def arrays(name: str, **changes: Callable[[np.ndarray], np.ndarray]) -> Callable[[Files], Files]:
    """Return a change of arrays in a file."""

    def changed(files: Files) -> Files:
        found = load(files[name])
        new = {each: np.ascontiguousarray(change(found[each])) for each, change in changes.items()}
        return {**files, name: save({**found, **new})}

    return changed


def _option(kind: str, **options: object) -> Callable[[Files], Files]:
    return described(lambda data: data["configuration"][kind].update(options))


def _classes(data: dict[str, Any]) -> None:
    data["classes"] = [f"class {number}" for number in range(100_000)]
    data["lineages"] = {name: [name] for name in data["classes"]}


def _one_deep_tree(files: Files) -> Files:
    """Make one tree, of which each split has a leaf beside the next split."""
    outputs = load(files[FOREST])["values"].shape[1]
    feature = np.full(2 * DEEP + 1, -1, np.int32)
    feature[0] = feature[1:-2:2] = 0
    tree = {
        "sizes": np.array([len(feature)], np.int32),
        "feature": feature,
        "threshold": np.zeros(len(feature), np.float32),
        "weight": np.ones(len(feature), np.float32),
        "values": np.full((DEEP + 1, outputs), 1 / outputs, np.float32),
    }
    return {**_option("forest", trees=1)(files), FOREST: save(tree)}


def _many_arrays() -> bytes:
    one = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(one % number for number in range(80_000)) + "}").encode()
    return len(header).to_bytes(8, "little") + header


CRAFTED: dict[str, Callable[[Files], Files]] = {
    "nested JSON": replaced(MODEL, b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "4 MB of brackets": replaced(MODEL, b'{"a":[' + b"{}," * 1_400_000 + b"{}]}"),
    "1e999": replaced("calibration.json", b'{"slopes":{"forest":1},"sharpness":1e999,"samples":1}'),
    "100,000 classes": described(_classes),
    "a number with 4,000 digits": described(lambda data: data.update(usual_features=10**4000)),
    "10^9 trees": _option("forest", trees=10**9),
    "-1 trees": _option("forest", trees=-1),
    "a pseudocount of 0": _option("features", pseudocount=0.0),
    "a list of 80,000 arrays": replaced(FOREST, _many_arrays()),
    "a tree of 100,000 levels": _one_deep_tree,
    "splits in a circle": arrays(FOREST, feature=lambda a: a[::-1]),
    "a feature that is not there": arrays(FOREST, feature=lambda a: np.where(a < 0, a, 10**9)),
    "thresholds that are NaN": arrays(FOREST, threshold=lambda a: a * np.float32("nan")),
    "leaves without shares": arrays(FOREST, values=np.zeros_like),
    "leaves heavier than their trees": arrays(
        FOREST, weight=lambda a: np.linspace(1e-40, 1e38, len(a), dtype=np.float32)
    ),
    "coefficients that make NaN": arrays(
        "linear.safetensors", coefficients=lambda a: np.full_like(a, 3e38)
    ),
    "directions that make NaN": arrays(
        "features.safetensors", novelty_directions=lambda a: np.full_like(a, 3e38)
    ),
}
