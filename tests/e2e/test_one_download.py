"""One download for any number of clients, over threads and worker processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from harness import Proxy
from load import Download
from origin import Gate, Generated, Origin
from scripted import Scripted
from waiting import until

MB = 1_000_000
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]


def downloads(proxy: Proxy, url: str, count: int, expected: Generated) -> list[Download]:
    """So many clients of one resource, started."""
    return [proxy.download(url, expected=expected).start() for _ in range(count)]


def all_right(clients: list[Download]) -> None:
    for client in clients:
        client.join()
        assert client.error is None
        assert client.complete
        assert client.correct


def test_many_clients_make_one_origin_request(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(5 * MB, seed=1)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy(workers=2, threads=64)
    clients = downloads(proxy, origin.url("/a"), 40, body)
    gate.wait_reached()
    assert all(client.is_running for client in clients)
    gate.open()
    all_right(clients)
    assert origin.count("/a") == 1


def test_what_has_come_is_not_held_back(make_proxy: MakeProxy) -> None:
    gone = threading.Event()

    def two_chunks(connection: socket.socket) -> None:
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"
        # Several chunks at once, and then nothing for as long as the client waits for the last of them.
        connection.sendall(head + b"1\r\nx\r\n" * 11)
        gone.wait(10)

    proxy = make_proxy()
    with Scripted([two_chunks]) as origin:
        client = proxy.download(str(origin.url()), timeout=5)
        client.open()
        assert client.take(11) == 11
        client.close()
        gone.set()


def test_bytes_arrive_while_the_origin_still_sends(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(2 * MB, seed=2)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy(workers=2)
    clients = [proxy.download(origin.url("/a"), expected=body) for _ in range(8)]
    for client in clients:
        client.open()
        assert client.take(MB) == MB
    gate.open()
    for client in clients:
        client.run()
    all_done = [client.correct and client.complete for client in clients]
    assert all_done == [True] * 8
    assert origin.count("/a") == 1


@pytest.mark.parametrize("leaves", ["leader", "everyone"])
def test_the_download_goes_on_when_clients_leave(
    origin: Origin, make_proxy: MakeProxy, leaves: str
) -> None:
    body = Generated(2 * MB, seed=3)
    origin.put("/a", body, **FRESH)
    gate = origin.gate("/a", at=MB)
    proxy = make_proxy(workers=2)
    leader, follower = (proxy.download(origin.url("/a"), expected=body) for _ in range(2))
    for client in (leader, follower):
        client.begun(1000)
    leader.close()
    if leaves == "everyone":
        follower.close()
    gate.open()
    if leaves == "leader":
        all_right([follower.start()])
    origin.wait_idle()
    reply = proxy.get(origin.url("/a"))
    assert reply.body == body.slice(0, body.size)
    assert origin.count("/a") == 1


@pytest.mark.parametrize(
    "framing",
    [{}, {"chunked": True}, {"no_length": True}],
    ids=["length", "chunked", "until-close"],
)
def test_any_framing_is_stored_and_served_with_its_length(
    origin: Origin, make_proxy: MakeProxy, framing: dict[str, bool]
) -> None:
    body = Generated(300_000, seed=4)
    origin.put("/a", body, **FRESH, **framing)
    proxy = make_proxy()
    for _ in range(2):
        assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert proxy.get(origin.url("/a")).get("Content-Length") == "300000"
    assert origin.count("/a") == 1


@pytest.mark.parametrize("seen", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("framing", [{}, {"chunked": True}], ids=["length", "chunked"])
def test_a_broken_body_is_continued_by_range(
    origin: Origin, make_proxy: MakeProxy, framing: dict[str, bool], seen: bool
) -> None:
    body = Generated(3 * MB, seed=5)
    origin.put("/a", body, **FRESH, break_at=[0.3, 0.6], reset=seen and not framing, **framing)
    proxy = make_proxy(config={"fetch": {"pause": 0.01}})
    clients = downloads(proxy, origin.url("/a"), 5, body)
    all_right(clients)
    first, second, third = origin.asked("/a")
    assert first.get("Range") is None
    assert second.get("If-Range") == third.get("If-Range") == '"v1"'
    assert (second.get("Range") or "").startswith("bytes=")
    assert proxy.get(origin.url("/a")).body == body.slice(0, body.size)
    assert origin.count("/a") == 3


WITHOUT_STRONG = {
    "no-validator": {"cache_control": "max-age=3600"},
    "weak": {"etag": 'W/"v1"', "cache_control": "max-age=3600"},
}
SHORT = {
    "length": {"break_at": 0.5},
    "lies-longer": {"lie_length": 1000},
    "no-last-chunk": {"chunked": True, "last_chunk_missing": True},
    "chunked-cut": {"chunked": True, "break_at": 0.5},
}


@pytest.mark.parametrize("short", SHORT.values(), ids=SHORT)
@pytest.mark.parametrize("validator", WITHOUT_STRONG.values(), ids=WITHOUT_STRONG)
def test_what_ends_short_is_neither_stored_nor_ended_cleanly(
    origin: Origin, make_proxy: MakeProxy, short: dict[str, object], validator: dict[str, str]
) -> None:
    body = Generated(MB, seed=6)
    origin.put("/a", body, **validator, **short)
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 3}})
    client = proxy.download(origin.url("/a")).run()
    assert not client.complete
    origin.put("/a", body, **validator)
    again = proxy.download(origin.url("/a"), expected=body).run()
    assert again.complete
    assert again.correct


def test_a_body_cut_before_its_first_byte_starts_again(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(MB, seed=7)
    origin.put("/a", body, cache_control="max-age=3600", break_at=[0, 0])
    proxy = make_proxy(config={"fetch": {"pause": 0.01}})
    all_right(downloads(proxy, origin.url("/a"), 1, body))
    assert origin.count("/a") == 3


def test_a_changed_resource_is_not_glued_to_the_old_one(origin: Origin, make_proxy: MakeProxy) -> None:
    old, new = Generated(MB, seed=8), Generated(MB, seed=9)
    origin.put("/a", old, **FRESH, break_at=[0.5])
    gate = origin.gate("/a", at=0.25)
    proxy = make_proxy(config={"fetch": {"pause": 0.01}})
    client = proxy.download(origin.url("/a"), expected=old).begun(1000)
    origin.put("/a", new, etag='"v2"', cache_control="max-age=3600")
    gate.open()
    client.run()
    assert not client.complete
    assert proxy.get(origin.url("/a")).body == new.slice(0, new.size)


def test_a_response_not_to_be_stored_releases_all_waiters(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", b"private matter", cache_control="no-store")
    gate = origin.gate("/a")
    proxy = make_proxy(workers=2, threads=32)
    clients = [proxy.download(origin.url("/a")).start() for _ in range(10)]
    gate.wait_reached()
    gate.open()
    assert {client.join().received for client in clients} == {14}
    assert origin.count("/a") == 10
    # Remembered: none of these waits for another one to have its head.
    origin.forget()
    held = origin.gate("/a", at=5)
    clients = [proxy.download(origin.url("/a")).start() for _ in range(5)]
    origin.wait_for("/a", 5)
    held.open()
    assert [client.join().error for client in clients] == [None] * 5


def test_variants_of_one_url_do_not_wait_for_each_other(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(MB, seed=10)
    origin.put("/a", body, **FRESH, headers=[("Vary", "X-Kind")])
    proxy = make_proxy(workers=2)
    for kind in ("one", "two", "one", "two"):
        assert proxy.get(origin.url("/a"), [("X-Kind", kind)]).body == body.slice(0, body.size)
    assert origin.count("/a") == 2


class TestRanges:
    """Parts of objects that are not whole yet, or not there at all."""

    def test_a_near_range_waits_for_the_growing_file(self, origin: Origin, make_proxy: MakeProxy) -> None:
        body = Generated(4 * MB, seed=12)
        origin.put("/a", body, **FRESH)
        gate = origin.gate("/a", at=MB)
        proxy = make_proxy(workers=2)
        leader = proxy.download(origin.url("/a"), expected=body).begun(MB)
        there = proxy.get(origin.url("/a"), [("Range", "bytes=1000-1999")])
        assert (there.status, there.body) == (206, body.slice(1000, 1000))
        near = proxy.download(origin.url("/a"), [("Range", f"bytes={2 * MB}-{2 * MB + 99}")], expected=body)
        near.start()
        gate.open()
        assert near.join().correct
        assert leader.run().correct
        assert origin.count("/a") == 1

    def test_a_far_range_goes_past_the_flight(self, origin: Origin, make_proxy: MakeProxy) -> None:
        body = Generated(30 * MB, seed=13)
        origin.put("/a", body, **FRESH)
        gate = origin.gate("/a", at=MB)
        proxy = make_proxy(workers=2)
        leader = proxy.download(origin.url("/a"), expected=body).begun(MB)
        gate.position = None  # the one that is held stays held, others pass
        far = proxy.download(
            origin.url("/a"), [("Range", f"bytes={20 * MB}-{20 * MB + 99}")], expected=body
        )
        origin_was = origin.count("/a")
        far.start()
        origin.wait_for("/a", origin_was + 1)
        gate.open()
        assert far.join().correct
        assert leader.run().correct
        assert origin.asked("/a")[-1].get("Range") == f"bytes={20 * MB}-{20 * MB + 99}"


def test_an_object_over_its_limit_is_served_but_not_stored(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(3 * MB, seed=15)
    proxy = make_proxy(config={"store": {"max_object": "1M"}})
    for path, framing in (("/length", {}), ("/chunked", {"chunked": True})):
        origin.put(path, body, **FRESH, **framing)
        for _ in range(2):
            client = proxy.download(origin.url(path), expected=body).run()
            assert client.complete
            assert client.correct
        assert origin.count(path) == 2


class TestFollowersElsewhere:
    """A body turns out to be too large for the store while clients of another worker follow its file."""

    BODY = Generated(3 * MB, seed=16)

    @pytest.fixture
    def clients(self, origin: Origin, make_proxy: MakeProxy) -> Callable[..., tuple[list[Download], Gate]]:
        """The leader's client, and three that follow in another worker; all have some of the body."""

        def begin(**options: object) -> tuple[list[Download], Gate]:
            origin.put("/a", self.BODY, **options, chunked=True)
            gate = origin.gate("/a", at=500_000)
            proxy = make_proxy(workers=2, config={"store": {"max_object": "1M"}})
            first, *others = (proxy.download(origin.url("/a"), expected=self.BODY) for _ in range(4))
            first.open()
            gate.wait_reached()
            until(lambda: len(proxy.worker_pids()) == 2)
            (leader,) = (pid for pid in proxy.worker_pids() if proxy.connections(pid))
            os.kill(leader, signal.SIGSTOP)
            try:
                for other in others:
                    other.open()
                (elsewhere,) = {*proxy.worker_pids()} - {leader}
                until(lambda: proxy.connections(elsewhere) >= len(others))
            finally:
                os.kill(leader, signal.SIGCONT)
            for client in (first, *others):
                client.take(100_000)
            assert origin.count("/a") == 1
            gate.position = None
            return [first, *others], gate

        return begin

    @pytest.mark.parametrize("tag", [{"etag": '"1"'}, {}], ids=["tagged", "untagged"])
    def test_they_go_on(
        self, origin: Origin, clients: Callable[..., tuple[list[Download], Gate]], tag: dict[str, str]
    ) -> None:
        """By Range, or without a tag where another answer begins with what they were given."""
        begun, gate = clients(cache_control="max-age=60", **tag)
        for client in begun:
            client.start()
        gate.open()
        assert [(one.join().error, one.complete, one.correct) for one in begun] == [(None, True, True)] * 4
        assert origin.count("/a") == 4

    def test_bytes_of_two_bodies_are_never_put_together(
        self, origin: Origin, clients: Callable[..., tuple[list[Download], Gate]]
    ) -> None:
        (first, *others), gate = clients(cache_control="max-age=60")
        origin.put("/a", Generated(3 * MB, seed=17), cache_control="max-age=60", chunked=True)
        for client in (first, *others):
            client.start()
        gate.open()
        assert first.join().complete
        assert [one.join().complete for one in others] == [False] * 3
