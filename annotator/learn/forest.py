"""The random-forest model kind, in two stages (paper, section 2.3.2).

A first forest on all features rates them by Gini importance; a second, larger
one is grown on the best of them and predicts.

"We down-sampled large classes to the size of the smaller ones": the paper used
R's ``randomForest``, whose way of doing this is ``sampsize`` with ``strata``,
where *each tree* draws, with replacement, as many samples of every class as
the smallest class has. That is what is done here, rather than throwing most
samples away once for the whole forest. scikit-learn has no such option, so the
trees are grown one by one and put together to a ``RandomForestClassifier``.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.ensemble import RandomForestClassifier

    from annotator.learn.options import ForestOptions

# The only type beyond skops' own list that a stored forest may hold.
TRUSTED = ("sklearn.tree._tree.Tree",)
LARGEST_UNPACKED = 4 * 1024**3
# Nothing is ever unpacked to a disk; a name that would lead elsewhere is refused all the same.
_PLAIN_NAME = re.compile(r"\w+\.(json|npy|npz|bin)")


@dataclass(frozen=True, eq=False)
class ForestModel:
    """A second-stage forest and the features that it looks at.

    Attributes
    ----------
    estimator
        A ``sklearn.ensemble.RandomForestClassifier`` whose ``classes_`` are
        0, 1, ... in the order of the field's classes.
    feature_indices
        The column of the inputs behind each of the estimator's columns, int64.
    """

    estimator: RandomForestClassifier
    feature_indices: NDArray[np.int64]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        return np.asarray(self.estimator.predict_proba(inputs[:, self.feature_indices]))

    def to_bytes(self) -> bytes:
        """Serialise the forest with skops, which stores no code."""
        import skops.io

        # A number that differs between machines has no place in a release.
        self.estimator.set_params(n_jobs=None)
        content: bytes = skops.io.dumps(
            {"estimator": self.estimator, "feature_indices": self.feature_indices},
            compression=zipfile.ZIP_DEFLATED,
            compresslevel=1,
        )
        return content

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: ForestOptions
    ) -> ForestModel:
        """Read a forest and check it.

        Raises
        ------
        ArtefactError
            The bytes are no skops file, hold a type that is not trusted, or a
            forest that does not fit the field's features and classes.
        """
        model = _read(content)
        _check(model, features, classes, options)
        return cls(model["estimator"], model["feature_indices"])


def _read(content: bytes) -> dict[str, Any]:
    import skops.io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        odd = [entry.filename for entry in entries if not _PLAIN_NAME.fullmatch(entry.filename)]
        if odd:
            raise ArtefactError(f"forest: has an entry {odd[0]!r}, which no forest has")
        if unpacked > LARGEST_UNPACKED:
            raise ArtefactError(f"forest: {unpacked} bytes unpacked, more than allowed")
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED)
        if untrusted:
            raise ArtefactError(f"forest: holds {sorted(untrusted)[0]}, which is not trusted")
        model = skops.io.loads(content, trusted=list(TRUSTED))
    except ArtefactError:
        raise
    except Exception as error:
        # skops raises whatever its many node types raise on damaged bytes.
        raise ArtefactError(f"forest: damaged, not readable: {error!r}; retrain") from error
    if not isinstance(model, dict) or model.keys() != {"estimator", "feature_indices"}:
        raise ArtefactError("forest: damaged, its parts are not a forest's; retrain the field")
    return model


def _check(model: dict[str, Any], features: int, classes: int, options: ForestOptions) -> None:
    from sklearn.ensemble import RandomForestClassifier

    estimator, indices = model["estimator"], model["feature_indices"]
    if type(estimator) is not RandomForestClassifier or not isinstance(indices, np.ndarray):
        raise ArtefactError("forest: its parts are not a forest's; retrain the field")
    trees = getattr(estimator, "estimators_", ())
    fits = (
        indices.dtype == np.int64
        and indices.ndim == 1
        and len(indices) > 0
        and indices.min() >= 0
        and indices.max() < features
        and estimator.n_features_in_ == len(indices)
        and np.array_equal(estimator.classes_, np.arange(classes))
        and len(trees) == options.trees
    )
    if not fits:
        raise ArtefactError("forest: does not fit the model's features or classes; retrain")
    for tree in trees:
        _check_tree(tree.tree_, len(indices), classes)


def _check_tree(tree: Any, features: int, classes: int) -> None:
    """Refuse a tree that would make scikit-learn read outside of its arrays."""
    nodes = tree.node_count
    position = np.arange(nodes)
    left, right = tree.children_left, tree.children_right
    inner = left != -1
    sound = (
        nodes > 0
        and tree.n_features == features
        and tree.value.shape == (nodes, 1, classes)
        and np.isfinite(tree.value).all()
        and np.isfinite(tree.threshold).all()
        and np.array_equal(inner, right != -1)
        # Children come after their parent, so there is no way round in circles.
        and (left[inner] > position[inner]).all()
        and (right[inner] > position[inner]).all()
        and (left < nodes).all()
        and (right < nodes).all()
        and (tree.feature[inner] >= 0).all()
        and (tree.feature[inner] < features).all()
    )
    if not sound:
        raise ArtefactError("forest: a tree is damaged; retrain the field")


def fit_forest(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: ForestOptions,
    seed: int,
    threads: int = 0,
) -> ForestModel:
    """Grow a two-stage forest.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index
        The class of each sample, ``(samples,)``; every class has one.
    weights
        How much each sample counts, ``(samples,)``.
    classes
        Number of classes.
    options
        Numbers of trees and features, down-sampling.
    seed
        Of everything random; the result does not depend on ``threads``.
    threads
        To grow trees in, 0 for one a core.

    Returns
    -------
    ForestModel
    """
    first_seed, second_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    grow = _grow_down_sampled if options.down_sample else _grow_weighted
    jobs = threads if threads > 0 else -1
    everything = np.arange(inputs.shape[1], dtype=np.int64)
    if len(everything) > options.top_features:
        first = grow(
            inputs, class_index, weights, classes, options, options.first_trees, first_seed, jobs
        )
        importance = first.feature_importances_
        best = np.argsort(-importance, kind="stable")[: options.top_features]
        chosen = np.sort(best).astype(np.int64)
    else:
        chosen = everything
    second = grow(
        inputs[:, chosen], class_index, weights, classes, options, options.trees, second_seed, jobs
    )
    second.set_params(n_jobs=1)
    return ForestModel(second, chosen)


def _grow_weighted(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,  # noqa: ARG001 - the growers have one signature
    options: ForestOptions,
    trees: int,
    seed: int,
    jobs: int,
) -> RandomForestClassifier:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        trees, min_samples_leaf=options.minimum_leaf, random_state=seed, n_jobs=jobs
    )
    return forest.fit(inputs, class_index, sample_weight=weights)


def _grow_down_sampled(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: ForestOptions,
    trees: int,
    seed: int,
    jobs: int,
) -> RandomForestClassifier:
    from joblib import Parallel, delayed
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    members = [np.flatnonzero(class_index == position) for position in range(classes)]
    smallest = min(len(each) for each in members)

    def grow(tree_seed: np.random.SeedSequence) -> DecisionTreeClassifier:
        random = np.random.default_rng(tree_seed)
        rows = np.concatenate([random.choice(each, smallest) for each in members])
        tree = DecisionTreeClassifier(
            max_features="sqrt",
            min_samples_leaf=options.minimum_leaf,
            random_state=int(random.integers(2**31)),
        )
        # A forest's trees know classes as floats.
        return tree.fit(
            inputs[rows],
            class_index[rows].astype(np.float64),
            sample_weight=weights[rows],
            check_input=True,
        )

    seeds = np.random.SeedSequence(seed).spawn(trees)
    grown = Parallel(n_jobs=jobs, prefer="threads")(delayed(grow)(each) for each in seeds)
    forest = RandomForestClassifier(
        trees, min_samples_leaf=options.minimum_leaf, random_state=seed, n_jobs=jobs
    )
    forest.estimator_ = DecisionTreeClassifier()
    forest.estimators_ = grown
    forest.classes_ = np.arange(classes)
    forest.n_classes_ = classes
    forest.n_outputs_ = 1
    forest.n_features_in_ = inputs.shape[1]
    return forest
