"""Routes with several upstreams, which stop, hang, fail, answer differently, and come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from harness import Download, Proxy
from origin import Generated, Origin
from raw import Conversation
from waiting import until

MakeProxy = Callable[..., Proxy]
PATH = "/api/x"
CACHED = {"ttl": "1h"}
LONG = {"pause": "1h", "max_pause": "1h"}
SHORT = {"failures": 1, "pause": 0.01, "max_pause": 0.01}


@pytest.fixture
def members() -> Iterator[list[Origin]]:
    """Three origins that say who they are."""
    with ExitStack() as stack:
        found = [stack.enter_context(Origin()) for _ in range(3)]
        for number, member in enumerate(found):
            member.put(PATH, b"%d" % number)
        yield found


@pytest.fixture
def gateway(make_proxy: MakeProxy, members: list[Origin]) -> Callable[..., Proxy]:
    """Makes a gateway with one route to the members, or so many of them, of these options."""

    def make(pool: dict[str, Any] | None = None, workers: int = 1, count: int = 3, **options: Any) -> Proxy:
        urls = [member.url("/") for member in members[:count]]
        fetch = options.pop("fetch", {})
        route = {"upstream": urls, "pool": pool, **options}
        return make_proxy(config={"routes": {"/api/": route}, "fetch": fetch}, workers=workers)

    return make


def counts(members: list[Origin], path: str = PATH) -> list[int]:
    return [member.count(path) for member in members]


@contextmanager
def closed(member: Origin) -> Iterator[None]:
    """The member refuses connections meanwhile."""
    member.stop()
    yield
    member.start()


@pytest.mark.parametrize("choose", ["least", "turns"])
def test_requests_are_shared_out(gateway: Callable[..., Proxy], members: list[Origin], choose: str) -> None:
    cache = gateway({"choose": choose})
    for _ in range(12):
        assert cache.get(PATH).status == 200
    assert counts(members) == [4, 4, 4]


def test_the_less_busy_one_is_asked(gateway: Callable[..., Proxy], members: list[Origin]) -> None:
    """A request that a slow member answers does not keep the next ones waiting."""
    members[0].put("/api/slow", b"slow")
    cache, gate = gateway(count=2, exclude=True), members[0].gate("/api/slow")
    members[1].put("/api/slow", b"fast")
    with ThreadPoolExecutor(2) as clients:
        asking = [clients.submit(cache.get, "/api/slow") for _ in range(2)]
        gate.wait_reached()
        for _ in range(6):
            assert cache.get(PATH).body == b"1"
        gate.open()
        assert {one.result().status for one in asking} == {200}


def test_whoever_answered_the_answer_is_for_all(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    cache = gateway(cache=CACHED, workers=2)
    first = cache.get(PATH)
    assert {cache.get(PATH).body for _ in range(6)} == {first.body}
    assert sum(counts(members)) == 1
    assert cache.get(PATH, method="PURGE").status == 200
    assert cache.get(PATH).status == 200
    assert sum(counts(members)) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_identical_requests_at_once_are_one_to_the_pool(
    gateway: Callable[..., Proxy], members: list[Origin], workers: int
) -> None:
    gates = [member.gate(PATH) for member in members]
    cache = gateway(cache=CACHED, workers=workers)
    with ThreadPoolExecutor(50) as clients:
        asking = [clients.submit(cache.get, PATH) for _ in range(50)]
        until(lambda: sum(counts(members)))
        for gate in gates:
            gate.open()
        assert len({reply.result().body for reply in asking}) == 1
    assert sum(counts(members)) == 1


def test_one_that_is_stopped_costs_no_request(gateway: Callable[..., Proxy], members: list[Origin]) -> None:
    cache = gateway(LONG, exclude=True)
    with closed(members[0]):
        for method in ("GET", "POST") * 10:
            assert cache.get(PATH, method=method, body=b"x" * (method == "POST")).status == 200
    assert counts(members)[0] == 0
    assert sum(counts(members)) == 20


def test_one_that_comes_back_is_asked_again(gateway: Callable[..., Proxy], members: list[Origin]) -> None:
    cache = gateway(SHORT, exclude=True, workers=2)
    with closed(members[0]):
        for _ in range(6):
            assert cache.get(PATH).status == 200
    until(lambda: cache.get(PATH).body == b"0")


@pytest.mark.parametrize("status", [502, 503, 504])
def test_errors_of_gateways_are_tried_elsewhere(
    gateway: Callable[..., Proxy], members: list[Origin], status: int
) -> None:
    members[0].put(PATH, b"broken", status=status)
    cache = gateway(LONG, exclude=True)
    for _ in range(20):
        assert cache.get(PATH).status == 200
    assert counts(members)[0] == 3


def test_what_changes_something_is_not_sent_twice(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    for member in members:
        member.put(PATH, b"broken", status=503)
    cache = gateway({"failures": None}, exclude=True)
    for number, method in enumerate(("POST", "PUT", "DELETE", "PATCH"), 1):
        assert cache.get(PATH, method=method, body=b"{}").status == 503
        assert sum(counts(members)) == number


def test_one_that_hangs(gateway: Callable[..., Proxy], members: list[Origin]) -> None:
    members[0].put(PATH, b"never", head_delay=3600.0)
    cache = gateway({**LONG, "failures": 1}, exclude=True, fetch={"silence": 0.2})
    for _ in range(9):
        assert cache.get(PATH).status == 200
    assert counts(members)[0] == 1
    members[1].put(PATH, b"never", head_delay=3600.0)
    members[2].put(PATH, b"never", head_delay=3600.0)
    assert [cache.get(PATH, method="POST", body=b"x").status for _ in range(3)] == [504, 504, 503]


@pytest.mark.parametrize("workers", [1, 2])
def test_when_all_are_down_that_is_said_at_once(
    gateway: Callable[..., Proxy], members: list[Origin], workers: int
) -> None:
    """From the start on, and until one comes back."""
    for member in members:
        member.stop()
    cache = gateway({**SHORT, "pause": 2, "max_pause": 2}, exclude=True, workers=workers)
    until(lambda: cache.get(PATH).status == 503)
    refused = cache.get(PATH)
    while refused.status != 503:  # the other worker
        refused = cache.get(PATH)
    assert refused.get("Retry-After") in ("1", "2")
    assert b"no upstream of /api/x can be asked now" in refused.body
    members[2].start()
    until(lambda: cache.get(PATH).body == b"2")


def test_what_is_stale_stands_in_where_all_are_out(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    cache = gateway(LONG, cache={"ttl": 0.01, "stale_if_error": "1h"})
    body = cache.get(PATH).body
    for member in members:
        member.stop()
    for _ in range(12):
        assert cache.get(PATH).body == body


def test_one_upstream_has_a_breaker_if_that_is_said(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    members[0].put(PATH, b"broken", status=503)
    cache = gateway(LONG, count=1, exclude=True)
    assert [cache.get(PATH).get("Retry-After") for _ in range(5)] == [None] * 3 + ["3600"] * 2
    plain = gateway(count=1, exclude=True)
    assert {plain.get(PATH).body for _ in range(5)} == {b"broken"}
    assert counts(members)[0] == 8


def test_health_checks(gateway: Callable[..., Proxy], members: list[Origin]) -> None:
    for member in members:
        member.put("/health?deep", b"fine")
    members[1].put("/health?deep", b"ill", status=500)
    members[2].put("/health?deep", b"never", head_delay=3600.0)
    health = {"path": "/health?deep", "every": 0.05, "timeout": 0.3}
    cache = gateway({"health": health}, exclude=True)
    until(lambda: {cache.get(PATH).body for _ in range(9)} == {b"0"})
    members[0].put("/health?deep", b"moved", status=302)
    until(lambda: cache.get(PATH).status == 503)
    members[1].put("/health?deep", b"fine")
    until(lambda: cache.get(PATH).body == b"1")
    assert members[0].asked("/health")[0].method == "GET"


@pytest.mark.parametrize("keeps", [False, True])
def test_the_host_that_members_see(make_proxy: MakeProxy, members: list[Origin], keeps: bool) -> None:
    """That of the client selects the answer, also where nothing else tells the upstream of it."""
    pool, forwarded = {"host": "keep" if keeps else "own"}, {"send": False}
    url = members[0].url("/")
    routes = {"/api/": {"upstream": url, "pool": pool, "cache": CACHED}}
    cache = make_proxy(config={"routes": routes, "forwarded": forwarded})
    for name in ("one.test", "two.test", "one.test", "two.test", "one.test"):
        assert cache.get(PATH, [("Host", name)]).body == b"0"
    seen = [one.get("Host") for one in members[0].asked(PATH)]
    assert seen == (["one.test", "two.test"] if keeps else [url.split("/")[2]])


def test_references_and_cookies_of_any_member_lead_to_the_gateway(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    for member in members:
        fields = [
            ("Location", member.url("/api/y")),
            ("Link", f"<{member.url('/api/z')}>; rel=next"),
            ("Set-Cookie", "a=b; Domain=127.0.0.1"),
        ]
        member.put(PATH, b"", status=302, headers=fields)
    cache = gateway(exclude=True)
    for _ in range(3):
        reply = cache.get(PATH)
        assert (reply.get("Location"), reply.get("Link")) == ("/api/y", "</api/z>; rel=next")
        assert reply.get("Set-Cookie") == "a=b"
    assert counts(members) == [1, 1, 1]


def test_what_another_member_changes_is_not_given_any_more(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    for member in members:
        member.put("/api/make", b"", status=201, headers=[("Location", member.url(PATH))])
    cache = gateway(cache=CACHED)
    for made in range(3):
        assert [cache.get(PATH).status for _ in range(2)] == [200, 200]
        assert sum(counts(members)) == made + 1
        assert cache.get("/api/make", method="POST", body=b"x").status == 201


SIZE = 4 << 20


@pytest.mark.parametrize(
    ("tags", "is_whole"),
    [(['"x"', '"x"'], True), (['"x"', '"y"'], False), ([None, None], False), (['W/"x"', 'W/"x"'], False)],
)
@pytest.mark.parametrize("date", [None, 1e9])
def test_a_download_goes_on_at_another_member_that_has_the_same(
    gateway: Callable[..., Proxy],
    members: list[Origin],
    tags: list[str | None],
    is_whole: bool,
    date: float | None,
) -> None:
    """The bodies differ wherever nothing but a date says that they are equal."""
    seeds = (0, 0) if is_whole else (0, 1)
    for member, tag, seed in zip(members, tags, seeds, strict=False):
        member.put("/api/big", Generated(SIZE, seed), etag=tag, last_modified=date, break_at=SIZE // 2)
    cache = gateway({"choose": "turns"}, count=2, cache=CACHED, fetch={"tries": 4, "pause": 0.01})
    with Download(cache.address, "/api/big") as download:
        download.read_head()
        received = bytearray()
        try:
            for piece in download.pieces():
                received += piece
                for member in members[:2]:  # what is asked for from now on comes whole
                    options = {"etag": tags[members.index(member)], "last_modified": date}
                    member.put("/api/big", Generated(SIZE, seeds[members.index(member)]), **options)
        except (OSError, ValueError):
            pass
    begun = next(seed for seed in (0, 1) if Generated(SIZE, seed).startswith(bytes(received[:1024]), 0))
    assert Generated(SIZE, begun).startswith(bytes(received), 0)
    assert (len(received) == SIZE) == is_whole


def test_parts_of_two_members_are_not_joined_by_their_dates(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    for seed, member in enumerate(members[:2]):
        member.put("/api/big", Generated(SIZE, seed), last_modified=1e9)
    cache = gateway({"choose": "turns"}, count=2)
    for span in ("0-999", "1000-1999", "0-999", "1000-1999"):
        assert cache.get("/api/big", [("Range", f"bytes={span}")]).status == 206
    body = cache.get("/api/big", [("Range", "bytes=0-1999")]).body
    assert any(Generated(SIZE, seed).startswith(body, 0) for seed in (0, 1))


@pytest.mark.parametrize("lie", [-1, 1])
def test_lengths_that_are_not_true(gateway: Callable[..., Proxy], members: list[Origin], lie: int) -> None:
    for member in members:
        member.put(PATH, b"answer", lie_length=lie)
    cache = gateway(cache=CACHED, fetch={"tries": 2, "pause": 0.01})
    for _ in range(6):
        reply = cache.get(PATH)
        assert not reply.complete if lie > 0 else reply.body == b"answe"


def test_a_member_that_is_no_server_of_http(make_proxy: MakeProxy, members: list[Origin]) -> None:
    member = members[0]
    member.put(PATH, handler=lambda _asked: b"SSH-2.0-x\r\n")
    urls = [one.url("/") for one in members[:2]]
    cache = make_proxy(config={"routes": {"/api/": {"upstream": urls, "exclude": True, "pool": LONG}}})
    for _ in range(12):
        assert cache.get(PATH).body == b"1"
    assert member.count(PATH) == 3


SWITCHED = b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi"


def test_connections_switch_at_a_member_that_is_there(
    gateway: Callable[..., Proxy], members: list[Origin]
) -> None:
    for member in members[1:]:
        member.put(
            PATH, handler=lambda _asked: b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi"
        )
    cache = gateway()
    with closed(members[0]):
        for _ in range(3):
            with Conversation(cache.address) as client:
                asked = f"GET {PATH} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
                assert client.send(asked.encode()).reply().status == 101
    assert counts(members)[0] == 0


def test_one_name_with_several_addresses_is_one_member(
    make_proxy: MakeProxy, members: list[Origin]
) -> None:
    """A name's addresses are tried in turn by themselves, and none of them is a failure of the member."""
    port = members[0].port
    routes = {"/api/": {"upstream": f"http://localhost:{port}/", "exclude": True, "pool": LONG}}
    cache = make_proxy(config={"routes": routes})
    for _ in range(6):
        assert cache.get(PATH).body == b"0"
