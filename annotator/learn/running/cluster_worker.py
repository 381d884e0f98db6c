"""The side of a cluster's workers: unpack a call, read the cohort, and compute.

Whatever is wrong with the worker itself is an answer, not an error of the task, so that
:mod:`annotator.learn.running.cluster` knows which worker to leave out. Profiles are read by the
worker itself (:class:`ProfilesReference`), once per host: its processes map the same files
(:func:`~annotator.learn.running.array_folders.hold_arrays`).
"""

from __future__ import annotations

import atexit
import hashlib
import io
import pickle
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.errors import AnnotatorError, NeedsPersonError, RetryableError, SettingsError
from annotator.learn.release.versions import library_versions
from annotator.learn.running.array_folders import hold_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from annotator.learn.running.array_folders import HeldArrays

ROW_BYTES = 8
"""Bytes of a sample's digest that a reference carries, to count the samples that changed."""

ABSENT = "not installed"


class WorkerRefusedError(AnnotatorError):
    """A worker cannot take part: it is of another version, or not set up."""


class ProfileSource(Protocol):
    """A way to read the profiles of a cohort that workers can use; it is pickled."""

    def read(
        self,
        sample_ids: NDArray[np.object_],
        features: NDArray[np.object_],
        kinds: NDArray[np.object_],
    ) -> csr_matrix:
        """Return the counts of these samples and features, in this order.

        Raises
        ------
        SettingsError, NeedsPersonError
            This worker is not set up to read them.
        RetryableError
            They cannot be read at present, or not any more.
        """


@dataclass(frozen=True, eq=False)
class ProfilesReference:
    """Profiles that workers read themselves, with a digest of what they must find.

    Attributes
    ----------
    source
        The way to read them.
    sample_ids, features, kinds, organism
        As in :class:`~annotator.domain.profiles.Profiles`.
    digest
        SHA-256 (hex) over the names and the counts.
    rows
        The first bytes of the digest of each sample.
    """

    source: ProfileSource
    sample_ids: NDArray[np.object_]
    features: NDArray[np.object_]
    kinds: NDArray[np.object_]
    organism: str
    digest: str
    rows: bytes


def reference_to(profiles: Profiles, source: ProfileSource) -> ProfilesReference:
    """Return the reference to profiles that a source can read."""
    digest, rows = _digests(profiles)
    return ProfilesReference(
        source,
        profiles.sample_ids,
        profiles.features,
        profiles.kinds,
        profiles.organism,
        digest,
        rows,
    )


def _digests(profiles: Profiles) -> tuple[str, bytes]:
    """Return the digest of profiles, and the first bytes of the digest of each sample."""
    counts, rows = profiles.counts, []
    names = (profiles.sample_ids, profiles.features, profiles.kinds)
    content = hashlib.sha256(repr([each.tolist() for each in names]).encode())
    for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        row = hashlib.sha256(counts.indices[start:end].astype("<i8").tobytes())
        row.update(counts.data[start:end].astype("<f4", copy=False).tobytes())
        content.update(row.digest())
        rows.append(row.digest()[:ROW_BYTES])
    return content.hexdigest(), b"".join(rows)


def packed(work: Callable[[Any, int], Any], data: Any, source: ProfileSource | None) -> bytes:
    """Serialise a function and its data; profiles are replaced by references to the source."""
    written = io.BytesIO()
    _Pickler(written, source).dump((work, data))
    return written.getvalue()


class _Pickler(pickle.Pickler):
    """A pickler that writes references in place of profiles."""

    def __init__(self, file: io.BytesIO, source: ProfileSource | None) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._source = source

    def reducer_override(self, given: Any) -> Any:
        """Replace profiles, which are read where they are needed."""
        if self._source is None or not isinstance(given, Profiles):
            return NotImplemented
        return _resolved, (reference_to(given, self._source),)


_held: tuple[str, Profiles, HeldArrays] | None = None
"""Digest, profiles and files of the last cohort, for the next task."""


def _resolved(reference: ProfilesReference) -> Profiles:
    """Return the profiles of a reference, which are read if no process of this host has them.

    Raises
    ------
    RetryableError
        They are not those that the reference was made from.
    """
    global _held
    if _held is not None and _held[0] == reference.digest:
        return _held[1]
    forget_profiles()
    held = hold_arrays(reference.digest, lambda: _checked_arrays(reference))
    arrays = held.arrays
    counts: csr_matrix = csr_matrix(
        (arrays["values"], arrays["indices"], arrays["indptr"]),
        shape=(len(reference.sample_ids), len(reference.features)),
        copy=False,
    )
    counts.has_sorted_indices = True
    counts.has_canonical_format = True
    _held = reference.digest, _profiles(reference, counts), held
    return _held[1]


@atexit.register
def forget_profiles() -> None:
    """Give up the profiles that this process has kept for the next task."""
    global _held
    if _held is not None:
        held, _held = _held[2], None
        held.release()


def _profiles(reference: ProfilesReference, counts: csr_matrix) -> Profiles:
    return Profiles(
        reference.sample_ids, reference.features, reference.kinds, counts, reference.organism
    )


def _checked_arrays(reference: ProfilesReference) -> dict[str, NDArray[Any]]:
    """Read the profiles, and return their arrays if they are the right ones."""
    counts = reference.source.read(reference.sample_ids, reference.features, reference.kinds)
    digest, rows = _digests(_profiles(reference, counts))
    if digest != reference.digest:
        found, expected = (
            np.frombuffer(each, dtype=f"V{ROW_BYTES}") for each in (rows, reference.rows)
        )
        raise changed_since(int(np.count_nonzero(found != expected)), len(expected))
    return {"values": counts.data, "indices": counts.indices, "indptr": counts.indptr}


def changed_since(changed: int, samples: int) -> RetryableError:
    """Return the error for samples that are not what they were when the cohort was read."""
    return RetryableError(
        f"a worker reads {changed} of the cohort's {samples} samples otherwise than they were read"
        " at the beginning: an import is running, or the worker's database is another one; try"
        " again when it is done"
    )


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of one call on a worker.

    Attributes
    ----------
    result
        What the function returned.
    error
        What it raised instead; a :class:`WorkerRefusedError` if this worker cannot take part.
    """

    result: Any = None
    error: Exception | None = None


_one_at_a_time = threading.Lock()
"""TensorFlow's random state, and limits of threads, are those of the whole process."""


def expected_versions() -> dict[str, str]:
    """Return the versions that workers must have: those here, of Python only major and minor."""
    versions = library_versions()
    return {**versions, "python": ".".join(versions["python"].split(".")[:2])}


def run_task(call: bytes, number: int, versions: Mapping[str, str]) -> Outcome:
    """Run one call of :func:`annotator.learn.running.parallel.run_all` in this worker.

    Parameters
    ----------
    call
        The result of :func:`packed`.
    number
        The number to call the function with.
    versions
        The versions of Python and the libraries that the results depend on.
    """
    with _one_at_a_time:
        try:
            work, data = _unpacked(call, versions)
            return Outcome(work(data, number))
        except Exception as error:  # noqa: BLE001 - raised again where the run was started
            return Outcome(error=_portable(error))


def _unpacked(call: bytes, versions: Mapping[str, str]) -> tuple[Callable[[Any, int], Any], Any]:
    """Return the function and the data of a call.

    Raises
    ------
    WorkerRefusedError
        This worker is of another version, or cannot read the cohort.
    """
    own = expected_versions()
    for name in sorted(own.keys() | versions.keys()):
        here, wanted = own.get(name, ABSENT), versions.get(name, ABSENT)
        if here != wanted:
            raise WorkerRefusedError(f"{name} is {here} there and {wanted} here")
    try:
        function, data = pickle.loads(call)  # noqa: S301 - a scheduler's clients are trusted
    except (SettingsError, NeedsPersonError) as error:
        raise WorkerRefusedError(str(error)) from error
    return function, data


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with the traceback unless a person is told all by it."""
    if not isinstance(error, AnnotatorError):
        error.add_note(f"On the worker:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - written here
    except Exception:  # noqa: BLE001 - of any class
        return RuntimeError(f"{type(error).__name__}: {error}")
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
