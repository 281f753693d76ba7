"""Compressed bodies, decompressed so that one that ends too early is seen.

A body without a length, or in chunks, can end anywhere without an error of the connection; the
decoders of the network library take what has come until then for the whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_BEGINS = b"\x1f"
KNOWN = frozenset({"gzip", "x-gzip", "deflate"})
"""What is decompressed here: all that a request says it takes."""


class Inflation:
    """One body of an encoding of KNOWN, fed piece by piece."""

    def __init__(self, encoding: str) -> None:
        self._is_gzip = encoding != "deflate"
        self._stream = zlib.decompressobj(_GZIP if self._is_gzip else zlib.MAX_WBITS)
        self._has_begun = False
        self._is_over = False

    def feed(self, data: bytes, size: int = 0) -> Iterator[bytes]:
        """What the piece holds, in parts of at most `size` bytes (0 = at once).

        Raises zlib.error for what is not compressed that way.
        """
        while data and not self._is_over:
            if not self._has_begun and not self._is_gzip:
                self._stream = _deflated(data)
            self._has_begun = True
            found = self._stream.decompress(data, size)
            if found:
                yield found
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data = self._stream.unused_data.lstrip(b"\0")  # servers pad
                # Several members are one body; what is none is ignored, as everywhere.
                self._is_over = bool(data) and not (self._is_gzip and data.startswith(_GZIP_BEGINS))
                if data and not self._is_over:
                    self._stream = zlib.decompressobj(_GZIP)

    def end(self) -> None:
        """Raises EOFError when the body ended before its compression did. An empty one is whole:
        answers without a body carry the header too."""
        if self._has_begun and not self._stream.eof:
            raise EOFError


def _deflated(data: bytes) -> zlib._Decompress:
    """The stream for `deflate`: with a header as the standard has it, or without."""
    try:
        zlib.decompressobj().decompress(data[:2], 1)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS)
    return zlib.decompressobj()
