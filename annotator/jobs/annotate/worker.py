"""Names of workers."""

from __future__ import annotations

import os
import socket
import uuid


def worker_name() -> str:
    """Return a name that no other worker has, and that says where it runs."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
