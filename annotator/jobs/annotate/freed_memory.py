"""Keep freed memory for the next batch, where the C library supports it."""

from __future__ import annotations

import ctypes

# Of mallopt, glibc's malloc.h.
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
KEPT = 256 * 1024**2
PAD = 64 * 1024**2


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory instead of returning it to the system.

    Every batch allocates arrays of several megabytes; otherwise the system would map their
    pages again each time. All threads share one arena, if this is called before there are
    several: a daemon runs its batches in changing threads, each of which would keep memory of
    its own. Other C libraries have no such switches.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, size in (
            *((TRIM_THRESHOLD, KEPT), (MMAP_THRESHOLD, KEPT), (TOP_PAD, PAD)),
            (ARENA_MAX, 1),
        ):
            mallopt(option, size)
