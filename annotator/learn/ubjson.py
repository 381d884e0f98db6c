"""Reading and writing UBJSON, as far as XGBoost uses it (https://ubjson.org, draft 12).

Objects, counted arrays, numbers and texts; a typed array is a NumPy array.
Nothing is believed: every length is held against the bytes that are left.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

DEEPEST = 16
_DTYPES: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_MARKERS = {dtype: marker for marker, dtype in _DTYPES.items()}
_INTEGERS = b"iUIlL"


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.content):
            raise ValueError(f"{count} bytes are missing at byte {self.position}")
        taken = self.content[self.position : end]
        self.position = end
        return taken

    def number(self, marker: bytes) -> int | float:
        dtype = _DTYPES[marker]
        value: int | float = np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        return value

    def length(self) -> int:
        marker = self.take(1)
        if marker not in _DTYPES or marker not in _INTEGERS:
            raise ValueError(f"no length at byte {self.position}")
        length = int(self.number(marker))
        if not 0 <= length <= len(self.content):
            raise ValueError(f"impossible length {length} at byte {self.position}")
        return length

    def text(self) -> str:
        return self.take(self.length()).decode()

    def array(self, depth: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            kind = self.take(1)
            if kind not in _DTYPES or self.take(1) != b"#":
                raise ValueError(f"unknown array at byte {self.position}")
            dtype = _DTYPES[kind]
            values = np.frombuffer(self.take(self.length() * dtype.itemsize), dtype)
            return values.astype(dtype.newbyteorder("="))
        if marker != b"#":
            raise ValueError(f"unknown array at byte {self.position}")
        return [self.value(depth + 1) for _ in range(self.length())]

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.content[self.position : self.position + 1] != b"}":
            key = self.text()
            if key in found:
                raise ValueError(f"{key!r} stands twice")
            found[key] = self.value(depth + 1)
        self.take(1)
        return found

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        marker = self.take(1)
        if marker == b"{":
            return self.object(depth)
        if marker == b"[":
            return self.array(depth)
        if marker == b"S":
            return self.text()
        if marker in _DTYPES:
            return self.number(marker)
        raise ValueError(f"unknown marker {marker!r} at byte {self.position}")


def read_ubjson(content: bytes) -> Any:
    """Read one value.

    Raises
    ------
    ValueError
        The bytes are something else, or there are too few or too many.
    """
    reader = _Reader(content)
    value = reader.value(0)
    if reader.position != len(content):
        raise ValueError(f"{len(content) - reader.position} bytes too many")
    return value


def _length(count: int) -> bytes:
    return b"L" + struct.pack(">q", count)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def write_ubjson(value: Any) -> bytes:
    """Write objects, lists, arrays, texts and integers as XGBoost writes them."""
    if isinstance(value, dict):
        items = [_text(key) + write_ubjson(each) for key, each in value.items()]
        return b"{" + b"".join(items) + b"}"
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder(">")
        return b"[$" + _MARKERS[dtype] + b"#" + _length(len(value)) + value.astype(dtype).tobytes()
    if isinstance(value, list):
        return b"[#" + _length(len(value)) + b"".join(write_ubjson(each) for each in value)
    if isinstance(value, str):
        return b"S" + _text(value)
    return b"l" + struct.pack(">i", value)
