"""Keeping memory that was freed for the next batch, where the C library can."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # of mallopt, glibc's malloc.h
KEPT = 256 * 1024**2
PAD = 64 * 1024**2


def keep_freed_memory() -> None:
    """Tell glibc to use freed memory again instead of giving it back to the system.

    A batch makes arrays of some megabytes again and again; mapping their pages anew took a
    fifth of the processor time of a pass. Other C libraries have no such switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, size in ((TRIM_THRESHOLD, KEPT), (MMAP_THRESHOLD, KEPT), (TOP_PAD, PAD)):
            mallopt(option, size)
