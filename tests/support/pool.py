"""A connection pool in front of a server: a small stand-in for PgBouncer.

It speaks as much of PostgreSQL's protocol as psycopg needs. Like PgBouncer it makes up the
process ids that clients see, opens a server connection when a client needs one and none is
free, and gives the free one that was returned last (or first, in turn) to whoever asks.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_ENCRYPTION = (80877103, 80877104)  # requests for SSL and GSS encryption
_PROTOCOL = 196608
_PATIENCE = 30  # seconds, so that a mistake in a test ends it


def _message(kind: bytes, content: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


def _read_message(stream: BinaryIO) -> tuple[bytes, bytes]:
    kind, length = struct.unpack("!cI", _read(stream, 5))
    return kind, _read(stream, length - 4)


def _read(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise ConnectionError
    return content


def _read_startup(client: socket.socket, stream: BinaryIO) -> dict[str, str]:
    while True:
        length, code = struct.unpack("!II", _read(stream, 8))
        words = _read(stream, length - 8).split(b"\0")
        if code not in _NO_ENCRYPTION:
            pairs = zip(words[::2], words[1::2], strict=False)
            return {key.decode(): value.decode() for key, value in pairs if key}
        client.sendall(b"N")


class _Server:
    """One server connection."""

    def __init__(self, path: str, given: dict[str, str]) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_PATIENCE)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")
        words = "".join(f"{key}\0{value}\0" for key, value in given.items()) + "\0"
        start = struct.pack("!I", _PROTOCOL) + words.encode()
        self.socket.sendall(struct.pack("!I", len(start) + 4) + start)
        self.greeting = b""
        while True:
            kind, content = _read_message(self.stream)
            assert kind != b"E", content
            if kind == b"Z":
                return
            if kind in (b"R", b"S"):  # authenticated; parameters
                self.greeting += _message(kind, content)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Pool:
    """A pool that listens on a local port.

    Parameters
    ----------
    server
        Connection string with the folder of a Unix socket.
    mode
        ``session`` or ``transaction``.
    in_turn
        Whether the server connection that was returned first is used next.
    most
        Largest number of server connections; a client waits for one if all are in use.
    late
        Seconds by which the end of each answer comes after its content.
    """

    def __init__(
        self, server: str, mode: str, *, in_turn: bool = False, most: int = 20, late: float = 0.0
    ) -> None:
        place: dict[str, Any] = conninfo_to_dict(server)
        self._path = f"{place['host']}/.s.PGSQL.{place['port']}"
        self._keeps = mode == "session"
        self._in_turn = in_turn
        self._late = late
        self._free: deque[_Server] = deque()
        self._slots = threading.Semaphore(most)
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """Return the URL of a database through this pool."""
        return f"postgresql://annotator@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        """Close all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):  # its thread closes it
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for server in self._free:
            server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._clients.append(client)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        held: list[_Server] = []
        with suppress(OSError, ValueError), client.makefile("rb") as stream:
            given = _read_startup(client, stream)
            first = _Server(self._path, given)
            client.sendall(first.greeting + _message(b"K", struct.pack("!II", 1, 1)))
            client.sendall(_message(b"Z", b"I"))
            first.close()
            with suppress(ConnectionError):
                while self._pass_on(client, stream, held, given):
                    if not self._keeps:
                        self._release(held)
        for server in held:  # a client's session ends with it
            server.close()
            self._slots.release()
        client.close()

    def _take(self, held: list[_Server], given: dict[str, str]) -> _Server:
        if not held:
            if not self._slots.acquire(timeout=_PATIENCE):
                raise ConnectionError
            with suppress(IndexError):
                held.append(self._free.popleft() if self._in_turn else self._free.pop())
        if not held:
            held.append(_Server(self._path, given))
        return held[0]

    def _release(self, held: list[_Server]) -> None:
        if held:
            self._free.append(held.pop())
            self._slots.release()

    def _pass_on(
        self, client: socket.socket, stream: BinaryIO, held: list[_Server], given: dict[str, str]
    ) -> bool:
        """Pass on one transaction; return whether the client goes on."""
        while True:
            kind, content = _read_message(stream)
            if kind == b"X":
                return False
            server = self._take(held, given)
            server.socket.sendall(_message(kind, content))
            if kind not in (b"Q", b"S", b"c", b"f"):
                continue
            while True:
                answer, content = _read_message(server.stream)
                if answer == b"Z":
                    time.sleep(self._late)
                client.sendall(_message(answer, content))
                if answer == b"Z" and content == b"I":
                    return True
                if answer in (b"Z", b"G"):  # within a transaction; rows are awaited
                    break


@contextmanager
def pool(server: str, mode: str, **options: Any) -> Iterator[Pool]:
    """Put a pool with the options of :class:`Pool` in front of a server for the block."""
    with closing(Pool(server, mode, **options)) as opened:
        yield opened
