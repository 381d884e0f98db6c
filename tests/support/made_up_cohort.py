"""A made-up cohort with a weak signal, and light models for it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.profiles import Cohort, Profiles
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import Ontology
from annotator.learn.models.forest import ForestOptions
from annotator.learn.models.preset import Preset
from annotator.learn.models.presets import PRESETS
from annotator.learn.selective.policy import SelectiveOptions
from annotator.learn.validation.plan import ModelPlan

LIGHT = PRESETS["default"].changed(
    {
        "network": None,
        "forest": ForestOptions(first_trees=4, trees=8, top_features=10, down_sample=False),
        "boosting": {"rounds": 4, "depth": 2, "column_share": 0.5},
        "linear": None,
    }
)
PLAIN = LIGHT.changed({"calibrate": False, "boosting": None})
FOREST = LIGHT.changed({"boosting": None})
OPTIONS = LabelOptions(minimum_samples=4, minimum_datasets=2)
NO_ONTOLOGY = Ontology({})
SEED = 11


def made_cohort(
    classes: tuple[str, ...] = ("female", "male"),
    field: str = "sex",
    datasets: int = 3,
    size: int = 12,
    seed: int = 5,
) -> Cohort:
    """Return some datasets with a weak signal of the class and a strong one of the dataset."""
    generator = np.random.default_rng(seed)
    n, features = datasets * size, 40
    dataset_index = np.repeat(np.arange(datasets), size)
    truth = np.tile(np.arange(len(classes)), n)[:n]
    level = (
        generator.lognormal(3, 1, features)
        * generator.lognormal(0, 0.5, (datasets, features))[dataset_index]
    )
    level[np.arange(n), truth] *= 6
    counts = generator.poisson(level).astype(np.float32)
    return Cohort(
        definition=FIELDS[field],
        profiles=Profiles(
            sample_ids=np.array([f"s{i:03}" for i in range(n)], dtype=object),
            features=np.array([f"f{i}" for i in range(features)], dtype=object),
            kinds=np.array(["srna"] * 30 + ["contaminant"] * 10, dtype=object),
            counts=csr_matrix(counts),
        ),
        dataset_ids=np.array([f"d{i}" for i in dataset_index], dtype=object),
        values=np.array(classes, dtype=object)[truth],
        numbers=np.full(n, np.nan),
        known={"tissue": np.array(["blood", "brain"], dtype=object)[dataset_index % 2]},
    )


def made_plan(
    preset: Preset = LIGHT,
    labels: LabelOptions = OPTIONS,
    seed: int = SEED,
    selective: SelectiveOptions | None = None,
) -> ModelPlan:
    """Return a plan for it."""
    return ModelPlan(preset, labels, seed, selective)
