"""Indexes of packages: found by what is stated of them, and given whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.repositories import repository_at, repository_of
from pyproxycache.routing.resource import Realm, Resource
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.urls import parse_url
from pyproxycache.serving.package_indexes import PackageIndexes
from pyproxycache.statement import Statement
from pyproxycache.store.values import Statements

BASE = "http://archive.test/debian"
FOLDER = f"{BASE}/dists/stable/main/binary-amd64"
PLACES = (
    repository_at(ECOSYSTEMS["apt"], parse_url(f"{BASE}/")),
    repository_at(ECOSYSTEMS["dnf"], parse_url("http://rpms.test/")),
    repository_at(ECOSYSTEMS["maven"], parse_url("http://jars.test/up/")),
)
SHA256, SHA512 = ("sha-256", "3c" * 32), ("sha-512", "4d" * 64)


class Stated:
    """What documents state, in a dict."""

    def __init__(
        self,
        known: Mapping[str, tuple[tuple[str, str], ...]],
        place: str = f"{BASE}/",
        *,
        fails: bool = False,
    ) -> None:
        self._known = known
        self._place = place
        self._fails = fails

    def of(self, key: str) -> Statements:
        if self._fails:
            raise StoreError("there is none")
        digests = self._known.get(key)
        page = f"{self._place}dists/stable/InRelease"
        return Statements() if digests is None else Statements((Statement(self._place, digests, page),))


class Stored:
    """The entries of a store, in a dict."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = {one.key: one for one in entries}

    def variants(self, key: str, limit: int) -> list[Entry]:
        return [self._entries[key]] if key in self._entries else []


def indexes(
    *known: tuple[str, tuple[tuple[str, str], ...]],
    place: str = f"{BASE}/",
    fails: bool = False,
    stored: Sequence[Entry] = (),
) -> PackageIndexes:
    stated = Stated(dict(known), place, fails=fails)
    return PackageIndexes(stated, Stored(stored), lambda url: repository_of(url, PLACES))  # type: ignore[arg-type]


def resource(url: str) -> Resource:
    return Realm(Policies()).resource(parse_url(url))


@pytest.mark.parametrize(
    ("digests", "named", "found"),
    [
        ((SHA256,), f"by-hash/SHA256/{SHA256[1]}", True),
        ((SHA256, SHA512), f"by-hash/SHA512/{SHA512[1]}", True),
        ((SHA256, SHA512), f"by-hash/SHA256/{SHA256[1]}", False),
        ((SHA256,), "by-hash/SHA256/" + "0" * 64, False),
        ((("sha", "2b" * 20),), f"by-hash/SHA1/{'2b' * 20}", False),
        ((), f"by-hash/SHA256/{SHA256[1]}", False),
    ],
    ids=["sha-256", "the stronger one", "the weaker one", "another one", "weak", "nothing stated"],
)
def test_an_index_by_its_digest(digests: tuple[tuple[str, str], ...], named: str, found: bool) -> None:
    url = f"{FOLDER}/Packages.xz"
    known = indexes((url, digests), (f"{FOLDER}/{named}", (SHA256,)))
    same = known.by_digest(resource(url))
    assert (str(same.url) if same else None) == (f"{FOLDER}/{named}" if found else None)


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}/pool/a.deb",
        f"{FOLDER}/by-hash/SHA256/{SHA256[1]}",
        f"{FOLDER}/Packages?x=1",
        "http://other.test/dists/stable/main/binary-amd64/Packages",
        "http://rpms.test/repodata/primary.xml.gz",
    ],
)
def test_what_is_no_index_of_an_archive(url: str) -> None:
    assert indexes((url, (SHA256,))).by_digest(resource(url)) is None


def test_another_repository_does_not_say_which_index_it_is() -> None:
    url, named = f"{FOLDER}/Packages.xz", f"{FOLDER}/by-hash/SHA256/{SHA256[1]}"
    known = (url, (SHA256,)), (named, (SHA256,))
    assert indexes(*known).by_digest(resource(url)) is not None
    assert indexes(*known, place="http://other.test/").by_digest(resource(url)) is None


def test_a_store_that_fails() -> None:
    assert indexes(fails=True).by_digest(resource(f"{FOLDER}/Packages")) is None


@pytest.mark.parametrize(
    ("url", "fields", "is_whole"),
    [
        (f"{BASE}/dists/stable/InRelease", ("Range", "If-Range"), True),
        (f"{BASE}/dists/stable/main/Contents-amd64.gz", ("Range", "If-Range"), True),
        ("http://rpms.test/repodata/repomd.xml", ("Range", "If-Range"), True),
        (f"{BASE}/dists/stable/InRelease", ("Range",), False),
        (f"{BASE}/pool/a.deb", ("Range", "If-Range"), False),
        ("http://other.test/dists/stable/InRelease", ("Range", "If-Range"), False),
    ],
)
def test_an_older_index_is_not_gone_on_with(url: str, fields: tuple[str, ...], is_whole: bool) -> None:
    values = {"Range": "bytes=7-", "If-Range": '"1"'}
    request = Request("GET", parse_url(url), Headers(tuple((name, values[name]) for name in fields)))
    asked = indexes().as_whole(resource(url), request)
    assert [*asked.headers] == ([] if is_whole else [*request.headers])


METADATA = "http://jars.test/up/org/a/maven-metadata.xml"
CHECKSUMS = (".md5", ".sha1", ".sha256", ".sha512", ".asc")


@pytest.mark.parametrize(
    ("url", "beside"),
    [
        (METADATA, [f"{METADATA}{one}" for one in CHECKSUMS]),
        (f"{METADATA}.sha1", [METADATA, *(f"{METADATA}{one}" for one in CHECKSUMS if one != ".sha1")]),
        ("http://jars.test/up/org/a/1.0/a-1.0.jar", []),
        (f"{METADATA}?x", []),
        (f"{BASE}/dists/stable/Release", [f"{BASE}/dists/stable/Release.gpg"]),
        (f"{BASE}/dists/stable/Release.gpg", [f"{BASE}/dists/stable/Release"]),
        (f"{BASE}/dists/stable/InRelease", []),
        ("http://rpms.test/repodata/repomd.xml.asc", ["http://rpms.test/repodata/repomd.xml"]),
        ("http://other.test/repodata/repomd.xml.asc", []),
    ],
)
def test_what_changes_together(url: str, beside: list[str]) -> None:
    assert [str(one.url) for one in indexes().beside(resource(url))] == beside


def test_what_a_snapshot_changes_with() -> None:
    jar = "http://jars.test/up/org/a/1.0-SNAPSHOT/a-1.0-SNAPSHOT.jar"
    others = {str(one.url) for one in indexes().beside(resource(f"{jar}.sha1"))}
    assert others == {jar, *(f"{jar}{one}" for one in CHECKSUMS if one != ".sha1")}


def test_what_a_purge_takes() -> None:
    """What changes together, and what is stored under the name of its digest."""
    packages, named = f"{FOLDER}/Packages.xz", f"{FOLDER}/by-hash/SHA256/{SHA256[1]}"
    known = indexes((packages, (SHA256,)), (named, (SHA256,)))
    assert [str(one.url) for one in known.belonging(resource(packages))] == [packages, named]
    release = f"{BASE}/dists/stable/Release"
    assert {one.key for one in known.belonging(resource(release))} == {release, f"{release}.gpg"}


def test_what_is_stored_beside_is_looked_at() -> None:
    def entry(url: str, at: float) -> Entry:
        return Entry(url, Head(200), request_time=at, response_time=at)

    own = entry(METADATA, 1000.0)
    known = indexes(stored=[entry(f"{METADATA}.sha1", 1100.0)])
    assert known.is_behind(own, known.beside(resource(METADATA)))
    assert not indexes().is_behind(own, known.beside(resource(METADATA)))
