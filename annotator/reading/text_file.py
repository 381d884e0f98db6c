"""Read text files, plain or gzip, as blocks of whole lines in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.errors import InputError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 1 << 26
GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive (or a spreadsheet)",
    b"\xfd7zXZ\x00": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_DELIMITERS = {",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}


class _Source:
    """The uncompressed bytes of a file; every failure to read is an InputError."""

    def __init__(self, path: Path, stream: io.BufferedIOBase) -> None:
        self.path, self.stream, self.lines = path, stream, 0
        self._failure: InputError | None = None

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, or fewer at the end of the file or before damage."""
        if self._failure is not None:
            raise self._failure
        parts: list[bytes] = []
        missing = size
        try:
            # Small steps, so that nothing before the damage is lost and its line is known.
            while missing and (data := self.stream.read1(missing)):
                parts.append(data)
                missing -= len(data)
                self.lines += data.count(b"\n")
        except EOFError:
            self._failure = self._damage("the gzip data end too early; the file is truncated")
        except (zlib.error, gzip.BadGzipFile) as error:
            self._failure = self._damage(f"the gzip data are damaged ({error})")
        except OSError as error:
            self._failure = _unreadable(self.path, error)
        if self._failure is not None and not parts:
            raise self._failure
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end, which verifies the checksums of a gzip file."""
        while self.read(BLOCK_BYTES):
            pass

    def _damage(self, message: str) -> InputError:
        return InputError(
            f"{message}; copy or create the file again", source=str(self.path), line=self.lines + 1
        )


@contextmanager
def open_blocks(path: Path) -> Iterator[Iterator[tuple[int, bytes]]]:
    r"""Open a text file, plain or gzip, and yield its blocks of whole lines.

    The format is detected from the first bytes of the file, not from its name. A byte
    order mark is removed, and Windows line endings become ``\n``.

    Yields
    ------
    Iterator of (int, bytes)
        The number of the block's first line, counted from 1, and the block,
        which ends with ``\n``.

    Raises
    ------
    InputError
        The file cannot be read, is not text, or its gzip data are damaged. If the body
        of the ``with`` block raises an InputError, the rest of the file is read, too,
        because damaged gzip data often appear as wrong content first; the damage is
        then reported instead.
    """
    try:
        raw = path.open("rb")
    except (OSError, ValueError) as error:  # a path with a NUL byte is a ValueError
        raise _unreadable(path, error) from error
    with raw:
        try:
            is_gzip = raw.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
        except OSError as error:  # such as a failing disk
            raise _unreadable(path, error) from error
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        source = _Source(path, stream)
        try:
            yield _blocks(source, named_gzip=path.suffix == ".gz" and not is_gzip)
        except InputError:
            if is_gzip:
                source.drain()
            raise


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"cannot be read: {reason}", source=str(path))


def _blocks(source: _Source, *, named_gzip: bool) -> Iterator[tuple[int, bytes]]:
    data = source.read(BLOCK_BYTES)
    _check_format(source.path, data, named_gzip=named_gzip)
    data = data.removeprefix(_BYTE_ORDER_MARK)
    first_line, parts, waiting = 1, [], 0
    while data:
        cut = data.rfind(b"\n") + 1
        parts.append(data[:cut] if cut else data)
        waiting += len(parts[-1])
        if cut:
            block = b"".join(parts)
            yield first_line, _clean(block, source.path, first_line)
            first_line += block.count(b"\n")
            parts, waiting = [data[cut:]], len(data) - cut
        elif waiting > LONGEST_LINE_BYTES:
            raise InputError(
                f"the line is longer than {LONGEST_LINE_BYTES >> 20} MiB; is this a text file?",
                source=str(source.path),
                line=first_line,
            )
        data = source.read(BLOCK_BYTES)
    if waiting:
        yield first_line, _clean(b"".join(parts) + b"\n", source.path, first_line)


def _check_format(path: Path, start: bytes, *, named_gzip: bool) -> None:
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise InputError(
                f"this is {name}; text in UTF-8 is needed, plain or gzip", source=str(path)
            )
    if named_gzip and (b"\0" in start or not _is_utf8(start[:4096])):
        raise InputError(
            "named .gz, but neither gzip nor text; copy or create the file again", source=str(path)
        )


def _is_utf8(data: bytes) -> bool:
    try:
        data[: data.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError:
        return False
    return True


def _clean(block: bytes, path: Path, first_line: int) -> bytes:
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    for byte, what in (
        (b"\0", "a NUL byte; this is not text, or the file is damaged"),
        (b"\r", "a carriage return inside a line; save the file with Unix or Windows line endings"),
    ):
        position = block.find(byte)
        if position >= 0:
            line_start = block.rfind(b"\n", 0, position) + 1
            raise InputError(
                what,
                source=str(path),
                line=first_line + block.count(b"\n", 0, position),
                column=1 + block.count(b"\t", line_start, position),
            )
    return block


def decode(data: bytes, path: Path, line: int, column: int = 1) -> str:
    """Decode UTF-8 that starts in the given line and column.

    Raises
    ------
    InputError
        The bytes are not UTF-8; the message names the column.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8",
            source=str(path),
            line=line,
            column=column + data.count(b"\t", 0, error.start),
        ) from error


def read_header(line: bytes, path: Path) -> tuple[str, ...]:
    """Split the first line of a table into the names of its columns.

    Raises
    ------
    InputError
        The line is empty, not UTF-8, or seems to use another delimiter.
    """
    text = decode(line, path, 1)
    if not text.strip():
        raise InputError(
            "the first line is empty; it must name the columns", source=str(path), line=1
        )
    names = tuple(name.strip() for name in text.split("\t"))
    if len(names) == 1:
        found = max(_DELIMITERS, key=names[0].count)
        hint = (
            f"it seems to be separated by {_DELIMITERS[found]}; separate the columns by tabs"
            if found in names[0]
            else "columns are separated by tabs"
        )
        raise InputError(f"the first line has only one column; {hint}", source=str(path), line=1)
    return names


def quoted_hint(names: tuple[str, ...]) -> str:
    """Return a hint for a header that a program has put in quotation marks."""
    return "; write the file without quotation marks" if names[0].startswith(('"', "'")) else ""


def is_text(path: Path) -> bool:
    """Return whether a file is text, plain or gzip, as far as its first bytes show.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4096)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return start.startswith(GZIP_MAGIC) or b"\0" not in start
