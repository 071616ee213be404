"""A body whose length is known otherwise than by its framing: short of it, no client takes it for whole."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from harness import Proxy
from scripted import Scripted

MakeProxy = Callable[..., Proxy]

LENGTH = 3_000_000
SENT = 2_000_000
KEPT, PASSED = "max-age=3600", "no-store"


def part(cache_control: str, framing: str, sent: int) -> Callable[[socket.socket], None]:
    """A 206 of LENGTH bytes by its Content-Range, of which so many come."""
    head = (
        f"HTTP/1.1 206 Partial Content\r\nCache-Control: {cache_control}\r\n"
        f"Content-Range: bytes 0-{LENGTH - 1}/{LENGTH * 2}\r\n"
    )

    def answer(connection: socket.socket) -> None:
        if framing == "chunked":
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (sent, bytes(sent))
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + body)
        else:
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + bytes(sent))

    return answer


@pytest.mark.parametrize("framing", ["close", "chunked"])
@pytest.mark.parametrize(
    ("cache_control", "max_object"),
    [
        pytest.param(KEPT, None, id="stored"),
        pytest.param(KEPT, "1M", id="grows-too-large"),
        pytest.param(PASSED, None, id="passed-on"),
    ],
)
@pytest.mark.parametrize("sent", [SENT, LENGTH - 1, LENGTH, LENGTH + 1], ids=str)
def test_only_all_of_a_part_is_a_whole_answer(
    make_proxy: MakeProxy, cache_control: str, max_object: str | None, framing: str, sent: int
) -> None:
    proxy = make_proxy(config={"store": {"max_object": max_object}, "fetch": {"tries": 1}})
    with Scripted([part(cache_control, framing, sent)]) as origin:
        reply = proxy.get(str(origin.url()), [("Range", f"bytes=0-{LENGTH - 1}")])
    assert reply.status == 206
    if sent == LENGTH:
        assert reply.complete
        assert reply.body == bytes(LENGTH)
    elif sent < LENGTH:
        assert not reply.complete
    else:
        # What is beyond it is not the part's: cut off, or the whole refused.
        assert not reply.complete or reply.body == bytes(LENGTH)
