"""How a field model is made: a value, and its way to plain data and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

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

    normalisation: Literal["rpm", "log_rpm"]
    scaling: Literal["minmax", "standard", "pareto", "centred", "none"]
    maximum_zero_share: float
    clip: float = 0.0
    pseudocount: float = 1.0


@dataclass(frozen=True, slots=True)
class Preset:
    """How a field model is made.

    Attributes
    ----------
    name
        For people; a release keeps it.
    features
        Normalisation, filter and scaling.
    kinds
        Each model kind to its options, in the order of
        :data:`~annotator.learn.models.registry.KINDS`.
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
    kinds: Mapping[str, Any]
    balance_classes: bool
    balance_datasets: bool
    calibrate: bool

    def __post_init__(self) -> None:
        """Put the kinds in order, and refuse options that do not fit one another.

        Raises
        ------
        ValueError
            There is no such kind, or its options need another one.
        """
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
            Attribute, ``features`` or model kind to its options, as a dataclass or as the
            differences, plain data; a kind that is ``None`` or ``False`` is left out.

        Raises
        ------
        ValueError
            An option is unknown or of the wrong type.
        """
        described = configuration(self)
        for name, value in changes.items():
            if name not in described:
                raise ValueError(f"a preset has no {name!r}")
            if name in KINDS and (value is None or value is False):
                described[name] = None
            elif isinstance(value, Mapping):
                if not isinstance(described[name], dict):
                    described[name] = {}
                described[name] = {**described[name], **value}
            else:
                described[name] = plain(value)
        return preset_from_configuration(described)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The attributes of a preset but for its model kinds."""

    name: str
    features: FeatureOptions
    balance_classes: bool
    balance_datasets: bool
    calibrate: bool


def configuration(preset: Preset) -> dict[str, Any]:
    """Return every hyper-parameter of a preset as plain data; ``None`` for kinds it lacks."""
    described: dict[str, Any] = plain(preset)
    kinds = described.pop("kinds")
    return {**described, **{name: kinds.get(name) for name in KINDS}}


def preset_from_configuration(given: Mapping[str, Any]) -> Preset:
    """Rebuild a preset from :func:`configuration`.

    Options that were added later keep their defaults, so that older releases can still be
    read.

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
    )
