"""Rows by name: the samples of each dataset, for example."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def rows_by(names: NDArray[np.object_]) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each distinct name, in one pass however many names there are.

    Parameters
    ----------
    names
        One name per row, ``(rows,)``, dtype object (str).

    Returns
    -------
    dict
        Names ascending, each with its rows ascending, int64.

    Examples
    --------
    >>> import numpy as np
    >>> rows_by(np.array(["b", "a", "b"], dtype=object))
    {'a': array([1]), 'b': array([0, 2])}
    """
    import numpy as np

    if len(names) == 0:
        return {}
    distinct, index = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(index, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(index))[:-1])
    return dict(zip(distinct.tolist(), rows, strict=True))
