"""Content codings of HTTP, undone piece by piece. Owns: gzip, deflate, br. Must not know connections or bounds of runs.

Whoever reads a piece gets at most a bounded part of what it unpacks to, so that a bomb costs no more than that.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import brotli

# Asked for in every request.
ACCEPTED = "gzip, deflate, br"
MAX_CODINGS = 5
PIECE_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_NONE = frozenset({"", "identity", "none", "utf-8", "binary"})


class CodingError(Exception):
    """The body isn't what its Content-Encoding says, or it says what nobody knows."""


class Decoder(Protocol):
    """Undoes one coding."""

    @property
    def whole(self) -> bool:
        """Whether the end has come, or nothing at all."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of at most PIECE_BYTES. Raises CodingError."""


def decoders_of(header: str) -> list[Decoder]:
    """What undoes the codings of a Content-Encoding header, the last one first. Raises CodingError."""
    names = [name.strip().lower() for name in header.split(",")]
    codings = [name for name in reversed(names) if name not in _NONE]
    if len(codings) > MAX_CODINGS:
        raise CodingError(f"the body is packed {len(codings)} times")
    unknown = next((name for name in codings if name not in _DECODERS), None)
    if unknown is not None:
        raise CodingError(f"the content coding {unknown[:40]!r} is not known")
    return [_DECODERS[name]() for name in codings]


def unpacked(decoders: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    """What `data` unpacks to by all of them, piece by piece. Raises CodingError."""
    if len(decoders) == 1:
        return decoders[0].feed(data)
    return _unpacked(decoders, data)


def _unpacked(decoders: Sequence[Decoder], data: bytes) -> Iterator[bytes]:
    if not decoders:
        yield data
        return
    for piece in decoders[0].feed(data):
        yield from _unpacked(decoders[1:], piece)


class _Gzip:
    """Members one behind the other are one body; bytes behind the last count for nothing, as in browsers."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._begun = self._over = self._further = False
        self._start = b""

    @property
    def whole(self) -> bool:
        return not self._begun

    def feed(self, data: bytes) -> Iterator[bytes]:
        data, self._start = self._start + data, b""
        while data and not self._over:
            if not self._begun and not self._begin(data):
                return
            yield from _inflated(self._inner, data, "gzip")
            if not self._inner.eof:
                return
            data = self._inner.unused_data
            self._inner, self._begun, self._further = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), False, True

    def _begin(self, data: bytes) -> bool:
        """Whether a member begins; what is there may be too short to tell."""
        if len(data) < len(_GZIP_MAGIC):
            self._start = data
            return False
        self._over = self._further and not data.startswith(_GZIP_MAGIC)
        self._begun = not self._over
        return self._begun


class _Deflate:
    """With zlib's frame, as it should be, or without, as some servers send it."""

    def __init__(self) -> None:
        self._inner: zlib._Decompress | None = None
        self._start = b""

    @property
    def whole(self) -> bool:
        return self._inner.eof if self._inner is not None else not self._start

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data, self._start = self._start + data, b""
            if len(data) < 2:
                self._start = data
                return
            framed = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = zlib.decompressobj(wbits=zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
        if not self._inner.eof:
            yield from _inflated(self._inner, data, "deflate")


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._begun = False

    @property
    def whole(self) -> bool:
        return not self._begun or bool(self._inner.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = True
        try:
            while not self._inner.is_finished():
                piece = self._inner.process(data, output_buffer_limit=PIECE_BYTES)
                data = b""
                if piece:
                    yield piece
                elif self._inner.can_accept_more_data():
                    return
        except brotli.error as error:
            raise CodingError(f"the body is not what Content-Encoding: br says: {error}") from error


def _inflated(inner: "zlib._Decompress", data: bytes, name: str) -> Iterator[bytes]:
    try:
        while data and not inner.eof:
            piece = inner.decompress(data, PIECE_BYTES)
            data = inner.unconsumed_tail
            if piece:
                yield piece
    except zlib.error as error:
        raise CodingError(f"the body is not what Content-Encoding: {name} says: {error}") from error


_DECODERS: dict[str, type[_Gzip] | type[_Deflate] | type[_Brotli]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "x-deflate": _Deflate,
    "br": _Brotli,
}
