"""The built-in presets, with all hyper-parameters of all their model kinds.

``PRESETS["paper"]`` follows the paper's sections 2.2 and 2.3, for comparison;
``PRESETS["default"]`` is used unless another one is set.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from annotator.learn.models.boosting import BoostingOptions
from annotator.learn.models.forest import ForestOptions
from annotator.learn.models.linear import LinearOptions
from annotator.learn.models.network import NetworkOptions
from annotator.learn.models.preset import (
    CENTRED,
    LOG_RPM,
    MINMAX,
    RPM,
    STANDARD,
    FeatureOptions,
    Preset,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# The paper does not use gradient boosting: these options are ours. The learning
# rate of Adam is Keras' default, which the paper does not change.
_PAPER = Preset(
    name="paper",
    features=FeatureOptions(RPM, MINMAX, maximum_zero_share=0.3),
    kinds={
        "network": NetworkOptions(
            hidden_units=(1000, 250, 250), dropout=(0.5, 0.4, 0.4), epochs=50, batch_size=30
        ),
        "forest": ForestOptions(first_trees=100, trees=500, top_features=1000, down_sample=True),
        "boosting": BoostingOptions(
            rounds=100,
            depth=4,
            learning_rate=0.15,
            top_features=400,
            row_share=1.0,
            column_share=0.1,
            minimum_child_weight=1.0,
            l2=1.0,
            bins=32,
        ),
    },
    balance_classes=False,
    balance_datasets=False,
    calibrate=False,
)

# Shrinking directions reduced accuracy with 12 to 16 simulated datasets; 111 are enough.
_MANY_DATASETS = 50

# Chosen on random divisions of the datasets (benchmarks/accuracy/divisions.py).
_DEFAULT = Preset(
    name="default",
    features=FeatureOptions(LOG_RPM, CENTRED, maximum_zero_share=0.95, clip=7.0, pseudocount=10.0),
    kinds={
        "network": NetworkOptions(
            hidden_units=(256, 128),
            dropout=(0.5, 0.3),
            epochs=40,
            batch_size=128,
            weight_decay=0.01,
            scale_power=0.5,
            within_class=3.0,
            within_class_datasets=_MANY_DATASETS,
            wide=True,
            deep_share=0.5,
        ),
        "forest": ForestOptions(
            first_trees=100, trees=200, top_features=1000, down_sample=False, minimum_leaf=3
        ),
        "boosting": BoostingOptions(
            rounds=100,
            depth=4,
            learning_rate=0.15,
            top_features=400,
            row_share=0.8,
            column_share=0.1,
            minimum_child_weight=0.5,
            l2=1.0,
            bins=32,
        ),
        "linear": LinearOptions(
            penalties=(0.017, 0.008), within_class=3.0, scale_powers=(0.25, -0.25)
        ),
    },
    balance_classes=True,
    balance_datasets=True,
    calibrate=True,
    # 4,000 of 5,000 samples are as good as all of them (docs/method/scale.md); this leaves room.
    training_samples=10_000,
)

# Sex and age are weak signals in many features. Learning feature weights helps sex, not age.
_WEAK_SIGNAL = _DEFAULT.changed(
    {
        "features": FeatureOptions(LOG_RPM, STANDARD, maximum_zero_share=0.98, clip=5.0),
        "network": NetworkOptions(
            hidden_units=(1024,),
            dropout=(0.5,),
            epochs=20,
            batch_size=128,
            weight_decay=0.4,
            cosine_decay=True,
            correlation_power=0.75,
        ),
        "forest": {"trees": 100, "minimum_leaf": 5, "maximum_leaves": 64},
        "boosting": {"rounds": 300, "learning_rate": 0.05, "minimum_child_weight": 5.0},
        "linear": LinearOptions(
            penalties=(), within_class=0.0, random_units=3000, ridge=0.5, feature_steps=1
        ),
        "balance_classes": False,
        "balance_datasets": False,
    }
)
_NUMBER = _WEAK_SIGNAL.changed({"linear": {"feature_steps": 0}})

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {preset.name: preset for preset in (_PAPER, _DEFAULT)}
)

OF_FIELD: Mapping[tuple[str, str], Preset] = MappingProxyType(
    {("default", "sex"): _WEAK_SIGNAL, ("default", "age"): _NUMBER}
)
"""The presets of fields that deviate from the preset of their name."""


def preset_for(name: str, field: str) -> Preset:
    """Return the preset of a name for a field; raise ``KeyError`` if there is none."""
    return OF_FIELD.get((name, field), PRESETS[name])
