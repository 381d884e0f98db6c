"""Importing TensorFlow without the lines that it prints while it starts.

Its native libraries print some of them to file descriptor 2 before they read any
setting, ``TF_CPP_MIN_LOG_LEVEL`` among them, and so past Python's logging: in a
log of JSON lines they would be no JSON. Only those lines are left out, and only
around the import. Numbers stay as they are: nothing that TensorFlow computes with
is set.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import sys
import tempfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
ERRORS_ONLY = "2"
STDERR = 2

_alone = threading.Lock()
"""Two threads that redirect the same descriptor would restore each other's."""

START_UP = re.compile(
    rb"""
    ^WARNING:\ All\ log\ messages\ before\ absl::InitializeLog\(\)
    | ^To\ enable\ the\ following\ instructions:           # the second line of a message
    | ^[IW]\d{4}\ \d                                       # I0000 00:00:1795931457.664496
    | ^\d{4}-\d\d-\d\d\ \d\d:\d\d:\d\d\.\d+:\ [IW]\        # 2026-11-29 05:45:33.123456: I
    | Unable\ to\ register\ cu\w+\ (?:plugin|factory)      # an error by its level only
    | failed\ call\ to\ cuInit                             # no accelerator: we need none
    """,
    re.VERBOSE,
)


def import_tensorflow() -> Any:
    """Return the module ``tensorflow``; importing it prints nothing unless it fails.

    Accelerators are looked for as well, since TensorFlow also prints what it does not
    find. Whoever sets ``TF_CPP_MIN_LOG_LEVEL`` to 0 or 1 sees everything.
    """
    wanted = os.environ.setdefault(LEVEL, ERRORS_ONLY)
    if "tensorflow" in sys.modules or wanted < ERRORS_ONLY:
        import tensorflow

        return tensorflow
    with without_start_up_lines():
        import tensorflow

        tensorflow.config.list_physical_devices()
    # A million objects that stay to the end: no later collection has to look through them.
    gc.freeze()
    return tensorflow


@contextmanager
def without_start_up_lines() -> Iterator[None]:
    """Leave TensorFlow's start-up lines out of what the block prints to file descriptor 2.

    Every other line, such as one that another thread logs meanwhile, appears when the block
    ends. If it ends with an error everything appears, and if it ends the process a traceback
    shows where.
    """
    with _alone, tempfile.TemporaryFile() as captured, os.fdopen(os.dup(STDERR), "wb") as real:
        sys.stderr.flush()
        os.dup2(captured.fileno(), STDERR)
        watches = not faulthandler.is_enabled()
        if watches:
            faulthandler.enable(real)
        failed = False
        try:
            yield
        except Exception:  # not if the process is told to stop meanwhile
            failed = True
            raise
        finally:
            if watches:
                faulthandler.disable()
            sys.stderr.flush()
            os.dup2(real.fileno(), STDERR)
            captured.seek(0)
            real.writelines(line for line in captured if failed or not START_UP.search(line))
