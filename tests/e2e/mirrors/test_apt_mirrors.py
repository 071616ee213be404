"""apt-get with an archive behind a mirror, a proxy and a prefix: what is asked once, and generations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from debian_archive import PACKAGE, SUITE, AptGet, DebianArchive, sha256
from harness import Proxy
from origin import Origin

MakeProxy = Callable[..., Proxy]
WAYS = ("mirror", "proxy", "prefix")


class Shop:
    """A cache, an archive, and apt-get on any number of machines that reach it in one way."""

    def __init__(self, archive: DebianArchive, cache: Proxy, way: str, folder: Path) -> None:
        self.archive, self.cache, self.way, self.folder = archive, cache, way, folder

    def machine(self, name: str, **options: object) -> AptGet:
        upstream = self.archive.origin.url("/debian")
        address = {
            "mirror": f"{self.cache.url}/deb",
            "proxy": upstream,
            "prefix": f"{self.cache.url}/{upstream}",
        }[self.way]
        if self.way == "proxy":
            options["Acquire__http__Proxy"] = self.cache.url
        source = f"deb [signed-by={self.archive.keyring}] {address} stable main"
        return AptGet(self.folder / name, source, **options)


@pytest.fixture
def make_shop(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> Callable[..., Shop]:
    def make(way: str, *, by_hash: bool = True, **config: object) -> Shop:
        archive = DebianArchive(origin, tmp_path / "archive", by_hash=by_hash)
        archive.publish(1)
        mirror = {"ecosystem": "apt", "upstream": origin.url("/debian/")}
        cache = make_proxy(workers=2, config={"mirrors": {"deb": mirror}, **config})
        return Shop(archive, cache, way, tmp_path)

    return make


@pytest.mark.parametrize("by_hash", [True, False], ids=["by-hash", "by-name"])
@pytest.mark.parametrize("way", WAYS)
def test_the_second_machine_needs_no_origin(
    make_shop: Callable[..., Shop], way: str, by_hash: bool
) -> None:
    shop = make_shop(way, by_hash=by_hash)
    first = shop.machine("first")
    first.update()
    assert first.download() == shop.archive.package
    asked = shop.archive.asked("by-hash")
    assert bool(asked) == by_hash
    assert len(shop.archive.asked(".deb")) == 1
    shop.archive.origin.stop()
    second = shop.machine("second")
    second.update()
    assert (second.described(), second.download()) == ("1", shop.archive.package)


def test_documents_are_given_as_they_are(make_shop: Callable[..., Shop]) -> None:
    """With their length, their own ETag, and in parts: links in them are relative."""
    shop = make_shop("mirror")
    for name, content in shop.archive.indexes(1).items():
        reply = shop.cache.get(f"/deb/{SUITE}/{name}")
        assert (reply.status, reply.body, reply.get("ETag")) == (200, content, '"1"')
        assert reply.get("Content-Length") == str(len(content))
        part = shop.cache.get(f"/deb/{SUITE}/{name}", [("Range", "bytes=2-5")])
        assert (part.status, part.body) == (206, content[2:6])


def test_a_flat_archive(make_proxy: MakeProxy, origin: Origin) -> None:
    """apt asks for /./Packages where the source names the folder "./"."""
    origin.put("/flat/./Packages", b"Package: a\n")
    mirror = {"ecosystem": "apt", "upstream": origin.url("/flat/")}
    cache = make_proxy(config={"mirrors": {"deb": mirror}})
    assert cache.get("/deb/./Packages").body == b"Package: a\n"
    assert [one.target for one in origin.requests] == ["/flat/./Packages"]


def test_by_hash_is_found_when_the_archive_has_it_no_more(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop("mirror")
    shop.machine("first").update()
    (asked,) = shop.archive.asked("by-hash")
    shop.archive.origin.put(asked, b"", status=404)
    reply = shop.cache.get(asked.replace("/debian/", "/deb/"))
    assert (reply.status, reply.body) == (
        200,
        shop.archive.indexes(1)["main/binary-amd64/Packages.xz"],
    )


BY_NAME = {"Acquire__By-Hash": "no"}
PACKAGES = "main/binary-amd64/Packages.xz"
# As if the Release had been asked for just now, however slow the machine is.
RELEASE_IS_FRESH = {"rules": [{"match": {"path": "/InRelease$"}, "fresh": "1h"}]}


def forget(shop: Shop, name: str) -> None:
    url = shop.archive.origin.url(f"/debian/{SUITE}/{name}")
    assert shop.cache.get(url, method="PURGE").status == 200


@pytest.mark.parametrize("way", ["mirror", "proxy"])
def test_indexes_belong_to_the_release_that_the_cache_gives(
    make_shop: Callable[..., Shop], way: str
) -> None:
    """The origin goes on between the two: what the Release names is fetched by its digest."""
    shop = make_shop(way, **RELEASE_IS_FRESH)
    assert shop.cache.get(f"/deb/{SUITE}/InRelease").status == 200
    shop.archive.publish(2)
    first = shop.machine("first", **BY_NAME)
    first.update()
    assert first.described() == "1"
    forget(shop, "InRelease")
    for name in ("second", "third"):
        machine = shop.machine(name, **BY_NAME)
        machine.update()
        assert machine.described() == "2"
    # All that came by its name has come by its digest, and once.
    assert len(shop.archive.asked("by-hash")) == len({*shop.archive.asked("by-hash")}) == 2
    assert shop.archive.asked(PACKAGES) == []


def test_an_index_of_another_generation_is_not_given(make_shop: Callable[..., Shop]) -> None:
    """In an archive that has nothing by digest, a machine has to wait until its indexes belong together."""
    shop = make_shop("mirror", by_hash=False, **RELEASE_IS_FRESH)
    assert shop.cache.get(f"/deb/{SUITE}/InRelease").status == 200
    shop.archive.publish_indexes(2)
    early = shop.machine("early")
    assert early.run("update", "-oAPT::Update::Error-Mode=any").returncode != 0
    refused = shop.cache.get(f"/deb/{SUITE}/{PACKAGES}")
    assert refused.status == 502 or not refused.complete
    shop.archive.publish_release(2)
    forget(shop, "InRelease")
    early.update()
    assert early.described() == "2"


def test_a_new_release_has_new_indexes(make_shop: Callable[..., Shop]) -> None:
    """Those that are stored under the same names are of the old one, however fresh they are."""
    fresh = {"rules": [{"match": {"path": "/dists/"}, "fresh": "1h"}]}
    shop = make_shop("mirror", by_hash=False, **fresh)
    first = shop.machine("first")
    first.update()
    shop.archive.publish(2)
    forget(shop, "InRelease")
    second = shop.machine("second")
    second.update()
    assert (first.described(), second.described()) == ("1", "2")


def test_three_generations_are_there_by_their_digests(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop("mirror", **RELEASE_IS_FRESH)
    digests = []
    for generation in (1, 2, 3):
        shop.archive.publish(generation)
        shop.cache.get(f"/deb/{SUITE}/InRelease")
        machine = shop.machine(f"of-{generation}", **BY_NAME)
        machine.update()
        assert machine.described() == str(generation)
        digests.append(sha256(shop.archive.indexes(generation)[PACKAGES]))
        forget(shop, "InRelease")
    shop.archive.origin.stop()
    for generation, digest in enumerate(digests, start=1):
        reply = shop.cache.get(f"/deb/{SUITE}/main/binary-amd64/by-hash/SHA256/{digest}")
        assert (reply.status, reply.body) == (200, shop.archive.indexes(generation)[PACKAGES])


def test_a_package_that_is_not_what_packages_names(make_shop: Callable[..., Shop]) -> None:
    shop = make_shop("proxy")
    machine = shop.machine("first")
    machine.update()
    path = PACKAGE.replace("+", "%2b")
    asked = shop.archive.origin.url(f"/debian/{path}")
    shop.archive.put(path, b"!<arch>\nother", 2)
    refused = shop.cache.get(asked)
    assert refused.status == 502 or not refused.complete
    shop.archive.put(path, shop.archive.package, 3)
    assert machine.download() == shop.archive.package
    shop.archive.origin.stop()
    assert shop.cache.get(asked).body == shop.archive.package
