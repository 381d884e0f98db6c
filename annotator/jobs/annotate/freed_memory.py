"""Keep freed memory for the next batch, where the C library supports it."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # of mallopt, glibc's malloc.h
KEPT = 256 * 1024**2
PAD = 64 * 1024**2


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed memory instead of returning it to the system.

    Every batch allocates arrays of several megabytes; otherwise the system would map their
    pages again each time. Other C libraries have no such switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, size in ((TRIM_THRESHOLD, KEPT), (MMAP_THRESHOLD, KEPT), (TOP_PAD, PAD)):
            mallopt(option, size)
