"""Clients that ask for a cold object in pieces: the origin sends each byte about once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Proxy
from origin import Generated, Origin
from segmented import CLIENTS, missing

MB = 1_000_000
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]
Starts = list[int]


def starts(origin: Origin) -> Starts:
    """Where the requests began, in their order."""
    return [int((asked.get("Range") or "bytes=0-")[6:].partition("-")[0]) for asked in origin.asked("/a")]


def span(first: int, stop: int | None) -> list[tuple[str, str]]:
    return [("Range", f"bytes={first}-{'' if stop is None else stop - 1}")]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_origin_sends_an_object_once(
    origin: Origin, make_proxy: MakeProxy, client: str, tmp_path: Path
) -> None:
    if missing(client):
        pytest.skip(f"{client} is not installed")
    body = Generated(24 * MB, seed=71)
    origin.put("/a", body, rate=12 * MB, head_delay=0.01, **FRESH)
    proxy = make_proxy(workers=2)
    assert CLIENTS[client](origin.url("/a"), proxy.url, tmp_path) == body.sha256()
    origin.wait_idle()
    assert (
        origin.delivered <= 1.2 * body.size
    )  # what is on its way when a download stops, on a busy machine
    origin.forget()
    assert proxy.download(origin.url("/a"), expected=body).run().correct
    assert origin.requests == []


def test_an_open_range_that_was_left_is_cut_and_gone_on_with(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(20 * MB, seed=72)
    origin.put("/a", body, rate=5 * MB, **FRESH)
    proxy = make_proxy(workers=2)
    seeker = proxy.download(origin.url("/a"), span(2 * MB, None), expected=body).begun(100_000)
    seeker.close()
    origin.wait_idle()
    assert origin.delivered < 10 * MB
    rest = proxy.download(origin.url("/a"), span(2 * MB, None), expected=body).run()
    assert (rest.complete, rest.correct) == (True, True)
    assert 2 * MB + 100_000 <= starts(origin)[1] <= 12 * MB
    assert origin.delivered < 19 * MB


def test_a_part_goes_on_while_anyone_reads_it(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(20 * MB, seed=73)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=8 * MB)
    proxy = make_proxy(workers=2)
    clients = [proxy.download(origin.url("/a"), span(2 * MB, None), expected=body) for _ in range(6)]
    for client in clients:
        client.begun(MB)
    for client in clients[:5]:  # whoever of them leads, in whichever worker
        client.close()
    gate.open()
    assert clients[5].run().correct
    assert origin.count("/a") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_ranges_that_overlap_are_one_download_where_they_meet(
    origin: Origin, make_proxy: MakeProxy, workers: int
) -> None:
    body = Generated(40 * MB, seed=74)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy(workers=workers)
    first = proxy.download(origin.url("/a"), span(0, None), expected=body).begun(MB)
    second = proxy.download(origin.url("/a"), span(20 * MB, None), expected=body).run()
    gate.open()
    assert first.run().correct
    assert second.correct
    assert starts(origin) == [0, 20 * MB]
    assert origin.delivered <= 1.2 * body.size


@pytest.mark.parametrize("workers", [1, 2])
def test_a_whole_leaves_out_what_a_range_brings(
    origin: Origin, make_proxy: MakeProxy, workers: int
) -> None:
    body = Generated(40 * MB, seed=75)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy(workers=workers)
    whole = proxy.download(origin.url("/a"), expected=body).begun(MB)
    part = proxy.download(origin.url("/a"), span(10 * MB, 30 * MB), expected=body).run()
    assert part.correct  # though the whole does not get on
    gate.open()
    assert whole.run().correct
    assert starts(origin) == [0, 10 * MB, 30 * MB]
    origin.wait_idle()
    assert origin.delivered <= 1.2 * body.size
    origin.forget()
    again = proxy.download(origin.url("/a"), expected=body).run()
    assert (again.complete, again.correct) == (True, True)
    assert origin.requests == []


def test_a_whole_with_a_digest_is_checked_although_it_is_put_together(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(20 * MB, seed=76)
    wrong = ("Repr-Digest", f"sha-256=:{'A' * 43}=:")
    origin.put("/a", body, headers=[wrong], **FRESH)
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy()
    whole = proxy.download(origin.url("/a"), expected=body).begun(MB // 2)
    assert proxy.download(origin.url("/a"), span(12 * MB, 16 * MB), expected=body).run().correct
    gate.open()
    assert not whole.run().complete


def test_a_slow_origin_is_asked_where_it_is_far(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(8 * MB, seed=77)
    origin.put("/a", body, rate=MB, **FRESH)
    proxy = make_proxy(workers=2)
    whole = proxy.download(origin.url("/a"), expected=body).begun(MB // 4)
    part = proxy.download(origin.url("/a"), span(6 * MB, 6 * MB + 1000), expected=body).run()
    assert part.correct
    assert starts(origin) == [0, 6 * MB]
    assert part.seconds < 4  # instead of 6
    whole.close()


@pytest.mark.parametrize("etag", ['W/"v1"', None])
def test_parts_that_cannot_be_put_together_are_each_asked_for(
    origin: Origin, make_proxy: MakeProxy, etag: str | None
) -> None:
    body = Generated(4 * MB, seed=78)
    origin.put("/a", body, etag=etag, cache_control="max-age=3600")
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy(workers=2)
    long = proxy.download(origin.url("/a"), span(0, 3 * MB), expected=body).begun(1000)
    short = proxy.download(origin.url("/a"), span(0, 1000), expected=body).run()
    assert (short.received, short.complete) == (1000, True)
    gate.open()
    long.run()
    assert (long.received, long.complete) == (3 * MB, True)


def test_a_range_of_something_new_beside_a_download_of_the_old(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    old, new = Generated(20 * MB, seed=79), Generated(20 * MB, seed=80)
    origin.put("/a", old, **FRESH)
    gate = origin.gate("/a", at=12 * MB)
    proxy = make_proxy(workers=2)
    behind = proxy.download(origin.url("/a"), span(11 * MB, None), expected=old).begun(MB // 2)
    origin.put("/a", new, etag='"v2"', cache_control="max-age=3600")
    gate.wait_reached()
    gate.position = new.size  # the one that is held stays held, others pass
    before = proxy.download(origin.url("/a"), span(0, 15 * MB), expected=new).run()
    assert (before.complete, before.correct) == (True, True)
    gate.open()
    assert behind.run().correct


def test_a_part_that_breaks_off_before_its_first_byte_begins_anew(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    body = Generated(4 * MB, seed=81)
    origin.put("/a", body, break_at=[MB, MB], **FRESH)
    proxy = make_proxy(workers=2, config={"fetch": {"pause": 0.01}})
    client = proxy.download(origin.url("/a"), span(MB, 3 * MB), expected=body).run()
    assert (client.received, client.complete) == (2 * MB, True)
    assert origin.count("/a") == 3
