"""Read text files, plain or gzip, as blocks of whole lines of UTF-8 in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.text.expansion import MOST_BYTES, check_expansion, explodes

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 1 << 26
GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel; save the sheet as CSV",
    b"%PDF": "a PDF file",
    b"\xfd7zXZ\x00": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}
_R_DATA = (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"X\n\0\0\0", b"A\n2\n", b"A\n3\n")
_R_ENDINGS = (".rda", ".rdata", ".rds")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")


class _Source:
    """The uncompressed bytes of a file; every failure to read is an InputError."""

    def __init__(self, path: Path, raw: io.BufferedReader, stream: io.BufferedIOBase) -> None:
        self.path, self.stream, self.lines = path, stream, 0
        self._raw, self.expanded = raw, 0
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
                self.expanded += len(data)
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

    @property
    def packed(self) -> int:
        """Bytes of the file itself that have been read."""
        return self._raw.tell()

    def drain(self) -> None:
        """Read to the end, which verifies the checksums of a gzip file that is no bomb."""
        while not explodes(self.expanded, self.packed) and self.read(BLOCK_BYTES):
            pass

    def _damage(self, message: str) -> InputError:
        return InputError(
            f"{message}; copy or create the file again", source=str(self.path), line=self.lines + 1
        )


class Blocks:
    """Blocks of whole lines: the number of the first line of each, from 1, and its bytes.

    Attributes
    ----------
    encoding
        The encoding of the file, as far as it has been read: ``UTF-8``, ``UTF-16`` or
        ``Latin-1``. Blocks are UTF-8 in every case.
    """

    def __init__(self, source: _Source, *, named_gzip: bool) -> None:
        self._path, self._source = source.path, source
        self._has_mark = self._has_utf8 = False
        self.encoding = "UTF-8"
        self._blocks = self._read(source, named_gzip=named_gzip)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return next(self._blocks)

    def check_expansion(self, most: float = MOST_BYTES) -> None:
        """Refuse a file that has expanded too much so far, or to more bytes than ``most``."""
        check_expansion(self._path, self._source.expanded, self._source.packed, most)

    def _read(self, source: _Source, *, named_gzip: bool) -> Iterator[tuple[int, bytes]]:
        for first_line, block in _whole_lines(self._chunks(source, named_gzip), source.path):
            yield first_line, self._in_utf8(_clean(block, source.path, first_line), first_line)

    def _chunks(self, source: _Source, named_gzip: bool) -> Iterator[bytes]:
        data = source.read(BLOCK_BYTES)
        if data.startswith(_UTF_16_MARKS):
            self.encoding = "UTF-16"
            yield from _from_utf_16(data, source)
            return
        _check_format(source.path, data, named_gzip=named_gzip)
        self._has_mark = data.startswith(_BYTE_ORDER_MARK)
        data = data.removeprefix(_BYTE_ORDER_MARK)
        while data:
            yield data
            data = source.read(BLOCK_BYTES)

    def _in_utf8(self, block: bytes, first_line: int) -> bytes:
        """Return a block in UTF-8; a file is either UTF-8 or Latin-1 in all its lines."""
        if block.isascii():
            return block
        bad = _first_invalid(block)
        if bad is None and self.encoding != "Latin-1":
            self._has_utf8 = True
            return block
        if bad is None:  # by chance valid, but the lines before were Latin-1
            bad = next(place for place, byte in enumerate(block) if byte > 127)
        if self._has_mark or self._has_utf8 or self.encoding == "UTF-16" or _any_utf8_line(block):
            raise self._mixed(block, bad, first_line)
        if _CONTROLS.search(block):
            raise InputError(
                "this is not text: it has control characters and is not UTF-8",
                source=str(self._path),
            )
        self.encoding = "Latin-1"
        return block.decode("latin-1").encode()

    def _mixed(self, block: bytes, position: int, first_line: int) -> InputError:
        start = block.rfind(b"\n", 0, position) + 1
        return InputError(
            f"byte 0x{block[position]:02x} is not UTF-8, but other lines are; save the file"
            " as UTF-8",
            source=str(self._path),
            line=first_line + block.count(b"\n", 0, position),
            column=1 + block.count(b"\t", start, position) if b"\t" in block else None,
        )


def _first_invalid(block: bytes) -> int | None:
    try:
        block.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _any_utf8_line(block: bytes) -> bool:
    return any(not line.isascii() and _first_invalid(line) is None for line in block.split(b"\n"))


def _from_utf_16(data: bytes, source: _Source) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        while data:
            yield decoder.decode(data).encode()
            data = source.read(BLOCK_BYTES)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"the UTF-16 text is damaged ({error.reason}); save the file as UTF-8",
            source=str(source.path),
        ) from error


@contextmanager
def open_blocks(path: Path) -> Iterator[Blocks]:
    r"""Open a text file, plain or gzip, and yield its blocks of whole lines.

    The format is detected from the first bytes of the file, not from its name. A byte
    order mark is removed, and Windows line endings become ``\n``. UTF-16 with a byte order
    mark, and text that is not UTF-8 (read as Latin-1), are converted to UTF-8.

    Yields
    ------
    Blocks
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
        source = _Source(path, raw, stream)
        try:
            yield Blocks(source, named_gzip=path.suffix == ".gz" and not is_gzip)
        except InputError:
            if is_gzip:
                source.drain()
            raise


def whole_text(path: Path) -> str:
    """Return the text of a small file; see :func:`open_blocks`.

    Raises
    ------
    InputError
        The file cannot be read, or expands to a text that is too large.
    """
    with open_blocks(path) as blocks:
        parts = []
        for _, block in blocks:
            blocks.check_expansion()
            parts.append(block)
        return b"".join(parts).decode()


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers; see :func:`open_blocks`."""
    with open_blocks(path) as blocks:
        for first_line, block in blocks:
            yield from enumerate(block.decode().split("\n")[:-1], start=first_line)


def _unreadable(path: Path, error: OSError | ValueError) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(f"cannot be read: {reason}", source=str(path))


def _whole_lines(chunks: Iterator[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    first_line, parts, waiting = 1, [], 0
    for data in chunks:
        cut = data.rfind(b"\n") + 1
        parts.append(data[:cut] if cut else data)
        waiting += len(parts[-1])
        if cut:
            block = b"".join(parts)
            yield first_line, block
            first_line += block.count(b"\n")
            parts, waiting = [data[cut:]], len(data) - cut
        elif waiting > LONGEST_LINE_BYTES:
            raise InputError(
                f"the line is longer than {LONGEST_LINE_BYTES >> 20} MiB; is this a text file?",
                source=str(path),
                line=first_line,
            )
    if waiting:
        yield first_line, b"".join(parts) + b"\n"


def _check_format(path: Path, start: bytes, *, named_gzip: bool) -> None:
    packed = start.startswith(tuple(_OTHER_FORMATS)) and path.name.casefold().endswith(_R_ENDINGS)
    if start.startswith(_R_DATA) or packed:
        raise InputError(
            "this is a file of R; load it in R, and save the table with write.csv()",
            source=str(path),
        )
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            advice = "" if ";" in name else "; text in UTF-8 is needed, plain or gzip"
            raise InputError(f"this is {name}{advice}", source=str(path))
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


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, False if that cannot be found out."""
    try:
        return path.is_dir()
    except OSError:
        return False


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
    if start.startswith((GZIP_MAGIC, *_UTF_16_MARKS)):
        return True
    return b"\0" not in start and not start.startswith(HDF5_MAGIC)
