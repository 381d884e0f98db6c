"""Which versions of the libraries made a release."""

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
"""Names of distributions whose version can change a figure."""


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries.

    They are read from the installed distributions: nothing is imported. What is
    not installed is left out.

    Returns
    -------
    dict
        ``"python"`` and distribution names to versions.
    """
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
