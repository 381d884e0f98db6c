"""Presets: all options of a field model as one value, and its conversion from and to plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from annotator.learn.models.registry import KINDS
from annotator.plain_data import plain, typed

RPM: Final = "rpm"
LOG_RPM: Final = "log_rpm"
MINMAX: Final = "minmax"
STANDARD: Final = "standard"
PARETO: Final = "pareto"
CENTRED: Final = "centred"
UNSCALED: Final = "none"


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """The options by which counts become the models' inputs.

    Attributes
    ----------
    normalisation
        ``"rpm"``: reads per million; ``"log_rpm"``: log2(1 + reads per million /
        ``pseudocount``).
    scaling
        Per feature, fitted on the training samples: ``"minmax"`` to [0, 1],
        ``"standard"`` to mean 0 and standard deviation 1, ``"pareto"`` to mean 0
        and divided by the square root of the standard deviation, which leaves
        strongly varying features more weight (van den Berg et al. 2006, BMC Genomics
        7:142), ``"centred"`` to mean 0 only, or ``"none"``.
    maximum_zero_share
        A feature is left out if its share of zeros among the training samples is larger.
    clip
        Scaled values are clipped to ±clip; 0 for no clipping.
    pseudocount
        Reads per million below which the logarithm flattens, because differences
        between a few reads and none are noise.
    """

    normalisation: Literal["rpm", "log_rpm"]
    scaling: Literal["minmax", "standard", "pareto", "centred", "none"]
    maximum_zero_share: Annotated[float, Meta(ge=0, le=1)]
    clip: Annotated[float, Meta(ge=0)] = 0.0
    pseudocount: Annotated[float, Meta(gt=0)] = 1.0


@dataclass(frozen=True, slots=True)
class Preset:
    """All options by which a field model is made.

    Attributes
    ----------
    name
        The name of the preset, for readers; a release keeps it.
    features
        Normalisation, filter and scaling.
    kinds
        The options of each model kind, in the order of
        :data:`~annotator.learn.models.registry.KINDS`.
    balance_classes, balance_datasets
        Whether training samples are weighted so that all classes, and all datasets
        within a class, have equal weights.
    calibrate
        Whether probabilities are calibrated on predictions for held-out datasets and
        combined as a product; else they are used as they are and combined as a mean.
    training_samples
        Maximum number of samples that models are fitted on; of larger cohorts some are drawn
        (:func:`~annotator.learn.validation.drawing.drawn_rows`). 0 for no maximum.
    """

    name: str
    features: FeatureOptions
    kinds: Mapping[str, Any]
    balance_classes: bool
    balance_datasets: bool
    calibrate: bool
    training_samples: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        """Put the kinds in order, and refuse options that do not fit one another.

        Raises
        ------
        ValueError
            There is no kind, one is unknown, or its options need another kind.
        """
        if not self.kinds:
            raise ValueError(f"a preset needs a model kind: {', '.join(KINDS)}")
        if unknown := self.kinds.keys() - KINDS.keys():
            raise ValueError(f"there is no model kind {min(unknown)!r}; known: {', '.join(KINDS)}")
        in_order = {name: self.kinds[name] for name in KINDS if name in self.kinds}
        object.__setattr__(self, "kinds", in_order)
        for name, options in in_order.items():
            KINDS[name].check(options, in_order)

    def changed(self, changes: Mapping[str, Any]) -> Preset:
        """Return the preset with other options.

        Parameters
        ----------
        changes
            New values of attributes, and new options of ``features`` or model kinds, either
            as a dataclass or as plain data with only the differences; a kind with the value
            ``None`` or ``False`` is left out.

        Raises
        ------
        ValueError
            An option is unknown or of the wrong type.
        """
        described = configuration(self)
        known = [*(name for name in described if name not in KINDS), *KINDS]
        for name, value in changes.items():
            if name not in known:
                raise ValueError(
                    f"there is no option or model kind {name!r}; known: {', '.join(known)}"
                )
            if name in KINDS and (value is None or value is False):
                described.pop(name, None)
            elif name in KINDS and isinstance(value, str | int | float | list):
                raise ValueError(f"{name} must be a table of options, or false")
            elif isinstance(value, Mapping):
                before = described.get(name)
                described[name] = {**(before if isinstance(before, dict) else {}), **value}
            else:
                described[name] = plain(value)
        return preset_from_configuration(described)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The attributes of a preset except its model kinds."""

    name: str
    features: FeatureOptions
    balance_classes: bool
    balance_datasets: bool
    calibrate: bool
    training_samples: Annotated[int, Meta(ge=0)] = 0


def configuration(preset: Preset) -> dict[str, Any]:
    """Return all hyper-parameters of a preset as plain data, without kinds it lacks."""
    described: dict[str, Any] = plain(preset)
    # A kind that is added to the program changes no preset without it.
    kinds: dict[str, Any] = described.pop("kinds")
    return described | kinds


def preset_from_configuration(given: Mapping[str, Any]) -> Preset:
    """Rebuild a preset from :func:`configuration`.

    Missing options get their defaults, so that releases from before an option was added can
    still be read.

    Raises
    ------
    ValueError
        A hyper-parameter is unknown, missing or of the wrong type.
    """
    kinds = {name: given[name] for name in KINDS if given.get(name) is not None}
    rest = {name: value for name, value in given.items() if name not in KINDS}
    frame = typed(rest, _Frame)
    options: dict[str, Any] = {}
    for name, of_kind in kinds.items():
        try:
            options[name] = typed(of_kind, KINDS[name].options)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return Preset(
        frame.name,
        frame.features,
        options,
        frame.balance_classes,
        frame.balance_datasets,
        frame.calibrate,
        frame.training_samples,
    )
