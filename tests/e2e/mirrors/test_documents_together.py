"""Documents that change together: metadata and digests, a Release and its signature, indexes by digest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import call
from harness import Proxy
from origin import Origin
from set_clock import Clock

from pyproxycache.rules.grammar import format_http_date

MakeProxy = Callable[..., Proxy]
WAYS = pytest.mark.parametrize("way", ["mirror", "proxy", "prefix"])
METADATA = "/up/org/a/maven-metadata.xml"
PAIRS = pytest.mark.parametrize(
    ("ecosystem", "first", "second", "fresh"),
    [
        ("maven", METADATA, f"{METADATA}.sha1", 300),
        ("maven", METADATA, f"{METADATA}.sha512", 300),
        (
            "maven",
            "/up/org/a/1-SNAPSHOT/a-1-SNAPSHOT.jar",
            "/up/org/a/1-SNAPSHOT/a-1-SNAPSHOT.jar.md5",
            300,
        ),
        ("apt", "/up/dists/stable/Release", "/up/dists/stable/Release.gpg", 5),
        ("dnf", "/up/repodata/repomd.xml", "/up/repodata/repomd.xml.asc", 5),
    ],
    ids=["sha1", "sha512", "snapshot", "apt", "dnf"],
)
LONG_AGO = "Mon, 01 Jan 2024 00:00:00 GMT"


class Site:
    """Two documents that an origin changes together, and a cache in front, whose clock is set."""

    def __init__(self, origin: Origin, make: MakeProxy, folder: Path, ecosystem: str, *paths: str) -> None:
        self.origin, self.paths, self.clock = origin, paths, Clock(folder)
        self.put(b"1")
        config = {"mirrors": {"m": {"ecosystem": ecosystem, "upstream": origin.url("/up/")}}}
        self.cache = make(config=config, environment=self.clock.environment)

    def put(self, text: bytes, *paths: str, modified: str = LONG_AGO) -> None:
        """Have these be of one generation, or both."""
        for path in paths or self.paths:
            options: dict[str, Any] = {
                "etag": f'"{text.decode()}"',
                "headers": [("Last-Modified", modified)],
            }
            self.origin.put(path, text, **options)

    def get(self, way: str, path: str) -> bytes:
        url = self.origin.url(path)
        address = {"mirror": f"/m{path.removeprefix('/up')}", "proxy": url, "prefix": f"/{url}"}[way]
        reply = self.cache.get(address)
        assert reply.status == 200
        return reply.body

    def both(self, way: str) -> list[bytes]:
        return [self.get(way, path) for path in self.paths]


@pytest.fixture
def make_site(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> Callable[..., Site]:
    return lambda *what: Site(origin, make_proxy, tmp_path, *what)


@WAYS
@PAIRS
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "the other way round"])
def test_both_are_of_one_generation(
    make_site: Callable[..., Site],
    way: str,
    ecosystem: str,
    first: str,
    second: str,
    fresh: int,
    turned: bool,
) -> None:
    """One of them is stale before the other, and has changed."""
    one, other = (second, first) if turned else (first, second)
    site = make_site(ecosystem, one, other)
    assert site.get(way, one) == b"1"
    site.clock.set(fresh - 1)
    assert site.get(way, other) == b"1"
    site.put(b"2")
    site.clock.set(2 * fresh - 2)
    assert site.both(way) == [b"2", b"2"]


@WAYS
def test_they_are_asked_for_no_more_than_they_have_to_be(make_site: Callable[..., Site], way: str) -> None:
    site = make_site("maven", METADATA, f"{METADATA}.sha1")
    for seconds, count in ((0, 1), (3, 1), (200, 1), (301, 2)):
        site.clock.set(seconds)
        assert site.both(way) == [b"1", b"1"]
        assert [site.origin.count(path) for path in site.paths] == [count, count]


@WAYS
def test_what_is_seen_half_changed_is_asked_for_again(make_site: Callable[..., Site], way: str) -> None:
    """Tools put the metadata first, and then its digests."""
    site = make_site("maven", METADATA, f"{METADATA}.sha1")
    assert site.both(way) == [b"1", b"1"]
    site.clock.set(400)
    now = format_http_date(time.time() + 400)
    site.put(b"2", METADATA, modified=now)
    assert site.both(way) == [b"2", b"1"]
    site.put(b"2", modified=now)
    site.clock.set(406)
    assert site.both(way) == [b"2", b"2"]


def test_the_upstream_that_fails_leaves_what_is_stored(make_site: Callable[..., Site]) -> None:
    site = make_site("maven", METADATA, f"{METADATA}.sha1")
    site.get("mirror", METADATA)
    site.clock.set(200)
    site.get("mirror", f"{METADATA}.sha1")
    site.origin.stop()
    assert site.both("mirror") == [b"1", b"1"]


@PAIRS
@pytest.mark.parametrize("by", ["method", "command"])
def test_a_purge_takes_both(
    make_site: Callable[..., Site], ecosystem: str, first: str, second: str, fresh: int, by: str
) -> None:
    site = make_site(ecosystem, first, second)
    site.both("mirror")
    purge(site.cache, by, site.origin.url(second))
    site.both("mirror")
    assert [site.origin.count(path) for path in site.paths] == [2, 2]


@WAYS
@pytest.mark.parametrize("by", ["method", "command"])
def test_a_purge_of_an_index_takes_its_copy_by_digest(
    make_proxy: MakeProxy, origin: Origin, way: str, by: str
) -> None:
    packages, suite = b"Package: a\n", "/up/dists/stable"
    digest = hashlib.sha256(packages).hexdigest()
    named = f"{suite}/main/binary-amd64/by-hash/SHA256/{digest}"
    listed = f" {digest} {len(packages)} main/binary-amd64/Packages"
    origin.put(f"{suite}/Release", f"Acquire-By-Hash: yes\nSHA256:\n{listed}\n".encode())
    origin.put(named, packages)
    cache = make_proxy(config={"mirrors": {"m": {"ecosystem": "apt", "upstream": origin.url("/up/")}}})
    path = f"{suite}/main/binary-amd64/Packages"
    url = origin.url(path)
    address = {"mirror": f"/m{path.removeprefix('/up')}", "proxy": url, "prefix": f"/{url}"}[way]
    assert cache.get(origin.url(f"{suite}/Release")).status == 200
    for _ in range(2):
        assert cache.get(address).body == packages
    assert origin.count(named) == 1
    purge(cache, by, url)
    assert cache.get(address).body == packages
    assert origin.count(named) == 2


def purge(cache: Proxy, by: str, url: str) -> None:
    if by == "method":
        assert cache.get(url, method="PURGE").status == 200
        assert cache.get(url, method="PURGE").status == 404
    else:
        options = "--cache-dir", str(cache.cache_dir), "-c", str(cache.config_file)
        assert call("purge", url, *options).status == 0
