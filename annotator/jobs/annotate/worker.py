"""Names of workers."""

from __future__ import annotations

import os
import socket
import uuid


def worker_name() -> str:
    """Return a unique name that includes the host and the process ID."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
