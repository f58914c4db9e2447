"""Content codings, undone piece by piece."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scraper.content_codings import PIECE_BYTES, CodingError, decoders_of, unpacked

TEXT = b"a bright lamp, a brighter lamp " * 400


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def undone(header: str, data: bytes, size: int = 1 << 20) -> tuple[bytes, bool]:
    decoders = decoders_of(header)
    pieces = [piece for at in range(0, len(data), size) for piece in unpacked(decoders, data[at : at + size])]
    assert all(len(piece) <= max(2 * PIECE_BYTES, size) for piece in pieces)
    return b"".join(pieces), all(decoder.whole for decoder in decoders)


CASES = [
    ("gzip", gzip.compress(TEXT)),
    ("X-GZIP", gzip.compress(TEXT)),
    ("gzip", gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])),
    ("gzip", gzip.compress(TEXT) + b"\0" * 9),
    ("gzip", gzip.compress(TEXT) + b"trailing"),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", bare(TEXT)),
    ("br", brotli.compress(TEXT)),
    ("gzip, gzip", gzip.compress(gzip.compress(TEXT))),
    ("deflate,  br", brotli.compress(bare(TEXT))),
    ("identity", TEXT),
    ("", TEXT),
    ("none, gzip", gzip.compress(TEXT)),
]


@pytest.mark.parametrize(("header", "packed"), CASES)
def test_codings_are_undone_whatever_pieces_they_come_in(header: str, packed: bytes) -> None:
    for size in (1, 7, 4096, 1 << 20):
        assert undone(header, packed, size) == (TEXT, True)


@pytest.mark.parametrize(
    ("header", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare(TEXT)),
        ("br", brotli.compress(TEXT)),
    ],
)
def test_what_ends_early_is_told_from_what_is_whole(header: str, packed: bytes) -> None:
    found, whole = undone(header, packed[: len(packed) * 2 // 3])
    assert TEXT.startswith(found)
    assert not whole
    assert undone(header, b"") == (b"", True)


@pytest.mark.parametrize(
    ("header", "body"),
    [("gzip", TEXT), ("br", TEXT), ("deflate", b"\x78\x9c" + TEXT), ("zstd", TEXT), ("gzip, sdch", TEXT)],
)
def test_what_is_not_what_it_says_is_refused_by_name(header: str, body: bytes) -> None:
    with pytest.raises(CodingError, match=header.rpartition(", ")[2]):
        undone(header, body)


def test_a_body_packed_too_often_is_refused() -> None:
    with pytest.raises(CodingError, match="packed 6 times"):
        decoders_of("gzip," * 6)


@pytest.mark.parametrize(
    ("header", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)]
)
def test_a_bomb_comes_in_small_pieces(header: str, pack: Callable[[bytes], bytes]) -> None:
    pieces = unpacked(decoders_of(header), pack(b"\0" * (8 << 20)))
    # brotli may go beyond by half.
    assert all(len(next(pieces)) <= 2 * PIECE_BYTES for _ in range(20))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.sampled_from(CASES), st.integers(0, 400), st.binary(max_size=6))
def test_mutated_bodies_end_in_pieces_or_a_refusal(case: tuple[str, bytes], at: int, change: bytes) -> None:
    header, packed = case
    mutated = packed[:at] + change + packed[at + len(change) :]
    try:
        found, _ = undone(header, mutated, 50)
    except CodingError:
        return
    assert len(found) <= 2 * len(TEXT) + len(change)
