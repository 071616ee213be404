"""Bodies that are not what their origin says: nobody gets all of one, and none is stored."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness import Proxy, clean_environment
from load import Download
from origin import Generated, Origin

MB = 1_000_000
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]
Fields = list[tuple[str, str]]

LENGTH: dict[str, bool] = {}
CHUNKED = {"chunked": True}
UNTIL_CLOSE = {"no_length": True}

ALGORITHMS = pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
RIGHT_OR_WRONG = pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])


def integrity(field: str, algorithm: str, body: Generated | bytes) -> Fields:
    """The field with the digest of this body."""
    content = body if isinstance(body, bytes) else body.slice(0, body.size)
    digest = b64encode(hashlib.new(algorithm.replace("-", ""), content).digest()).decode()
    return [(field, f"{algorithm}=:{digest}:")]


def stored(proxy: Proxy) -> list[Any]:
    """What `pyproxycache ls` lists."""
    command = [sys.executable, "-m", "pyproxycache", "ls", "--json", "--cache-dir", str(proxy.cache_dir)]
    done = subprocess.run(command, capture_output=True, timeout=60, env=clean_environment(), check=True)
    listed: list[Any] = json.loads(done.stdout)
    return listed


def joined(clients: Sequence[Download]) -> Sequence[Download]:
    for client in clients:
        client.join()
    return clients


def all_have_it(clients: Sequence[Download]) -> None:
    for client in joined(clients):
        assert client.complete
        assert client.correct


def nobody_has_it_all(proxy: Proxy, clients: Sequence[Download], size: int) -> None:
    for client in joined(clients):
        assert client.error is not None
        assert not client.complete
        assert client.received < size
    assert stored(proxy) == []


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "close"])
@pytest.mark.parametrize(
    ("field", "algorithm"),
    [("Repr-Digest", "sha-256"), ("Content-Digest", "sha-512")],
    ids=["sha-256", "sha-512"],
)
def test_what_matches_is_stored(
    origin: Origin, make_proxy: MakeProxy, framing: dict[str, bool], field: str, algorithm: str
) -> None:
    body = Generated(MB, seed=1)
    fields = integrity(field, algorithm, body)
    origin.put("/a", body, headers=fields, **FRESH, **framing)
    proxy = make_proxy()
    for _ in range(2):
        reply = proxy.get(origin.url("/a"))
        assert reply.complete
        assert reply.body == body.slice(0, body.size)
        assert reply.get(field) == fields[0][1]
    assert origin.count("/a") == 1
    assert len(stored(proxy)) == 1


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED, UNTIL_CLOSE], ids=["length", "chunked", "close"])
@ALGORITHMS
def test_what_does_not_match_reaches_nobody_whole(
    origin: Origin, make_proxy: MakeProxy, framing: dict[str, bool], algorithm: str
) -> None:
    body = Generated(2 * MB, seed=2)
    fields = integrity("Repr-Digest", algorithm, b"something else")
    origin.put("/a", body, headers=fields, **FRESH, **framing)
    gate = origin.gate("/a", at=0)
    proxy = make_proxy(workers=2, threads=64)
    clients = [proxy.download(origin.url("/a"), expected=body) for _ in range(20)]
    for client in clients:
        client.open()
    for client in clients:
        client.read_head()
        client.start()
    gate.open()
    nobody_has_it_all(proxy, clients, body.size)
    # It is the origin's fault, and asking for the rest or again would not mend it.
    assert origin.count("/a") == 1
    assert f"does not match its Repr-Digest ({algorithm})" in proxy.log()


@pytest.mark.parametrize("framing", [LENGTH, UNTIL_CLOSE], ids=["length", "close"])
def test_the_last_byte_is_held_back_until_the_end(
    origin: Origin, make_proxy: MakeProxy, framing: dict[str, bool]
) -> None:
    body = Generated(100_000, seed=3)
    fields = integrity("Content-Digest", "sha-256", b"")
    origin.put("/a", body, headers=fields, **FRESH, **framing)
    gate = origin.gate("/a", at=99_999)
    proxy = make_proxy()
    client = proxy.download(origin.url("/a"), expected=body)
    client.open()
    assert client.take(99_998) == 99_998
    gate.open()
    client.run()
    assert (client.complete, client.received) == (False, 99_999)


def test_one_wrong_digest_of_several_is_enough(origin: Origin, make_proxy: MakeProxy) -> None:
    body = Generated(1000, seed=4)
    fields = integrity("Repr-Digest", "sha-256", body) + integrity("Repr-Digest", "sha-512", b"")
    origin.put("/a", body, headers=fields, **FRESH)
    proxy = make_proxy()
    # It is small, and was here before anyone had anything: the origin is asked once more, past caches.
    assert proxy.get(origin.url("/a")).status == 502
    assert stored(proxy) == []
    assert [asked.get("Cache-Control") for asked in origin.asked("/a")] == [None, "no-cache"]


@pytest.mark.parametrize(
    "fields",
    [
        [("Repr-Digest", "md5=:AAAAAAAAAAAAAAAAAAAAAA==:")],
        [("Repr-Digest", "sha-256=:AAAA:")],
        [("Digest", "sha-256=AAAA")],
        [("Content-MD5", "AAAA")],
    ],
    ids=["insecure", "malformed", "obsolete", "md5"],
)
def test_what_is_no_digest_to_us_does_not_count(
    origin: Origin, make_proxy: MakeProxy, fields: Fields
) -> None:
    origin.put("/a", b"body", headers=fields, **FRESH)
    proxy = make_proxy()
    for _ in range(2):
        assert proxy.get(origin.url("/a")).body == b"body"
    assert origin.count("/a") == 1


@ALGORITHMS
@RIGHT_OR_WRONG
def test_a_body_that_was_continued_is_checked_whole(
    origin: Origin, make_proxy: MakeProxy, algorithm: str, right: bool
) -> None:
    body = Generated(2 * MB, seed=5)
    fields = integrity("Repr-Digest", algorithm, body if right else b"")
    origin.put("/a", body, headers=fields, **FRESH, break_at=[0.3, 0.6])
    proxy = make_proxy(config={"fetch": {"pause": 0.01}})
    clients = [proxy.download(origin.url("/a"), expected=body).start() for _ in range(3)]
    if right:
        all_have_it(clients)
        assert len(stored(proxy)) == 1
    else:
        nobody_has_it_all(proxy, clients, body.size)
    assert [asked.get("Range") is not None for asked in origin.asked("/a")] == [False, True, True]


@ALGORITHMS
@RIGHT_OR_WRONG
def test_what_a_dead_leader_left_is_checked_too(
    origin: Origin, make_proxy: MakeProxy, algorithm: str, right: bool
) -> None:
    body = Generated(2 * MB, seed=6)
    fields = integrity("Repr-Digest", algorithm, body if right else b"")
    origin.put("/a", body, headers=fields, **FRESH)
    gate = origin.gate("/a", at=0.5)
    proxy = make_proxy()
    first = proxy.download(origin.url("/a"), expected=body).begun(1000)
    gate.wait_reached()
    proxy.kill9()
    first.close()
    gate.open()
    proxy.start()
    second = proxy.download(origin.url("/a"), expected=body).start()
    if right:
        all_have_it([second])
        assert len(stored(proxy)) == 1
    else:
        nobody_has_it_all(proxy, [second], body.size)
    assert origin.asked("/a")[1].get("Range") is not None


@ALGORITHMS
@RIGHT_OR_WRONG
def test_a_body_too_large_to_store_is_checked_too(
    origin: Origin, make_proxy: MakeProxy, algorithm: str, right: bool
) -> None:
    body = Generated(2 * MB, seed=7)
    fields = integrity("Repr-Digest", algorithm, body if right else b"")
    origin.put("/a", body, headers=fields, **FRESH, **CHUNKED)
    proxy = make_proxy(config={"store": {"max_object": MB}})
    client = proxy.download(origin.url("/a"), expected=body).start()
    if right:
        all_have_it([client])
        assert stored(proxy) == []
    else:
        nobody_has_it_all(proxy, [client], body.size)
