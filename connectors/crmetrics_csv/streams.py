"""Bytes of a file: read in blocks, checksummed on the way, unpacked and decoded to UTF-8."""

from __future__ import annotations

import codecs
import io
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from crmetrics.plugin import SourceError
from crmetrics_csv.files import DataFile

try:
    from isal.isal_zlib import crc32
except ImportError:  # no wheel for this machine: the same checksum, six times as slow
    from zlib import crc32

BLOCK = 1 << 20
"""Bytes per block; larger blocks leave the processor's cache and are slower."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16 LE, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Checksum:
    """CRC-32 of the bytes that passed.

    It only tells a file that was touched from one that was edited to the same size; a cryptographic
    hash would take a third of the time of the whole load, and that of zlib a twentieth.
    """

    def __init__(self) -> None:
        self._value = 0

    def update(self, block: bytes) -> None:
        self._value = crc32(block, self._value)

    @property
    def text(self) -> str:
        return f"crc32:{self._value:08x}"


def checksum_of(path: Path) -> str:
    """The checksum of a whole file."""
    checksum = Checksum()
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            checksum.update(block)
    return checksum.text


class _CountedFile(io.RawIOBase):
    """The raw bytes of a file, checksummed as they are read."""

    def __init__(self, path: Path, checksum: Checksum) -> None:
        self._stream: IO[bytes] = path.open("rb", buffering=0)
        self._checksum = checksum

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        self._checksum.update(block)
        return block

    def close(self) -> None:
        self._stream.close()
        super().close()


class BlockStream(io.RawIOBase):
    """A readable file over blocks of bytes, for Arrow and for TextIOWrapper."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, at least half of that before the end: Arrow parses what one read
        gives, and a long record needs a long read."""
        pieces = [self._rest] if self._rest else []
        length = len(self._rest)
        while length * 2 < size or not pieces:
            block = next(filter(None, self._blocks), b"")
            if not block:
                break
            pieces.append(block)
            length += len(block)
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._rest = b""
        if 0 <= size < length:
            joined, self._rest = joined[:size], joined[size:]
        return joined

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        block = self.read(len(target))
        target[: len(block)] = block
        return len(block)


def raw_blocks(file: DataFile, checksum: Checksum | None = None) -> Generator[bytes, None, None]:
    """The unpacked bytes of a file in blocks; `checksum` sees every byte of the packed file.

    Raises SourceError when the file cannot be opened or its compression is broken.
    """
    counted = None
    try:
        counted = _CountedFile(file.path, checksum or Checksum())
        if file.compression is None:
            while block := counted.read(BLOCK):
                yield block
        else:
            yield from _unpacked(counted, file.compression)
    except OSError as exc:
        raise SourceError(f"{file.part}: {_trouble(exc, file)}") from exc
    finally:
        if counted is not None:
            counted.close()


def _unpacked(stream: _CountedFile, codec: Any) -> Iterator[bytes]:
    import pyarrow as pa

    packed: Any = pa.PythonFile(stream, "r")
    unpacked: Any = pa.CompressedInputStream(packed, codec)
    while block := unpacked.read(BLOCK):
        yield block
    # What may lie behind the packed data counts for the checksum.
    while stream.read(BLOCK):
        pass


def _trouble(exc: OSError, file: DataFile) -> str:
    if exc.errno is not None:
        return f"cannot be read: {exc.strerror}."
    return (
        f"is no whole {file.compression} file ({exc}). Copy it again, or drop the extension if "
        "it is not compressed."
    )


# --- encoding ---------------------------------------------------------------------------------


def encoding_of(start: bytes, option: str | None) -> tuple[str, int]:
    """(codec, length of the byte order mark) of a file that begins with these bytes.

    A byte order mark is stronger than the option: it cannot be data.
    """
    for mark, codec in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return codec, len(mark)
    return codecs.lookup(option or "utf-8").name, 0


def utf8_blocks(
    file: DataFile, option: str | None, checksum: Checksum | None = None
) -> Iterator[bytes]:
    """The text of a file as UTF-8 blocks without byte order mark.

    A UTF-8 file passes unchecked: Arrow checks the columns that are read, the others do not matter.
    Raises SourceError with offset and line for bytes that do not fit another encoding.
    """
    blocks = raw_blocks(file, checksum)
    first = next(blocks, b"")
    codec, mark = encoding_of(first, option)
    first = first[mark:]
    if codec == "utf-8":
        yield first
        yield from blocks
        return
    yield from _transcoded(file, codec, mark, chain([first], blocks))


def _transcoded(
    file: DataFile, codec: str, offset: int, blocks: Iterable[bytes]
) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    line = 1
    for block, is_last in _with_end(blocks):
        # What the decoder kept of the last block belongs to the place of an error.
        kept = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=is_last)
        except UnicodeDecodeError as exc:
            line += exc.object[: exc.start].decode(codec, "replace").count("\n")
            raise wrong_encoding(file, codec, exc, offset - kept + exc.start, line) from exc
        line += text.count("\n")
        offset += len(block)
        if text:
            yield text.encode()


def _with_end(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    yield from ((block, False) for block in blocks)
    yield b"", True


def check_utf8(file: DataFile) -> None:
    """Raise SourceError at the first byte of a file that is no UTF-8."""
    for _ in _transcoded(file, "utf-8", 0, raw_blocks(file)):
        pass


def wrong_encoding(
    file: DataFile, codec: str, exc: UnicodeDecodeError, offset: int, line: int
) -> SourceError:
    found = exc.object[exc.start : exc.start + 1].hex()
    return SourceError(
        f"{file.part}:{line}: expected {codec} text, found byte 0x{found or '?'} at offset "
        f"{offset} ({exc.reason}). Set `encoding:` to what the file is written in, such as "
        "`encoding: cp1252`."
    )
