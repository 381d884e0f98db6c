"""What can be chosen about a field model, and its way to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RPM, LOG_RPM = "rpm", "log_rpm"
MINMAX, STANDARD, PARETO, CENTRED, UNSCALED = "minmax", "standard", "pareto", "centred", "none"


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """How counts become the models' inputs.

    Attributes
    ----------
    normalisation
        ``"rpm"``: reads per million; ``"log_rpm"``: log2(1 + reads per million /
        ``pseudocount``).
    scaling
        Per feature, fitted on the training samples: ``"minmax"`` to [0, 1],
        ``"standard"`` to mean 0 and standard deviation 1, ``"pareto"`` to mean 0
        and divided by the square root of the standard deviation, which leaves
        strongly varying features more say (van den Berg et al. 2006, BMC Genomics
        7:142), ``"centred"`` to mean 0 only, or ``"none"``.
    maximum_zero_share
        A feature with more zeros than this among the training samples is left out.
    clip
        Scaled values are held within ±clip; 0 does not.
    pseudocount
        Reads per million below which the logarithm flattens: differences between
        a few reads and none are noise.
    """

    normalisation: str
    scaling: str
    maximum_zero_share: float
    clip: float = 0.0
    pseudocount: float = 1.0


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A fully connected network: ReLU layers with dropout, softmax output, Adam.

    Attributes
    ----------
    hidden_units, dropout
        One entry per hidden layer.
    epochs, batch_size, learning_rate
        Of the training; the learning rate falls to 0 along a half cosine where
        ``cosine_decay`` is set.
    input_dropout
        Share of inputs left out at each training step.
    weight_decay
        Of AdamW; 0 is plain Adam.
    label_smoothing
        Share of each label that is spread over all classes.
    scale_power
        Inputs are divided by their standard deviation to this power before the first
        layer; the scale is folded into its weights.
    correlation_power
        Inputs are multiplied by their absolute correlation with the classes to this
        power, folded into the same weights; 0 does not.
    within_class
        As in :class:`LinearOptions`, after scaling, and folded into the same weights.
    within_class_datasets
        Smallest number of datasets for which ``within_class`` is used: with few,
        directions that separate classes are shrunk too.
    wide
        Adds a wide path (Cheng et al. 2016, "Wide & deep learning for recommender
        systems"): the logits of the preset's linear kind.
    deep_share
        What the logits of the hidden layers are multiplied by before they are added
        to those of the wide path.
    """

    hidden_units: tuple[int, ...]
    dropout: tuple[float, ...]
    epochs: int
    batch_size: int
    learning_rate: float = 0.001
    input_dropout: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    cosine_decay: bool = False
    scale_power: float = 0.0
    correlation_power: float = 0.0
    within_class: float = 0.0
    within_class_datasets: int = 0
    wide: bool = False
    deep_share: float = 1.0


@dataclass(frozen=True, slots=True)
class ForestOptions:
    """A random forest in two stages (paper, section 2.3.2).

    Attributes
    ----------
    first_trees
        Trees of the forest on all features, whose Gini importances choose
        ``top_features`` of them.
    trees
        Trees of the forest that predicts. Each split looks at the square root
        of the number of features.
    top_features
        Features of the second forest.
    down_sample
        Each tree is grown on as many samples of every class as the smallest
        class has.
    minimum_leaf
        Samples that a leaf needs.
    maximum_leaves
        Maximum number of leaves per tree of the second forest, best splits first; 0 for no
        maximum. Where the signal is weak, trees grow with the cohort, and so does the cost
        of explaining a sample.
    """

    first_trees: int
    trees: int
    top_features: int
    down_sample: bool
    minimum_leaf: int = 1
    maximum_leaves: int = 0


@dataclass(frozen=True, slots=True)
class BoostingOptions:
    """Gradient-boosted trees on histograms, softmax objective.

    Attributes
    ----------
    rounds, depth, learning_rate
        Of the boosting; each round grows one tree a class.
    top_features
        Features that trees may use: those with the greatest ratio of variance
        between classes to variance within them (F statistic).
    row_share, column_share
        Share of samples and of features that each tree sees.
    minimum_child_weight, l2
        Regularisation of leaves.
    bins
        Histogram bins a feature.
    """

    rounds: int
    depth: int
    learning_rate: float
    top_features: int
    row_share: float
    column_share: float
    minimum_child_weight: float
    l2: float
    bins: int


@dataclass(frozen=True, slots=True)
class LinearOptions:
    """A linear model of the inputs, or of random units of the inputs.

    Attributes
    ----------
    penalties
        For a multinomial logistic regression: scikit-learn's ``C``, one for each of
        ``scale_powers``; the smaller, the stronger the L2 penalty.
    within_class
        How strongly directions are shrunk in which the datasets of one class
        differ, relative to their mean variance; 0 does not
        (:mod:`annotator.learn.models.dataset_shift`).
    scale_powers
        Features are divided by their standard deviation to these powers; the
        models of several powers are averaged.
    random_units
        0, or the number of random ReLU units of which a ridge regression is fitted
        instead (:mod:`annotator.learn.models.random_units`).
    ridge
        Penalty of that regression.
    feature_steps
        How often it learns weights of the features from a fit with the weights before.
    """

    penalties: tuple[float, ...]
    within_class: float
    scale_powers: tuple[float, ...] = (0.0,)
    random_units: int = 0
    ridge: float = 1.0
    feature_steps: int = 0


@dataclass(frozen=True, slots=True)
class Preset:
    """How a field model is made.

    Attributes
    ----------
    name
        Its key in :data:`PRESETS`.
    features
        Normalisation, filter and scaling.
    network, forest, boosting, linear
        Options of each model kind; ``None`` leaves the kind out.
    balance_classes, balance_datasets
        Training samples are weighted so that every class, and every dataset
        within a class, counts the same.
    calibrate
        Probabilities are calibrated on predictions for held-out datasets and
        combined by their product; else they are used as they are and their mean is
        the combined probability.
    """

    name: str
    features: FeatureOptions
    network: NetworkOptions | None
    forest: ForestOptions | None
    boosting: BoostingOptions | None
    balance_classes: bool
    balance_datasets: bool
    calibrate: bool
    linear: LinearOptions | None = None

    def __post_init__(self) -> None:
        """Refuse a wide path without a linear kind of the same inputs."""
        wide = self.network is not None and self.network.wide
        if wide and (self.linear is None or self.linear.random_units):
            raise ValueError("a network's wide path needs a linear kind without random units")


def configuration(preset: Preset) -> dict[str, Any]:
    """Return every hyper-parameter of a preset, fit for JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, tuple) else value

    return {key: plain(value) for key, value in asdict(preset).items()}


_PARTS: Mapping[str, type] = {
    "features": FeatureOptions,
    "network": NetworkOptions,
    "forest": ForestOptions,
    "boosting": BoostingOptions,
    "linear": LinearOptions,
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
}


def _check_type(name: str, declared: str, value: Any) -> None:
    """Check a value against the annotation of its field."""
    if declared.startswith("tuple"):
        for each in value:
            _check_type(name, declared[len("tuple[") : -len(", ...]")], each)
        return
    known = _TYPES.get(declared)
    fits = known is None or (
        isinstance(value, known) and (declared == "bool" or not isinstance(value, bool))
    )
    if not fits:
        raise ValueError(f"not the configuration of a preset: {name} is {value!r}, not {declared}")


def _build(part: type, given: Mapping[str, Any]) -> Any:
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    for each in fields(part):
        if each.name in values:
            _check_type(each.name, str(each.type), values[each.name])
    return part(**values)


def preset_from_configuration(given: Mapping[str, Any]) -> Preset:
    """Rebuild a preset from :func:`configuration`.

    Options that were added later keep their defaults, so that older releases can still be
    read.

    Raises
    ------
    ValueError
        A hyper-parameter is unknown, missing or of the wrong type.
    """
    values: dict[str, Any] = dict(given)
    try:
        for key, part in _PARTS.items():
            if values[key] is not None or key == "features":
                values[key] = _build(part, values[key])
        preset: Preset = _build(Preset, values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the configuration of a preset: {error}") from error
    return preset
