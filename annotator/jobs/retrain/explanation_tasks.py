"""The costly parts of a release's explanations, as tasks that can run anywhere.

These are the contributions of each model kind that is not linear, and the features removed
from the samples of each class. Only the inputs of the samples that they need are sent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annotator.domain.held_out import COMBINED
from annotator.explain.answer import explainer_on
from annotator.explain.class_scores import (
    mean_differences,
    sampled_mean_differences,
    some_of_each_class,
)
from annotator.explain.deep_lift import DeepLift
from annotator.explain.similarity import (
    ChosenSamples,
    Explainable,
    choose_samples,
    steps_of_class,
    summarised,
)
from annotator.learn.models.network import NETWORK
from annotator.learn.models.registry import KINDS
from annotator.learn.running.parallel import run_all
from annotator.logs import silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassSimilarity
    from annotator.explain.similarity import ClassSteps
    from annotator.learn.models.kind import KindModel
    from annotator.learn.release.field_model import FieldModel
    from annotator.learn.running.parallel import Parallelism


@dataclass(frozen=True, eq=False)
class _KindsToExplain:
    """Model kinds, and the samples whose contributions are computed.

    ``class_index`` is the class of each row of ``inputs``, one of the first ``classes``.
    """

    models: Mapping[str, KindModel]
    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]
    classes: int
    threads: int


def scores_of_kinds(
    model: FieldModel,
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    tree_samples: int,
    parallel: Parallelism,
) -> dict[str, NDArray[np.float64]]:
    """Return D1 of each model kind, ``(classes, features)``, in the kind's own unit.

    Parameters
    ----------
    model, inputs, class_index
        The model, its inputs and their classes.
    tree_samples
        Maximum number of samples per class whose contributions to kinds that are not linear
        are computed.
    parallel
        The processes that compute them.
    """
    kinds = explainer_on(parallel.device, model.explainer()).kinds
    found: dict[str, NDArray[np.float64]] = {}
    costly: dict[str, KindModel] = {}
    for name, kind in kinds.items():
        if isinstance(kind.explainer, DeepLift):
            found[name] = mean_differences(kind.explainer, inputs, class_index)
        else:
            costly[name] = model.models[name]
    some = some_of_each_class(class_index, tree_samples, model.seed)
    given = _KindsToExplain(
        costly, inputs[some], class_index[some], len(model.classes), parallel.threads
    )
    found.update(run_all(_scores_of_kind, given, range(len(costly)), parallel, silent))
    return {name: found[name] for name in kinds}


def _scores_of_kind(given: _KindsToExplain, place: int) -> tuple[str, NDArray[np.float64]]:
    from threadpoolctl import threadpool_limits

    name, model = list(given.models.items())[place]
    explainer = KINDS[name].explain(model, given.inputs.shape[1], given.classes)
    with threadpool_limits(limits=given.threads):
        return name, sampled_mean_differences(
            explainer.explainer,
            given.inputs,
            given.class_index,
            given.classes,
            sum_to_zero=KINDS[name].votes,
        )


@dataclass(frozen=True, eq=False)
class _ClassesToCompare:
    """A model, and the samples to remove features from.

    Attributes
    ----------
    model
        The model.
    chosen
        The samples for each prediction that is explained, that of the combination or of a kind.
    threads
        Number of threads.
    name
        A name that no other such data have.
    """

    model: FieldModel
    chosen: Mapping[str, ChosenSamples]
    threads: int
    name: str


_explainables: dict[str, Mapping[str, Explainable]] = {}
"""The functions for the data of the last task, because preparing trees takes long."""


def release_similarities(
    model: FieldModel,
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    samples_per_class: int,
    parallel: Parallelism,
) -> tuple[ClassSimilarity, ...]:
    """Return the class similarities of the combination, if there is one, and of the network.

    Parameters
    ----------
    model, inputs, class_index
        The model, its inputs and their classes.
    samples_per_class
        Maximum number of samples per class.
    parallel
        The processes that remove features.
    """
    classes = len(model.classes)
    chosen = {
        name: choose_samples(each, inputs, class_index, samples_per_class, model.seed)
        for name, each in _explainable(model).items()
    }
    given = _ClassesToCompare(model, chosen, parallel.threads, uuid.uuid4().hex)
    found = dict(run_all(_compared, given, range(classes * len(chosen)), parallel, silent))
    _explainables.clear()
    return tuple(
        replace(each, model_kind=name)
        for place, name in enumerate(chosen)
        for each in summarised(
            [found[place * classes + own] for own in range(classes)], model.classes
        )
    )


def _compared(given: _ClassesToCompare, number: int) -> tuple[int, ClassSteps]:
    from threadpoolctl import threadpool_limits

    classes = len(given.model.classes)
    place, own = divmod(number, classes)
    name, chosen = list(given.chosen.items())[place]
    if given.name not in _explainables:
        _explainables.clear()
        _explainables[given.name] = _explainable(given.model)
    with threadpool_limits(limits=given.threads):
        return number, steps_of_class(_explainables[given.name][name], chosen, own, classes)


def _explainable(model: FieldModel) -> dict[str, Explainable]:
    """Return the functions of the combination, if there is one, and of the network."""
    explainer, found = model.explainer(), {}
    if explainer.factors is not None:
        found[COMBINED] = Explainable(
            lambda rows: model.predict_inputs(rows)[COMBINED].argmax(axis=1),
            lambda rows, classes: explainer.contributions(rows, classes[:, None])[COMBINED][1][0],
        )
    network, of_network = model.network, explainer.kinds.get(NETWORK.name)
    if network is not None and of_network is not None:
        found[NETWORK.name] = Explainable(
            lambda rows: network.predict(rows).argmax(axis=1), of_network.explainer.contributions
        )
    return found
