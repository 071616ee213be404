"""Files that are not what their index or their name states: by mirror, proxy and prefix."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
JSON = "application/vnd.pypi.simple.v1+json"
SMALL, LARGE = b"wheel" * 100, bytes(range(256)) * 2000
SIZES = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
WAYS = pytest.mark.parametrize("way", ["mirror", "proxy", "prefix"])
KINDS = pytest.mark.parametrize("kind", ["pypi", "npm"])
WRONG = pytest.mark.parametrize(
    "wrong",
    [lambda body: body[:-1] + b"?", lambda body: body[:-3], lambda body: body + b"more"],
    ids=["other", "short", "longer"],
)


class Packages:
    """One package with one file, on an origin that a cache has as a mirror."""

    def __init__(self, origin: Origin, kind: str, body: bytes) -> None:
        self.origin, self.kind = origin, kind
        self.page = {"pypi": "/simple/x/", "npm": "/x"}[kind]
        self.file = {"pypi": "/files/x-1.0-py3-none-any.whl", "npm": "/x/-/x-1.0.0.tgz"}[kind]
        self.put_page(body)
        self.put(body)

    @property
    def config(self) -> dict[str, Any]:
        return {"mirrors": {"m": {"ecosystem": self.kind, "upstream": self.origin.url("/")}}}

    def put_page(self, body: bytes, **options: Any) -> None:
        if self.kind == "pypi":
            digest = hashlib.sha256(body).hexdigest()
            told: Any = {"files": [{"url": f"../..{self.file}", "hashes": {"sha256": digest}}]}
        else:
            integrity = f"sha512-{base64.b64encode(hashlib.sha512(body).digest()).decode()}"
            dist = {"tarball": self.origin.url(self.file), "integrity": integrity}
            told = {"name": "x", "versions": {"1.0.0": {"name": "x", "dist": dist}}}
        media_type = JSON if self.kind == "pypi" else "application/json"
        headers = [("Content-Type", media_type)]
        self.origin.put(self.page, json.dumps(told).encode(), headers=headers, **options)

    def put(self, *bodies: bytes, **options: Any) -> None:
        """Have the file be these, one after the other; the last one stays."""
        left = list(bodies)

        def answer(_asked: Asked) -> Resource:
            return Resource(left.pop(0) if len(left) > 1 else left[0], **options)

        self.origin.put(self.file, handler=answer)

    def address(self, way: str, path: str) -> str:
        """The path as a client asks for it."""
        url = self.origin.url(path)
        return {"mirror": f"/m{path}", "proxy": url, "prefix": f"/{url}"}[way]


def whole(cache: Proxy, url: str) -> bytes | None:
    """What a client gets; None if it learns that this is not all, or an error."""
    reply = cache.get(url)
    return reply.body if reply.status == 200 and reply.complete else None


@KINDS
@WAYS
@SIZES
@WRONG
def test_a_poisoned_file(
    make_proxy: MakeProxy,
    origin: Origin,
    kind: str,
    way: str,
    body: bytes,
    wrong: Callable[[bytes], bytes],
) -> None:
    packages = Packages(origin, kind, body)
    cache = make_proxy(config=packages.config)
    assert cache.get(packages.address(way, packages.page)).status == 200
    packages.put(wrong(body), cache_control="max-age=600")
    file = packages.address(way, packages.file)
    assert whole(cache, file) is None
    # One that is here at once was asked for again, past caches; of another the client had most.
    asked = [one.get("Cache-Control") for one in origin.asked(packages.file)]
    assert asked == ([None, "no-cache"] if body is SMALL else [None])
    assert whole(cache, file) is None
    assert origin.asked(packages.file)[-1].get("Cache-Control") == "no-cache"
    algorithm = {"pypi": "sha256", "npm": "sha512"}[kind]
    log = cache.log()
    for told in (
        f"in {origin.url(packages.page)}",
        hashlib.new(algorithm, body).hexdigest(),
        hashlib.new(algorithm, wrong(body)).hexdigest(),
    ):
        assert told in log
    packages.put(body, cache_control="max-age=600")
    for _ in range(2):
        assert whole(cache, file) == body
    assert origin.count(packages.file) == (4 if body is SMALL else 3)


@KINDS
@WAYS
def test_right_the_second_time(make_proxy: MakeProxy, origin: Origin, kind: str, way: str) -> None:
    packages = Packages(origin, kind, SMALL)
    cache = make_proxy(config=packages.config)
    cache.get(packages.address(way, packages.page))
    packages.put(SMALL[::-1], SMALL, cache_control="max-age=600")
    for _ in range(2):
        assert whole(cache, packages.address(way, packages.file)) == SMALL
    assert origin.count(packages.file) == 2


@KINDS
@WAYS
@SIZES
def test_what_matches_is_asked_for_once(
    make_proxy: MakeProxy, origin: Origin, kind: str, way: str, body: bytes
) -> None:
    """It never changes, whatever its origin says of its age."""
    packages = Packages(origin, kind, body)
    cache = make_proxy(config=packages.config)
    cache.get(packages.address(way, packages.page))
    packages.put(body, cache_control="max-age=0", etag='"1"')
    for _ in range(3):
        assert whole(cache, packages.address(way, packages.file)) == body
    assert origin.count(packages.file) == 1


@SIZES
@pytest.mark.parametrize("workers", [1, 2])
def test_30_clients_at_once(make_proxy: MakeProxy, origin: Origin, body: bytes, workers: int) -> None:
    packages = Packages(origin, "pypi", body)
    cache = make_proxy(workers=workers, threads=16, config=packages.config)
    cache.get(packages.address("mirror", packages.page))
    packages.put(body[::-1])
    gate = origin.gate(packages.file)
    clients = [cache.download(packages.address("proxy", packages.file)) for _ in range(30)]
    for client in clients:
        client.open()
        client.start()
    origin.wait_for(packages.file)
    gate.open()
    for client in clients:
        client.join()
        assert not (client.complete and client.status == 200), client
    assert origin.count(packages.file) < 15
    packages.put(body)
    assert whole(cache, packages.address("prefix", packages.file)) == body


def test_by_two_workers_what_one_read_the_other_knows(make_proxy: MakeProxy, origin: Origin) -> None:
    packages = Packages(origin, "npm", SMALL)
    cache = make_proxy(workers=2, config=packages.config)
    packages.put(SMALL[::-1])
    for number in range(8):  # each connection may come to either worker
        packages.put_page(SMALL + b"%d" % number)
        page = packages.address("proxy", packages.page)
        cache.get(page, method="PURGE")
        assert whole(cache, page) is not None
        assert whole(cache, packages.address("proxy", packages.file)) is None


@KINDS
def test_what_is_stored_already_and_differs_is_fetched_anew(
    make_proxy: MakeProxy, origin: Origin, kind: str
) -> None:
    packages = Packages(origin, kind, LARGE)
    cache = make_proxy(config=packages.config)
    page, file = packages.address("proxy", packages.page), packages.address("proxy", packages.file)
    packages.put(SMALL, cache_control="max-age=600")
    assert whole(cache, file) == SMALL
    assert whole(cache, page) is not None
    packages.put(LARGE, cache_control="max-age=600")
    for _ in range(3):
        assert whole(cache, file) == LARGE
    # A newer page names the other one.
    packages.put_page(SMALL)
    packages.put(SMALL)
    assert cache.get(page, method="PURGE").status == 200
    assert whole(cache, page) is not None
    for _ in range(3):
        assert whole(cache, file) == SMALL
    assert origin.count(packages.file) == 3


@KINDS
def test_what_is_stored_already_and_right_stays(make_proxy: MakeProxy, origin: Origin, kind: str) -> None:
    packages = Packages(origin, kind, LARGE)
    cache = make_proxy(config=packages.config)
    file = packages.address("proxy", packages.file)
    for asked in (file, packages.address("prefix", packages.page), file, file):
        assert whole(cache, asked) is not None
    assert origin.count(packages.file) == 1


@pytest.mark.parametrize("verify", ["warn", "off"])
@SIZES
def test_mirrors_that_are_not_strict(
    make_proxy: MakeProxy, origin: Origin, verify: str, body: bytes
) -> None:
    packages = Packages(origin, "pypi", body)
    config = {"mirrors": {"m": {**packages.config["mirrors"]["m"], "verify": verify}}}
    cache = make_proxy(config=config)
    cache.get(packages.address("mirror", packages.page))
    packages.put(body[::-1], cache_control="max-age=600")
    for _ in range(2):
        assert whole(cache, packages.address("mirror", packages.file)) == body[::-1]
    assert ("does not match its" in cache.log()) == (verify == "warn")
    assert origin.count(packages.file) == 1


@SIZES
@pytest.mark.parametrize(
    "path", ["/d/by-hash/SHA256/{}", "/v2/a/blobs/sha256:{}", "/v2/a/manifests/sha256:{}"]
)
def test_digests_in_names_by_a_plain_proxy(
    make_proxy: MakeProxy, origin: Origin, body: bytes, path: str
) -> None:
    url = path.format(hashlib.sha256(body).hexdigest())
    cache = make_proxy()
    origin.put(url, body[::-1], cache_control="max-age=600")
    assert whole(cache, origin.url(url)) is None
    assert "does not match its name (sha-256)" in cache.log()
    origin.put(url, body, cache_control="max-age=0")
    for _ in range(3):
        assert whole(cache, origin.url(url)) == body
    assert origin.count(url) == (3 if body is SMALL else 2)


def test_a_coded_answer_is_not_the_file(make_proxy: MakeProxy, origin: Origin) -> None:
    packages = Packages(origin, "pypi", SMALL)
    cache = make_proxy(config=packages.config)
    cache.get(packages.address("mirror", packages.page))
    packed = gzip.compress(SMALL, mtime=0)
    packages.put(packed, headers=[("Content-Encoding", "gzip")])
    assert whole(cache, packages.address("proxy", packages.file)) == packed


def test_a_page_that_is_coded_is_read(make_proxy: MakeProxy, origin: Origin) -> None:
    packages = Packages(origin, "pypi", SMALL)
    digest = hashlib.sha256(SMALL).hexdigest()
    page = {"files": [{"url": origin.url(packages.file), "hashes": {"sha256": digest}}]}
    headers = [("Content-Type", JSON), ("Content-Encoding", "gzip")]
    origin.put(packages.page, gzip.compress(json.dumps(page).encode()), headers=headers)
    cache = make_proxy(config=packages.config)
    cache.get(packages.address("proxy", packages.page), [("Accept-Encoding", "gzip")])
    packages.put(SMALL[::-1])
    assert whole(cache, packages.address("proxy", packages.file)) is None


@pytest.mark.parametrize("page", [b"", b"{", b'{"files": [{"url": 1}, {"url": "http://[/", "hashes": 3}]}'])
def test_a_page_that_is_none_costs_nothing(make_proxy: MakeProxy, origin: Origin, page: bytes) -> None:
    packages = Packages(origin, "pypi", SMALL)
    origin.put(packages.page, page, headers=[("Content-Type", JSON)])
    cache = make_proxy(config=packages.config)
    assert whole(cache, packages.address("proxy", packages.page)) == page
    assert whole(cache, packages.address("proxy", packages.file)) == SMALL


@SIZES
def test_by_a_preset_without_a_mirror(make_proxy: MakeProxy, origin: Origin, body: bytes) -> None:
    packages = Packages(origin, "pypi", body)
    cache = make_proxy(config={"use": [{"ecosystem": "pypi", "hosts": [origin.host]}]})
    assert whole(cache, packages.address("proxy", packages.page)) is not None
    packages.put(body[::-1])
    assert whole(cache, packages.address("prefix", packages.file)) is None
    packages.put(body, cache_control="max-age=0")
    for _ in range(2):
        assert whole(cache, packages.address("proxy", packages.file)) == body


def test_who_asks_for_a_part_gets_none_of_what_differs(make_proxy: MakeProxy, origin: Origin) -> None:
    packages = Packages(origin, "pypi", LARGE)
    cache = make_proxy(config=packages.config)
    cache.get(packages.address("proxy", packages.page))
    packages.put(LARGE[::-1], etag='"1"')
    reply = cache.get(packages.address("proxy", packages.file), [("Range", "bytes=0-")])
    assert not (reply.complete and len(reply.body) == len(LARGE))
    packages.put(LARGE, etag='"2"')
    assert whole(cache, packages.address("proxy", packages.file)) == LARGE


def test_queries_of_documents_are_not_told(make_proxy: MakeProxy, origin: Origin) -> None:
    packages = Packages(origin, "pypi", SMALL)
    cache = make_proxy(config=packages.config)
    assert whole(cache, f"{packages.address('proxy', packages.page)}?token=s3cret") is not None
    packages.put(SMALL[::-1])
    reply = cache.get(packages.address("proxy", packages.file))
    assert reply.status == 502
    assert b"s3cret" not in reply.body
    assert "s3cret" not in cache.log()
    assert "does not match its stated digest" in cache.log()


def test_an_index_whose_configuration_tells_where_files_are(make_proxy: MakeProxy, origin: Origin) -> None:
    """A registry of Rust crates: its index names no URL."""
    crate = "/dl/serde/1.0.0/download"
    line = {"name": "serde", "vers": "1.0.0", "cksum": hashlib.sha256(SMALL).hexdigest()}
    origin.put("/config.json", json.dumps({"dl": origin.url("/dl")}).encode())
    origin.put("/se/rd/serde", json.dumps(line).encode() + b"\n")
    cache = make_proxy(config={"mirrors": {"m": {"ecosystem": "cargo", "upstream": origin.url("/")}}})
    for path in ("/m/config.json", "/m/se/rd/serde"):
        assert whole(cache, path) is not None
    origin.put(crate, SMALL[::-1], cache_control="max-age=600")
    assert whole(cache, f"/m{crate}") is None
    assert f"in {origin.url('/se/rd/serde')}" in cache.log()
    origin.put(crate, SMALL, cache_control="max-age=0")
    for _ in range(2):
        assert whole(cache, f"/m{crate}") == SMALL
    assert origin.count(crate) == 3
