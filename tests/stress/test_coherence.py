"""Hits while entries are purged, replaced, revalidated and expire: none is of what was ruled out before."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource
from raw import Conversation, request

from pyproxycache.options import StoreOptions
from pyproxycache.wiring.stored import open_store

SECONDS = 12.0
CLIENTS = 4
CONNECTIONS = 4
KEYS = 12

MakeProxy = Callable[..., Proxy]


@dataclass
class Content:
    """One resource, whose bodies begin with their version.

    `least` is the version that a request gets at least that begins now, by the value of X-Kind; guarded by
    `lock`, and so is `version`. `turn` has the ones who change it come one after the other.
    """

    url: str
    size: int
    max_age: int
    has_tag: bool
    varies: bool
    version: int = 1
    least: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, asked: Asked) -> Resource:
        with self.lock:
            version = self.version
        body = b"%d " % version
        return Resource(
            body.ljust(self.size, b"x"),
            etag=f'"{version}"' if self.has_tag else None,
            cache_control=f"max-age={self.max_age}",
            headers=[("Vary", "X-Kind")] if self.varies else [],
        )

    def change(self) -> int:
        """The new version, which is not told to anybody."""
        with self.lock:
            self.version += 1
            return self.version

    def rule_out(self, version: int, kinds: str = "ab") -> None:
        """Whoever asks from now on gets that version at least."""
        with self.lock:
            for kind in kinds if self.varies else "ab":
                self.least[kind] = max(self.least[kind], version)

    def least_of(self, kind: str) -> int:
        with self.lock:
            return self.least[kind]


def contents_of(origin: Origin) -> list[Content]:
    """Small and large ones; some that last and some that expire, with and without a validator."""
    made = []
    for number in range(KEYS):
        path = f"/{number}"
        size = 100_000 if number % 5 == 4 else 500
        lasts = 3600 if number % 3 else 1
        content = Content(origin.url(path), size, lasts, has_tag=number % 2 == 0, varies=number % 4 == 3)
        origin.put(path, handler=content.answer)
        made.append(content)
    return made


class Client:
    """One thread's connections; notes what it saw of each answer."""

    def __init__(self, proxy: Proxy, contents: list[Content], chance: random.Random) -> None:
        self._proxy, self._contents, self._chance = proxy, contents, chance
        self.hits = self.asked = 0
        self.wrong: list[str] = []

    def run(self, until: float) -> None:
        with ExitStack() as stack:
            connections = [
                stack.enter_context(Conversation(self._proxy.address)) for _ in range(CONNECTIONS)
            ]
            while time.monotonic() < until:
                self._ask(self._chance.choice(connections))

    def _ask(self, connection: Conversation) -> None:
        # A few of them are asked for again and again.
        content = self._contents[min(int(self._chance.expovariate(0.3)), len(self._contents) - 1)]
        kind, count = self._chance.choice("ab"), self._chance.choice((1, 1, 3))
        fields = [f"X-Kind: {kind}"]
        if self._chance.random() < 0.5:
            fields.append(f"User-Agent: {self._chance.randrange(1000)}")
        least = content.least_of(kind)
        connection.send(request(f"GET {content.url}", *fields) * count)
        for _ in range(count):
            reply = connection.reply()
            version, said = int(reply.body.split()[0]), reply.get("Cache-Status") or ""
            self.asked += 1
            if reply.status != 200 or len(reply.body) != content.size or version < least:
                self.wrong.append(f"{content.url} {kind}: {version}, not {least}; {reply.headers}")
            if "; hit;" not in said:
                continue
            self.hits += 1
            if int(reply.get("Age") or "") > content.max_age or "ttl=-" in said:
                self.wrong.append(f"{content.url} was stale: {reply.headers}")
            # It is stored: nobody who comes later gets an older one.
            content.rule_out(version, kind)


class Changes:
    """Changes contents, and has the cache told in one way or the other."""

    def __init__(self, proxy: Proxy, contents: list[Content], chance: random.Random) -> None:
        self._proxy, self._contents, self._chance = proxy, contents, chance
        self._store = open_store(StoreOptions(path=proxy.cache_dir))
        self.done: Counter[str] = Counter()
        self._ways = [self.purge, self.purge_pattern, self.invalidate, self.reload, self.say_nothing]

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            content, way = self._chance.choice(self._contents), self._chance.choice(self._ways)
            way(content)
            self.done[way.__name__] += 1
        self._store.database.close()

    def purge(self, content: Content) -> None:
        version = content.change()
        self._store.index.purge([content.url])
        content.rule_out(version)

    def purge_pattern(self, content: Content) -> None:
        version = content.change()
        self._store.index.purge_matching(pattern=f"{content.url}*")
        content.rule_out(version)

    def invalidate(self, content: Content) -> None:
        """By the answer to an unsafe request (RFC 9111 section 4.4)."""
        version = content.change()
        assert self._proxy.get(content.url, method="POST", body=b"changes it").status == 200
        content.rule_out(version)

    def reload(self, content: Content) -> None:
        """What comes in takes the place of what was there, once it is stored: hits will tell.

        It may be that of a download which ran already, and was asked for before the change.
        """
        content.change()
        fields = [("Cache-Control", "no-cache"), ("X-Kind", self._chance.choice("ab"))]
        assert self._proxy.get(content.url, fields).status == 200

    def say_nothing(self, content: Content) -> None:
        """Whoever has it may keep it until it expires."""
        content.change()
        time.sleep(0.05)


@pytest.mark.timeout(120)
def test_nobody_gets_what_was_ruled_out_before(origin: Origin, make_proxy: MakeProxy) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    contents = contents_of(origin)
    proxy = make_proxy(workers=2, threads=32)
    changes = Changes(proxy, contents, chance)
    clients = [Client(proxy, contents, random.Random(seed + 1 + number)) for number in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=one.run, args=(until,)) for one in (*clients, changes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 60)
    assert not any(thread.is_alive() for thread in threads)
    assert [wrong for client in clients for wrong in client.wrong] == []
    asked, hits = sum(client.asked for client in clients), sum(client.hits for client in clients)
    print(f"{asked} requests, {hits} hits, changes: {dict(changes.done)}")
    assert len(changes.done) == 5
    assert hits > asked / 4


@pytest.mark.parametrize("by", ["purge", "purge --pattern", "purge --all", "invalidation"])
def test_a_download_that_was_ruled_out_is_joined_by_nobody(
    origin: Origin, make_proxy: MakeProxy, by: str
) -> None:
    """Not even by the very same head, while the client that began it reads on; on either worker."""
    proxy = make_proxy(workers=2)
    url = origin.url("/growing")
    origin.put("/growing", b"1" * 1_000_000, cache_control="max-age=3600")
    gate = origin.gate("/growing", at=0.5)
    raw = request(f"GET {url}")
    with ExitStack() as stack:
        clients = [stack.enter_context(Conversation(proxy.address)) for _ in range(12)]
        for client in clients[:6]:
            assert client.send(raw).head().status == 200
        gate.wait_reached()
        assert origin.count("/growing") == 1
        gate = origin.gate("/growing")  # which lets go of the first, that is at its own place
        origin.put("/growing", b"2" * 1_000_000, cache_control="max-age=3600")
        if by == "invalidation":
            gate.open()
            assert proxy.get(url, method="POST", body=b"x").status == 200
        else:
            _purge, *options = by.split()
            command = [*proxy.command[:3], "purge", "--cache-dir", str(proxy.cache_dir), *options]
            command += [] if options == ["--all"] else [url]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
            gate.open()
        for client in clients[6:]:
            reply = client.send(raw).reply()
            assert (reply.status, set(reply.body)) == (200, set(b"2"))
