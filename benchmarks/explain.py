"""What explanations cost beside predictions, and how far the ways to them agree.

Random networks and forests at a real atlas's size; time depends on sizes, not
on what was learned. Each way is run once to warm up, then ``--repeats`` times;
the median counts.

    python benchmarks/explain.py [--samples N] [--features N] [--classes N] [--trees N]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from annotator.explain import deep_lift_library
from annotator.explain.deep_lift import DeepLift, centred_layers, closed_form
from annotator.explain.trees import ForestExplainer

if TYPE_CHECKING:
    from collections.abc import Callable

HIDDEN = (1000, 250, 250)  # the paper's network

Layers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--features", type=int, default=2_500)
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.samples} samples, {options.features} features, {options.classes} classes")
    random = np.random.default_rng(0)
    inputs = random.normal(size=(options.samples, options.features)).astype(np.float32)
    inputs[random.random(inputs.shape) < 0.3] = 0.0
    targets = random.integers(0, options.classes, options.samples)
    network(options, inputs, targets)
    forest(options, inputs, targets)


def network(
    options: argparse.Namespace, inputs: NDArray[np.float32], targets: NDArray[np.int64]
) -> None:
    """Compare the three ways to DeepLIFT contributions."""
    layers = random_layers([options.features, *HIDDEN, options.classes])
    predicting, _ = timed(lambda: predict(layers, inputs), options.repeats)
    report("network: predicting", predicting, predicting)
    with DeepLift(layers) as explainer:
        seconds, values = timed(lambda: explainer.contributions(inputs, targets), options.repeats)
        difference = explainer.output_difference(inputs, targets)
    report("network: DeepLift", seconds, predicting)
    scale = np.abs(values).max()
    short = np.abs(values.sum(axis=1) - difference).max() / np.abs(difference).max()
    print(f"    sums miss the difference of the logit by at most {short:.1e} of the largest")
    seconds, exact = timed(lambda: closed_form(layers, inputs, targets), options.repeats)
    report("network: closed form", seconds, predicting)
    print(f"    differs by at most {np.abs(values - exact).max() / scale:.1e} of the largest score")
    seconds, shipped, growth = as_shipped(layers, inputs, targets, options.repeats)
    report("network: package as shipped", seconds, predicting)
    print(
        f"    differs by at most {np.abs(shipped - exact).max() / scale:.1e} of the largest score;"
        f" a run adds {growth:.0f} operations to the graph"
    )


def forest(
    options: argparse.Namespace, inputs: NDArray[np.float32], targets: NDArray[np.int64]
) -> None:
    """Explain a forest of deep trees; the classes are hard to tell apart."""
    random = np.random.default_rng(1)
    centres = random.normal(0, 0.35, (options.classes, options.features)).astype(np.float32)
    estimator = RandomForestClassifier(options.trees, random_state=0, n_jobs=-1)
    estimator.fit(inputs + centres[targets], targets)
    seen = inputs[:200] + centres[targets[:200]]
    estimator.set_params(n_jobs=1)
    predicting, probability = timed(lambda: estimator.predict_proba(seen), options.repeats)
    explainer = ForestExplainer(estimator, np.arange(options.features))
    depth = np.mean([member.tree_.max_depth for member in estimator.estimators_])
    print(f"{len(seen)} samples, {options.trees} trees of mean depth {depth:.0f}")
    report("forest: predicting", predicting, predicting)
    seconds, (values, bias) = timed(lambda: explainer.contributions(seen, targets[:200]), 1)
    report("forest: tree SHAP", seconds, predicting)
    wanted = probability[np.arange(len(seen)), targets[:200]]
    print(f"    sums miss the probability by {np.abs(values.sum(1) + bias - wanted).max():.1e}")


def as_shipped(
    layers: Layers, inputs: NDArray[np.float32], targets: NDArray[np.int64], repeats: int
) -> tuple[float, NDArray[np.float64], float]:
    """Call the package class by class, without what keeps its graph from growing."""
    library = deep_lift_library._library()
    graph = library.tf.Graph()
    with graph.as_default(), library.tf.Session(graph=graph).as_default():
        connected = deep_lift_library._connected_layers(library, centred_layers(layers))
        connected[-1].build_fwd_pass_vars()
        score = library.models.SequentialModel(connected).get_target_contribs_func(
            find_scores_layer_idx=0, target_layer_idx=-1
        )

        def run() -> NDArray[np.float64]:
            values = np.empty(inputs.shape, np.float64)
            for target in np.unique(targets):
                rows = targets == target
                values[rows] = score(
                    task_idx=int(target),
                    input_data_list=[inputs[rows]],
                    input_references_list=[0.0],
                    batch_size=deep_lift_library.ROWS_AT_ONCE,
                    progress_update=None,
                )
            return values

        before = len(graph.get_operations())
        seconds, values = timed(run, repeats)
        growth = (len(graph.get_operations()) - before) / (repeats + 1)
    return seconds, values, growth


def random_layers(sizes: list[int]) -> Layers:
    random = np.random.default_rng(2)
    return [
        (
            random.normal(0, (2 / before) ** 0.5, (before, after)).astype(np.float32),
            random.normal(0, 0.1, after).astype(np.float32),
        )
        for before, after in itertools.pairwise(sizes)
    ]


def predict(layers: Layers, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    values = inputs
    for kernel, bias in layers[:-1]:
        values = np.maximum(values @ kernel + bias, 0)
    return values @ layers[-1][0] + layers[-1][1]


def timed(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    result = run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def report(what: str, seconds: float, predicting: float) -> None:
    print(f"{what:<30} {seconds:8.3f} s  {seconds / predicting:7.1f} times predicting")


if __name__ == "__main__":
    main()
