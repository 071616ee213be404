"""Blocks that come again mean the same, until the table has changed; bombs are found in time."""

from __future__ import annotations

import hpack
import pytest

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode, StreamFault
from pyproxycache.front.http2.field_decoder import FieldDecoder
from pyproxycache.front.requests.ingress import SECURED

GET = [(":method", "GET"), (":scheme", "http"), (":authority", "h"), (":path", "/a")]


def decoder() -> FieldDecoder:
    return FieldDecoder(SECURED, "")


def test_a_block_that_comes_again() -> None:
    ours, theirs = decoder(), hpack.Encoder()
    first = ours.request(theirs.encode(GET), ends=True)
    block = theirs.encode(GET)
    again = ours.request(block, ends=True)
    assert again == first
    assert ours.request(block, ends=True) is again
    with_content = ours.request(block, ends=False)
    assert (with_content.is_chunked, again.is_chunked) == (True, False)


def test_a_table_that_changes() -> None:
    """The same block means another request after other fields have pushed its own out."""
    ours = decoder()
    names = b"\x82\x86\x41\x01h"  # GET, http, and the authority, which enters the table
    assert ours.request(names + b"\x44\x02/a", ends=True).head.startswith(b"GET http://h/a ")
    block = b"\x82\x86\xbf\xbe"  # by their places in the table
    for _ in range(2):
        assert ours.request(block, ends=True).head.startswith(b"GET http://h/a ")
    assert ours.request(names + b"\x44\x02/b", ends=True).head.startswith(b"GET http://h/b ")
    assert ours.request(block, ends=True).head.startswith(b"GET http://h/b ")
    with pytest.raises(ConnectionFault) as caught:
        ours.request(b"\x20" + block, ends=True)  # the table is emptied
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_what_is_malformed_is_decoded_nevertheless() -> None:
    ours, theirs = decoder(), hpack.Encoder()
    for _ in range(2):
        with pytest.raises(StreamFault):
            ours.request(theirs.encode([*GET, ("x", "a\nb")]), ends=True)
    assert ours.request(theirs.encode([*GET, ("x", "c")]), ends=True).head.endswith(b"x: c\r\n\r\n")


def test_many_different_blocks() -> None:
    ours = decoder()
    for number in range(1000):
        block = b"\x82\x86\x01\x01h\x04\x05" + b"/%04d" % number  # which change no table
        assert ours.request(block, ends=True).head.startswith(b"GET http://h/%04d " % number)


@pytest.mark.parametrize("copies", [9, 100_000])
def test_bombs(copies: int) -> None:
    ours = decoder()
    with pytest.raises(ConnectionFault) as caught:
        ours.fields(b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * copies)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM
    assert len(ours.fields(b"")) == 0
