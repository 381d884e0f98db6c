"""The random-forest model kind, in two stages (paper, section 2.3.2).

A first forest on all features ranks them by Gini importance; a second, larger
forest is grown on the best of them and makes the predictions.

"We down-sampled large classes to the size of the smaller ones": the paper used
R's ``randomForest``, which does this by ``sampsize`` with ``strata``: *each tree*
draws, with replacement, as many samples of every class as the smallest class has.
This module does the same, rather than discard most samples once for the whole
forest. scikit-learn has no such option, so the trees are grown one by one and
assembled into a ``RandomForestClassifier``. Only the arrays of the trees are kept
(:mod:`annotator.learn.models.trees`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

from annotator.errors import ArtefactError
from annotator.explain.answer import KindExplainer
from annotator.explain.trees import TREE_SHAP, forest_explainer
from annotator.learn.models.kind import ModelKind
from annotator.learn.models.trees import GrownTree, Trees, level_by_level, read_trees, write_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestClassifier

    from annotator.learn.models.kind import TrainingPart

ROUNDING = 1e-4  # of the sum of a leaf's shares


@dataclass(frozen=True, slots=True)
class ForestOptions:
    """A random forest in two stages (paper, section 2.3.2).

    Attributes
    ----------
    first_trees
        Number of trees of the first forest, on all features; ``top_features`` of them are
        chosen by its Gini importances.
    trees
        Number of trees of the second forest, which predicts. Each split considers the
        square root of the number of features.
    top_features
        Number of features of the second forest.
    down_sample
        Whether each tree is grown on as many samples of every class as the smallest
        class has.
    minimum_leaf
        Minimum number of samples per leaf.
    maximum_leaves
        Maximum number of leaves per tree of the second forest, best splits first; 0 for no
        maximum. If the signal is weak, trees grow with the cohort, and so does the cost
        of explaining a sample.
    """

    first_trees: Annotated[int, Meta(ge=1)]
    trees: Annotated[int, Meta(ge=1)]
    top_features: Annotated[int, Meta(ge=1)]
    down_sample: bool
    minimum_leaf: Annotated[int, Meta(ge=1)] = 1
    maximum_leaves: Annotated[int, Meta(ge=0)] = 0


@dataclass(frozen=True, eq=False)
class ForestModel:
    """A second-stage forest.

    Attributes
    ----------
    trees
        Trees that split on columns of the model's inputs; the values of a leaf are the
        shares of the classes among its training samples.
    """

    trees: Trees

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        votes = np.zeros((len(inputs), self.trees.values.shape[1]))
        for leaf in self.trees.leaves(inputs).T:
            votes += self.trees.values[leaf]
        return votes / len(self.trees.sizes)

    def to_bytes(self) -> bytes:
        """Serialise the trees as safetensors."""
        return write_trees(self.trees)

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: ForestOptions
    ) -> ForestModel:
        """Read a forest and check it.

        Raises
        ------
        ArtefactError
            The bytes are damaged, or the forest does not fit the field's features and
            classes.
        """
        trees, _ = read_trees(
            content, "forest", trees=options.trees, features=features, outputs=classes
        )
        shares = trees.values
        if shares.min() < 0 or np.abs(shares.sum(axis=1, dtype=np.float64) - 1).max() > ROUNDING:
            raise ArtefactError("forest: damaged, a leaf has no shares of classes; retrain")
        return cls(trees)


def fit_forest(
    part: TrainingPart, options: ForestOptions, seed: int, threads: int = 0
) -> ForestModel:
    """Grow a two-stage forest.

    Parameters
    ----------
    part
        The training samples.
    options
        The hyper-parameters.
    seed
        Seed of all random choices; the result does not depend on ``threads``.
    threads
        Number of threads that grow trees, 0 for one per core.

    Returns
    -------
    ForestModel
    """
    first_seed, second_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    grow = _grow_down_sampled if options.down_sample else _grow_weighted
    jobs = threads if threads > 0 else -1
    chosen = np.arange(part.inputs.shape[1], dtype=np.int64)
    if len(chosen) > options.top_features:
        rating = replace(options, trees=options.first_trees, maximum_leaves=0)
        importance = grow(part, rating, first_seed, jobs).feature_importances_
        best = np.argsort(-importance, kind="stable")[: options.top_features]
        chosen = np.sort(best).astype(np.int64)
    second = grow(replace(part, inputs=part.inputs[:, chosen]), options, second_seed, jobs)
    return ForestModel(trees_of_forest(second, chosen))


def trees_of_forest(estimator: RandomForestClassifier, columns: NDArray[np.int64]) -> Trees:
    """Return the trees of a forest that was grown on some columns of the inputs."""
    grown = []
    for member in estimator.estimators_:
        tree = member.tree_
        near = tree.threshold.astype(np.float32)
        lower = np.nextafter(near, np.float32(-np.inf))
        grown.append(
            GrownTree(
                left=tree.children_left,
                right=tree.children_right,
                feature=tree.feature,
                # scikit-learn compares in double precision; with these thresholds float32
                # values go the same way.
                threshold=np.where(near > tree.threshold, lower, near),
                weight=tree.weighted_n_node_samples,
                values=tree.value[:, 0],
            )
        )
    trees = level_by_level(grown)
    split = trees.feature >= 0
    of_inputs = np.where(split, columns[np.where(split, trees.feature, 0)], -1)
    return replace(trees, feature=of_inputs.astype(np.int32))


def _grow_weighted(
    part: TrainingPart, options: ForestOptions, seed: int, jobs: int
) -> RandomForestClassifier:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        options.trees,
        min_samples_leaf=options.minimum_leaf,
        max_leaf_nodes=options.maximum_leaves or None,
        random_state=seed,
        n_jobs=jobs,
    )
    return forest.fit(part.inputs, part.class_index, sample_weight=part.weights)


def _grow_down_sampled(
    part: TrainingPart, options: ForestOptions, seed: int, jobs: int
) -> RandomForestClassifier:
    from joblib import Parallel, delayed
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    members = [np.flatnonzero(part.class_index == each) for each in range(part.classes)]
    smallest = min(len(each) for each in members)

    def grow(tree_seed: np.random.SeedSequence) -> DecisionTreeClassifier:
        random = np.random.default_rng(tree_seed)
        rows = np.concatenate([random.choice(each, smallest) for each in members])
        tree = DecisionTreeClassifier(
            max_features="sqrt",
            min_samples_leaf=options.minimum_leaf,
            max_leaf_nodes=options.maximum_leaves or None,
            random_state=int(random.integers(2**31)),
        )
        # The trees of a scikit-learn forest store classes as floats.
        return tree.fit(
            part.inputs[rows],
            part.class_index[rows].astype(np.float64),
            sample_weight=part.weights[rows],
            check_input=True,
        )

    seeds = np.random.SeedSequence(seed).spawn(options.trees)
    grown = Parallel(n_jobs=jobs, prefer="threads")(delayed(grow)(each) for each in seeds)
    forest = RandomForestClassifier(
        options.trees, min_samples_leaf=options.minimum_leaf, random_state=seed, n_jobs=jobs
    )
    forest.estimator_ = DecisionTreeClassifier()
    forest.estimators_ = grown
    forest.classes_ = np.arange(part.classes)
    forest.n_classes_ = part.classes
    forest.n_outputs_ = 1
    forest.n_features_in_ = part.inputs.shape[1]
    return forest


def _explain(model: ForestModel, features: int, classes: int) -> KindExplainer:
    return KindExplainer(TREE_SHAP, forest_explainer(model.trees, features), opposite=classes == 2)


FOREST = ModelKind(
    name="forest",
    unit="share of votes",
    options=ForestOptions,
    fit=fit_forest,
    read=ForestModel.from_bytes,
    explain=_explain,
    votes=True,
    family="trees",
)
