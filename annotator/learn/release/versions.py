"""Versions of the libraries that a release is made with."""

from __future__ import annotations

import platform
from importlib import metadata

LIBRARIES: tuple[str, ...] = (
    "srna-annotator",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "deeplift",
    "safetensors",
    "joblib",
)
"""Names of distributions whose version can change a result."""


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries.

    They are read from the metadata of the installed distributions, without importing
    them. Distributions that are not installed are left out.

    Returns
    -------
    dict
        The versions of ``"python"`` and the distributions, by name.
    """
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
