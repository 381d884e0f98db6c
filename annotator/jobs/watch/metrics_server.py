"""The HTTP server of the metrics, which no number of connections can overload."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
"""Connections that may be open; further ones are closed at once."""

SILENT_SECONDS = 5
"""Seconds without a byte after which a connection is closed."""

CONNECTION_SECONDS = 60
"""Seconds after which a connection is closed in any case."""


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    def log_message(self, *_arguments: Any) -> None:
        """Log no requests."""


class MetricsServer(ThreadingWSGIServer):
    """Serves metrics from a thread per connection.

    Parameters
    ----------
    host, port
        Name or address, and port, to listen on.
    registry
        The metrics.

    Raises
    ------
    OSError
        The address cannot be used.
    """

    request_queue_size = MOST_CONNECTIONS

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self._opened_at: dict[Any, float] = {}
        self._lock = threading.Lock()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, *_, address = found[0]
        super().__init__((str(address[0]), port), _Handler)
        self.set_app(make_wsgi_app(registry))

    def verify_request(self, request: Any, _address: Any) -> bool:
        """Refuse a connection if too many are open."""
        with self._lock:
            if len(self._opened_at) >= MOST_CONNECTIONS:
                return False
            self._opened_at[request] = time.monotonic()
            return True

    def service_actions(self) -> None:
        """End connections that are kept open by a byte now and then; called twice a second."""
        with self._lock:
            for connection, opened_at in self._opened_at.items():
                if time.monotonic() - opened_at > CONNECTION_SECONDS:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)  # its thread reads the end

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._opened_at.pop(request, None)
            super().shutdown_request(request)

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Ignore clients that are silent or go away."""
        logger.debug("a connection to the metrics port failed", exc_info=True)
