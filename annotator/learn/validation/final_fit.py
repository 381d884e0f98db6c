"""Fitting the model kinds of a release in parallel, with the same results as one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.learn.release.fitting import fit_kind
from annotator.learn.running.parallel import DASK, run_all
from annotator.logs import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from annotator.learn.models.kind import KindModel
    from annotator.learn.release.fitting import KindsToFit
    from annotator.learn.running.parallel import Parallelism


def kinds_on(
    parallel: Parallelism,
) -> Callable[[KindsToFit, Sequence[int]], list[tuple[str, KindModel]]]:
    """Return the function that :func:`~annotator.learn.release.fitting.fit_field_model` needs.

    Parameters
    ----------
    parallel
        The processes that the kinds are fitted on. Those of this machine share the inputs; the
        workers of a cluster make the inputs themselves, from profiles that they read.
    """

    def fit(given: KindsToFit, places: Sequence[int]) -> list[tuple[str, KindModel]]:
        if parallel.backend == DASK:
            given = replace(given, part=None)
        return run_all(fit_kind, given, places, parallel, silent)

    return fit
