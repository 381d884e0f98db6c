"""Compare the cost of explanations with that of predictions, and the scores with deeplift's.

    python -m benchmarks.speed.explain
    python -m benchmarks.speed.explain --data ../shared/data

Fits the default preset on simulated counts, predicts the same number of new samples, and
explains the best class and the runner-up of each for every model kind and for the
combination. The hidden layers of the network are also explained by the ``deeplift`` package
as shipped, class by class. Then the samples of a database are annotated, as a daemon does,
with and without explanations. Each variant is run once to warm up, then ``--repeats``
times, and the median is reported. Processor seconds are those of all threads.

With ``--data``, features are also removed from the samples of the cellular microRNAome, one
by one, until the network predicts another class (similarity and stability).
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from tabulate import tabulate

from annotator.domain.fields import FIELDS, Level
from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Profiles
from annotator.explain import deep_lift_library
from annotator.explain.class_scores import mean_differences
from annotator.explain.deep_lift import DeepLift, centred_layers
from annotator.explain.similarity import Explainable, class_similarities
from annotator.explain.top import Explained, top_contributions
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.models.presets import PRESETS
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.selective.calibration import Calibration
from annotator.learn.validation.validate import labelled_samples
from annotator.settings import Settings
from benchmarks.accuracy.robustness import read_cohort
from benchmarks.speed.annotation_cost import with_and_without

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from annotator.learn.release.field_model import FieldModel

SAMPLES_OF_A_DATASET = 25
CELLS = "cellular_micrornaome"


@dataclass(frozen=True)
class Timed:
    """Median wall-clock and processor seconds of some runs, and the result."""

    clock: float
    processor: float
    result: Any


def timed(run: Callable[[], Any], repeats: int) -> Timed:
    result = run()
    clock, processor = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        result = run()
        clock.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    return Timed(statistics.median(clock), statistics.median(processor), result)


def simulated_counts(
    samples: int, features: int, classes: int, seed: int
) -> tuple[Profiles, NDArray[np.object_], NDArray[np.object_]]:
    """Draw counts with effects of classes and datasets; return labels and datasets, too."""
    random = np.random.default_rng(seed)
    shared = np.random.default_rng(0)  # the effects of classes do not depend on the samples
    usual = shared.normal(2.0, 2.0, features)
    of_class = shared.normal(0, 1.5, (classes, features))
    of_class[shared.random(of_class.shape) > 0.05] = 0.0
    label = np.arange(samples) % classes
    dataset = np.arange(samples) // SAMPLES_OF_A_DATASET
    of_dataset = random.normal(0, 0.5, (dataset.max() + 1, features))
    noise = random.normal(0, 0.7, (samples, features))
    counts = random.poisson(np.exp(usual + of_class[label] + of_dataset[dataset] + noise))
    profiles = Profiles(
        np.array([f"s{number}" for number in range(samples)], dtype=object),
        np.array([f"hsa-miR-{number}" for number in range(features)], dtype=object),
        np.full(features, "srna", dtype=object),
        csr_matrix(counts.astype(np.float32)),
    )
    names = np.array([f"class {number:02}" for number in label], dtype=object)
    return profiles, names, np.array([f"d{number}" for number in dataset], dtype=object)


def fitted(options: argparse.Namespace) -> FieldModel:
    profiles, labels, datasets = simulated_counts(
        options.training_samples, options.features, options.classes, seed=1
    )
    samples = TrainingSamples(profiles, labels, datasets, tuple(sorted(set(labels.tolist()))))
    model = fit_field_model(samples, FIELDS["tissue"], PRESETS["default"], 1, threads=1)
    # The values of the slopes do not affect the cost.
    return replace(model, calibration=Calibration(dict.fromkeys(model.kinds, 1.0), 1.0, 0))


def predict(model: FieldModel, profiles: Profiles) -> NDArray[np.float64]:
    """Do every step of a prediction from the counts to the decision."""
    inputs = model.inputs(profiles)
    raw = model.predict_raw_inputs(inputs)
    model.novelty_scores(profiles, raw)
    model.known_features(profiles)
    return model.calibrated(raw)[COMBINED]


def costs(options: argparse.Namespace) -> None:
    """Compare explaining with predicting, and the network's scores with the package's."""
    model = fitted(options)
    profiles, _, _ = simulated_counts(options.samples, options.features, options.classes, seed=2)
    inputs, expression = model.inputs(profiles), model.expression(profiles)
    print(
        f"{options.samples} samples, {len(model.features)} features, {len(model.classes)} classes;"
        f" kinds: {', '.join(model.kinds)}"
    )
    predicting = timed(lambda: predict(model, profiles), options.repeats)
    best = np.argsort(-predicting.result, axis=1, kind="stable")[:, :2].astype(np.int64)
    count = Settings().top_contributions
    rows: list[list[Any]] = []

    def line(what: str, cost: Timed, of: Timed) -> None:
        rows.append([what, cost.clock, cost.processor, cost.processor / of.processor])

    line("predict, all kinds", predicting, predicting)
    explainer = model.explainer()

    def choose(kind: str, method: str, scores: NDArray[np.float64]) -> None:
        for place in (0, 1):
            names = [model.classes[column] for column in best[:, place]]
            top_contributions(
                Explained(kind, method, place + 1),
                names,
                scores[place],
                model.features,
                expression,
                count,
            )

    for kind, part in explainer.kinds.items():

        def both(explain: Any = part.explainer.contributions) -> NDArray[np.float64]:
            return np.stack([explain(inputs, best[:, place]) for place in (0, 1)])

        alone = timed(lambda kind=kind: model.models[kind].predict(inputs), options.repeats)
        explaining = timed(both, options.repeats)
        line(f"{kind}: predict", alone, predicting)
        line(f"{kind}: explain winner and runner-up", explaining, predicting)
        choosing = timed(
            lambda chosen=(kind, part.method, explaining.result): choose(*chosen), options.repeats
        )
        line(f"{kind}: choose the {count} leading features", choosing, predicting)

    def everything() -> None:
        for kind, found in explainer.contributions(inputs, best).items():
            choose(kind, *found)

    whole = timed(everything, options.repeats)
    line("explain and choose, all kinds and their answer", whole, predicting)
    print(
        tabulate(
            rows,
            headers=("", "seconds", "processor seconds", "as a multiple of predicting"),
            floatfmt=".3f",
        )
    )
    assert model.network is not None
    layers = model.network.layers
    package = as_shipped(layers, inputs, best, options.repeats)
    hidden = DeepLift(layers)
    ours = timed(
        lambda: np.stack([hidden.contributions(inputs, best[:, place]) for place in (0, 1)]),
        options.repeats,
    )
    scores = np.stack(ours.result, axis=1)
    difference = np.abs(package.result - scores).max()
    print(
        f"\ndeeplift package as shipped, class by class: {package.clock:.3f} s"
        f" ({package.processor:.3f} processor seconds); ours is"
        f" {package.clock / ours.clock:.1f} times faster"
        f" ({package.processor / ours.processor:.1f} in processor seconds)\n"
        f"the scores differ by at most {difference:.1e}, the largest is"
        f" {np.abs(scores).max():.2f}"
    )


def daemon_costs(options: argparse.Namespace) -> None:
    """Compare annotating the samples of a database with and without explanations."""
    parts = [
        simulated_counts(number, options.features, options.classes, seed)
        for number, seed in ((options.training_samples, 1), (options.samples, 2))
    ]
    rows, contributions, explained = with_and_without(parts, options.repeats)
    print(
        f"\nAs the daemon does it, {Settings().batch_size} samples at a time, from the claim to"
        f" what is stored ({contributions} contributions to {explained} classes)"
    )
    headers = ("", "seconds", "processor seconds", "times without, clock", "processor")
    print(tabulate(rows, headers=headers, floatfmt=".3f"))


def as_shipped(
    layers: list[tuple[NDArray[Any], NDArray[Any]]],
    inputs: NDArray[np.float32],
    best: NDArray[np.int64],
    repeats: int,
) -> Timed:
    """Explain the best classes and runners-up with the package, one class at a time."""
    library = deep_lift_library._library()
    with library.tf.Session(graph=library.tf.Graph()):
        connected = deep_lift_library._connected_layers(library, centred_layers(layers))
        score = deep_lift_library._scoring_function(library, connected)

        def run() -> NDArray[np.float32]:
            values = np.empty((len(inputs), 2, inputs.shape[1]), np.float32)
            for target in np.unique(best):
                for place in (0, 1):
                    rows = best[:, place] == target
                    if rows.any():
                        values[rows, place] = deep_lift_library._scores_of_output(
                            score, inputs[rows], int(target)
                        )
            return values

        return timed(run, repeats)


def apart(folder: Path) -> None:
    """Time markers and similarity on all samples of the cellular microRNAome."""
    preset = PRESETS["default"].changed({"forest": None, "boosting": None})
    rows = []
    for level in (Level.GROUP, Level.TERM):
        cohort, ontology = read_cohort(folder / CELLS, level)
        samples = labelled_samples(cohort, ontology, LabelOptions()).training_samples()
        labels = samples.labels
        model = fit_field_model(samples, cohort.definition, preset, 1, threads=1)
        network, inputs = model.network, model.inputs(samples.profiles)
        assert network is not None
        index = np.array([model.classes.index(label) for label in labels], dtype=np.int64)
        times = [time.perf_counter()]
        deep_lift = DeepLift(network.layers, network.wide)
        mean_differences(deep_lift, inputs, index)
        times.append(time.perf_counter())
        asked = Explainable(
            lambda rows, network=network: network.predict(rows).argmax(axis=1),
            deep_lift.contributions,
        )
        class_similarities(asked, inputs, index, model.classes)
        times.append(time.perf_counter())
        rows.append([level.value, len(labels), len(model.classes), *np.diff(times)])
    headers = ("level", "samples", "classes", "D1, s", "similarity and stability, s")
    print("\n" + tabulate(rows, headers=headers, floatfmt=".2f"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--training-samples", type=int, default=1_000)
    parser.add_argument("--features", type=int, default=2_500)
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of the real atlases")
    options = parser.parse_args()
    costs(options)
    daemon_costs(options)
    if options.data is not None:
        apart(options.data)


if __name__ == "__main__":
    main()
