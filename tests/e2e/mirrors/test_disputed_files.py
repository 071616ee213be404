"""Files on a third host of which two indexes state different digests: by mirror, proxy and prefix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource
from waiting import until

MakeProxy = Callable[..., Proxy]
JSON = "application/vnd.pypi.simple.v1+json"
PAGE, FILE = "/simple/x/", "/files/x-1.0-py3-none-any.whl"
SMALL, LARGE = b"wheel" * 100, bytes(range(256)) * 2000
SIZES = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
WAYS = pytest.mark.parametrize("way", ["mirror", "proxy", "prefix"])


class Shelf:
    """Two indexes, a and b, and the host of their files; a cache has mirrors of who states something."""

    def __init__(self, a: Origin, b: Origin, files: Origin) -> None:
        self.origins = {"a": a, "b": b, "files": files}
        self.stating = {"a", "b"}

    @property
    def config(self) -> dict[str, Any]:
        return {
            "mirrors": {
                name: {"ecosystem": "pypi", "upstream": origin.url("/")}
                for name, origin in self.origins.items()
                if name in self.stating
            }
        }

    def states(self, name: str, body: bytes) -> None:
        """Have an index state the digest of this body."""
        self.stating.add(name)
        digest = hashlib.sha256(body).hexdigest()
        told = {"files": [{"url": self.origins["files"].url(FILE), "hashes": {"sha256": digest}}]}
        self.origins[name].put(PAGE, json.dumps(told).encode(), headers=[("Content-Type", JSON)])

    def serves(self, body: bytes, **options: Any) -> None:
        """Have the file be this from now on."""

        def answer(_asked: Asked) -> Resource:
            return Resource(body, **{"cache_control": "max-age=600", **options})

        self.origins["files"].put(FILE, handler=answer)

    def read(self, cache: Proxy, *names: str) -> None:
        """Have the cache read these indexes, as they are now."""
        for name in names:
            url = self.origins[name].url(PAGE)
            cache.get(url, method="PURGE")
            assert cache.get(url).status == 200

    def file(self, cache: Proxy, way: str, name: str = "a") -> bytes | None:
        """The file as a client gets it who goes by this index; None if it learns that it is not all."""
        url = self.origins["files"].url(FILE)
        address = {"mirror": f"/{name}/~/{url.replace('://', '/')}", "proxy": url, "prefix": f"/{url}"}[way]
        reply = cache.get(address)
        return reply.body if reply.status == 200 and reply.complete else None

    @property
    def asked(self) -> int:
        return self.origins["files"].count(FILE)


@pytest.fixture
def shelf(origin: Origin) -> Iterator[Shelf]:
    with Origin() as a, Origin() as b:
        made = Shelf(a, b, origin)
        made.serves(SMALL)
        yield made


@WAYS
@SIZES
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_wrong_index_does_not_deny_the_right_file(
    make_proxy: MakeProxy, shelf: Shelf, way: str, body: bytes, order: str
) -> None:
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body)
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, *order)
    for _ in range(3):
        assert shelf.file(cache, way) == body
    assert shelf.asked == 1
    assert "states other digests of files than" in cache.log()


@WAYS
@SIZES
def test_nor_has_it_what_is_stored_forgotten(
    make_proxy: MakeProxy, shelf: Shelf, way: str, body: bytes
) -> None:
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body)
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, "a")
    assert shelf.file(cache, "proxy") == body
    shelf.read(cache, "b", "b")
    for _ in range(2):
        assert shelf.file(cache, "proxy") == body
    assert shelf.asked == 1
    assert shelf.file(cache, way) == body


@SIZES
@pytest.mark.parametrize("workers", [1, 2])
def test_a_mirror_gives_what_its_index_states(
    make_proxy: MakeProxy, shelf: Shelf, body: bytes, workers: int
) -> None:
    """Whatever the other index allows, and whatever is stored for those who come by proxy."""
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body[::-1])
    cache = make_proxy(workers=workers, config=shelf.config)
    shelf.read(cache, "a", "b")
    assert shelf.file(cache, "proxy") == body[::-1]
    for _ in range(3):
        assert shelf.file(cache, "mirror", "a") is None
        assert shelf.file(cache, "mirror", "b") == body[::-1]
        assert shelf.file(cache, "prefix") == body[::-1]
    shelf.serves(body)
    for _ in range(3):
        assert shelf.file(cache, "mirror", "a") == body
        assert shelf.file(cache, "mirror", "b") == body[::-1]


@SIZES
def test_what_a_mirror_gave_before_its_index_was_read(
    make_proxy: MakeProxy, shelf: Shelf, body: bytes
) -> None:
    """It is in memory by then, and stays stored for those who come by the other index."""
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body[::-1])
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, "b")
    for _ in range(3):
        assert shelf.file(cache, "mirror", "a") == body[::-1]
    shelf.read(cache, "a")
    assert shelf.file(cache, "mirror", "a") is None
    shelf.serves(body)
    assert shelf.file(cache, "mirror", "a") == body
    assert shelf.file(cache, "proxy") == body[::-1]
    # The index changes its mind: what the mirror had to itself is not what it states any more.
    shelf.states("a", body + b"2")
    shelf.read(cache, "a")
    shelf.serves(body + b"2")
    for _ in range(2):
        assert shelf.file(cache, "mirror", "a") == body + b"2"


@WAYS
@SIZES
def test_the_files_own_index_counts_before_others(
    make_proxy: MakeProxy, shelf: Shelf, way: str, body: bytes
) -> None:
    shelf.states("files", body)
    shelf.states("b", body[::-1])
    shelf.serves(body[::-1])
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, "b", "files")
    assert shelf.file(cache, way, "a") is None
    shelf.serves(body, cache_control="max-age=0")
    for _ in range(3):
        assert shelf.file(cache, way, "a") == body
    asked = shelf.asked
    assert shelf.file(cache, way, "a") == body
    assert shelf.asked == asked  # it never changes, whatever its origin says of its age


@pytest.mark.parametrize(("body", "at"), [(SMALL, None), (LARGE, len(LARGE) // 2)], ids=["small", "large"])
def test_what_is_stated_while_the_file_arrives(
    make_proxy: MakeProxy, shelf: Shelf, body: bytes, at: int | None
) -> None:
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body[::-1])
    cache = make_proxy(config=shelf.config)
    files = shelf.origins["files"]
    gate = files.gate(FILE, at)
    client = cache.download(files.url(FILE))
    client.open()
    client.start()
    gate.wait_reached()
    shelf.read(cache, "a")
    gate.open()
    client.join()
    shelf.serves(body)
    until(lambda: shelf.file(cache, "proxy") == body)  # the client has its end before it is looked at
    assert shelf.file(cache, "mirror") == body


@SIZES
def test_a_file_that_no_index_states_so_is_refused(
    make_proxy: MakeProxy, shelf: Shelf, body: bytes
) -> None:
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body + b"more")
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, "a", "b")
    for way in ("mirror", "proxy", "prefix"):
        assert shelf.file(cache, way) is None
    assert "does not match its stated digest" in cache.log()


@SIZES
def test_indexes_of_a_preset_are_kept_apart_by_their_origins(
    make_proxy: MakeProxy, shelf: Shelf, body: bytes
) -> None:
    shelf.states("a", body)
    shelf.states("b", body[::-1])
    shelf.serves(body)
    cache = make_proxy(config={"use": [{"ecosystem": "pypi", "hosts": [shelf.origins["a"].host]}]})
    shelf.read(cache, "b", "a", "b")
    for _ in range(2):
        assert shelf.file(cache, "proxy") == body
    assert shelf.asked == 1


def test_a_purge_takes_what_one_mirror_has_to_itself(make_proxy: MakeProxy, shelf: Shelf) -> None:
    shelf.states("a", SMALL)
    shelf.states("b", SMALL[::-1])
    cache = make_proxy(config=shelf.config)
    shelf.read(cache, "a", "b")
    for way in ("mirror", "mirror", "proxy"):
        assert shelf.file(cache, way) == SMALL
    url = shelf.origins["files"].url(FILE)
    assert cache.get(url, method="PURGE").status == 200
    assert cache.get(url, method="PURGE").status == 404
    assert shelf.file(cache, "mirror") == SMALL
    assert shelf.asked == 3
