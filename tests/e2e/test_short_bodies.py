"""Origins that announce more than they send: few tries without progress, and nobody takes it for whole."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Asked, Generated, Origin, Resource
from scripted import Scripted

KB = 1000
BODY = Generated(1000 * KB, seed=61)
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
# Patient in everything else, so that only the lack of progress can be what ends it.
PATIENT = {"fetch": {"pause": 0.01, "max_pause": 0.01, "tries": 1000}}

MakeProxy = Callable[..., Proxy]


def ends_at(limit: int, step: int, *, ranges: bool = True) -> Callable[[Asked], Resource]:
    """An origin whose body has a hole at `limit`, and that sends no more than `step` bytes at once."""

    def answer(asked: Asked) -> Resource:
        resource = Resource(BODY, ranges=ranges, **FRESH)  # type: ignore[arg-type]
        start, _stop = resource.span(asked) or (0, 0)
        resource.break_at = min(start + step, limit)
        return resource

    return answer


@pytest.mark.parametrize("wanted", [None, "bytes=100000-", "bytes=100000-999999"])
@pytest.mark.parametrize("step", [10_000 * KB, 300 * KB], ids=["at-once", "in-steps"])
def test_a_body_that_is_always_short_is_given_up_soon(
    origin: Origin, make_proxy: MakeProxy, step: int, wanted: str | None
) -> None:
    limit = 900 * KB
    origin.put("/a", handler=ends_at(limit, step))
    proxy = make_proxy(config=PATIENT)
    client = proxy.download(origin.url("/a"), [("Range", wanted)] if wanted else (), expected=BODY).run()
    assert not client.complete
    assert client.received == limit - (100 * KB if wanted else 0)
    starts = [int((asked.get("Range") or "bytes=0-")[6:].partition("-")[0]) for asked in origin.asked("/a")]
    assert starts.count(limit) <= 3
    assert len(starts) <= 7
    assert "hit" not in (proxy.get(origin.url("/a")).get("Cache-Status") or "")


def test_a_body_without_validator_that_breaks_off_in_the_same_place(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    origin.put("/a", BODY, cache_control="max-age=3600", break_at=0)
    assert not make_proxy(config=PATIENT).download(origin.url("/a")).run().complete
    assert origin.count("/a") == 3


def test_tries_that_get_further_go_on(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", handler=ends_at(BODY.size, 100 * KB))
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 2}})
    client = proxy.download(origin.url("/a"), expected=BODY).run()
    assert (client.complete, client.correct) == (True, True)
    assert origin.count("/a") == 10


def test_tries_that_hardly_get_further_are_counted(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", handler=ends_at(BODY.size, 10))
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 5}})
    assert not proxy.download(origin.url("/a")).run().complete
    assert origin.count("/a") == 5


# A length that is known otherwise than by the framing.

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
