"""A map that places labelled samples next to those with similar profiles (paper, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.explanations import SampleMap
from annotator.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS = 50
PERPLEXITY = 30.0
NEIGHBOURS = 3
"""Number of neighbours that t-SNE searches for per unit of perplexity."""
FEWEST_SAMPLES = 6
"""The smallest number of samples with meaningful neighbourhoods."""


def sample_map(
    log_expression: NDArray[np.float32],
    sample_ids: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    classes: NDArray[np.object_],
    seed: int,
    maximum: int = 5000,
) -> SampleMap:
    """Lay out samples by t-SNE on their principal components.

    Features are centred and reduced to 50 principal components, and these to a plane
    by t-SNE (van der Maaten and Hinton 2008, JMLR 9:2579-2605; the paper uses the
    same library). The layout starts from the first two components, so that samples
    that are far apart there tend to stay so; still, only neighbourhoods are
    meaningful, not the distances or positions of groups. Fewer than six samples are
    placed by their first two principal components.

    Parameters
    ----------
    log_expression
        Logarithmic expression, shape ``(samples, features)``, float32.
    sample_ids, dataset_ids, classes
        Shape ``(samples,)``, dtype object (str).
    seed
        The same input and seed give the same map on one type of machine. Everything
        runs on one thread, since sums over several threads differ in their last bits,
        which t-SNE makes visible.
    maximum
        Maximum number of samples on the map. Of more samples some are drawn, the same
        number from every class as far as possible.

    Returns
    -------
    SampleMap
        The samples in the given order; positions ``(samples, 2)``, float32.

    Raises
    ------
    InputError
        The shapes do not agree, ``maximum`` is below 1, or a value is not finite.
    """
    _check(log_expression, (sample_ids, dataset_ids, classes), maximum)
    random = np.random.default_rng(seed)
    rows = _drawn(classes, maximum, random)
    return SampleMap(
        sample_ids=sample_ids[rows],
        dataset_ids=dataset_ids[rows],
        classes=classes[rows],
        positions=_positions(log_expression[rows], int(random.integers(2**31))),
    )


def _check(
    values: NDArray[np.float32], columns: tuple[NDArray[np.object_], ...], maximum: int
) -> None:
    lengths = [len(column) for column in columns]
    if values.ndim != 2 or any(length != len(values) for length in lengths):
        raise InputError(
            f"expression {values.shape} and {lengths} names, datasets and classes do not agree:"
            " give one row per sample"
        )
    if maximum < 1:
        raise InputError(f"a map of {maximum} samples was asked for: ask for at least 1")
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(np.argmin(finite))} of the expression has a value that is not finite:"
            " leave such samples out"
        )


def _drawn(
    classes: NDArray[np.object_], maximum: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rows to lay out, in ascending order."""
    if len(classes) <= maximum:
        return np.arange(len(classes))
    place = np.unique(classes.astype(str), return_inverse=True)[1]
    shuffled = random.permutation(len(classes))
    turn = np.empty(len(classes), dtype=np.int64)
    for class_number in range(int(place.max()) + 1):
        members = shuffled[place[shuffled] == class_number]
        turn[members] = np.arange(len(members))
    # The first sample of every class is drawn, then the second, until there are enough.
    chosen = shuffled[np.argsort(turn[shuffled], kind="stable")][:maximum]
    return np.sort(chosen)


def _positions(values: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        components = _principal_components(values, seed)
        plane = _plane(components)
        if len(values) >= FEWEST_SAMPLES and plane.any():
            plane = _neighbour_embedding(components, plane, seed)
    return np.asarray(plane, dtype=np.float32)


def _principal_components(values: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return up to 50 principal components, largest first, ``(samples, components)``."""
    from sklearn.utils.extmath import randomized_svd, svd_flip

    count = min(COMPONENTS, *values.shape)
    if count == 0:
        return np.zeros((len(values), 1), dtype=np.float32)
    centred = values - values.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not centred.any():
        return np.zeros((len(values), count), dtype=np.float32)
    left, sizes, right = randomized_svd(centred, count, random_state=seed)
    left, _ = svd_flip(left, right)
    return np.asarray(left * sizes, dtype=np.float32)


def _plane(components: NDArray[np.float32]) -> NDArray[np.float32]:
    plane = np.zeros((len(components), 2), dtype=np.float32)
    columns = min(2, components.shape[1])
    plane[:, :columns] = components[:, :columns]
    return plane


def _neighbour_embedding(
    components: NDArray[np.float32], plane: NDArray[np.float32], seed: int
) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    embedding = TSNE(
        perplexity=min(PERPLEXITY, (len(components) - 1) / NEIGHBOURS),
        # scikit-learn scales its own initialisation by principal components in this way.
        init=plane / plane[:, 0].std() * np.float32(1e-4),
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(embedding.fit_transform(components), dtype=np.float32)
