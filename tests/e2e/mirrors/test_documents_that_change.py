"""Documents that their origins replace while they arrive, or between two readings of them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from debian_archive import SUITE, sha256
from harness import Proxy
from origin import Asked, Origin, Resource
from package_shelf import integrity
from test_apt_mirrors import RELEASE_IS_FRESH, Shop, forget
from test_apt_mirrors import make_shop as make_shop
from test_cooldown import ago, archive, archive_of, put_javascript

MakeProxy = Callable[..., Proxy]
INDEX = "main/binary-amd64/Packages.xz"
JSON = [("Content-Type", "application/json")]


def npm_mirror(origin: Origin) -> dict[str, Any]:
    return {"js": {"ecosystem": "npm", "upstream": origin.url("/js/"), "min_age": "7d"}}


@pytest.mark.parametrize("by_hash", [True, False], ids=["by-hash", "by-name"])
def test_the_generation_changes_while_an_index_arrives(
    make_shop: Callable[..., Shop], by_hash: bool
) -> None:
    shop = make_shop("mirror", by_hash=by_hash, **RELEASE_IS_FRESH)
    before = shop.archive.indexes(1)[INDEX]
    assert shop.cache.get(f"/deb/{SUITE}/InRelease").status == 200
    name = f"main/binary-amd64/by-hash/SHA256/{sha256(before)}" if by_hash else INDEX
    gate = shop.archive.origin.gate(f"/debian/{SUITE}/{name}", 0.5)
    with ThreadPoolExecutor(1) as clients:
        arriving = clients.submit(shop.cache.get, f"/deb/{SUITE}/{INDEX}")
        gate.wait_reached()
        shop.archive.publish(2)
        forget(shop, "InRelease")
        release = shop.cache.get(f"/deb/{SUITE}/InRelease").body.decode()
        gate.open()
        assert arriving.result().body == before
    after = shop.cache.get(f"/deb/{SUITE}/{INDEX}").body
    assert sha256(after) in release
    machine = shop.machine("machine")
    machine.update()
    assert machine.described() == "2"


@pytest.mark.parametrize("tags", [('"1"', '"2"'), (None, None)], ids=["tags", "none"])
def test_an_index_is_replaced_where_its_download_breaks_off(
    make_proxy: MakeProxy, origin: Origin, tags: tuple[str | None, str | None]
) -> None:
    """It is never pieced together of two, and nothing is judged by what there is no more."""
    file, path = "tiny-1-0.tar.bz2", "/up/noarch/repodata.json"
    long_ago, lately = ((time.time() - age) * 1000 for age in (40 * 86400, 3600))
    others = {
        f"p{n}-1-0.tar.bz2": {"name": f"p{n}", "version": "1", "timestamp": long_ago} for n in range(9000)
    }

    def index(released: float) -> bytes:
        tiny = {"name": "tiny", "version": "1", "timestamp": released}
        return json.dumps({"packages": {**others, file: tiny}}).encode()

    origin.put(path, index(long_ago), etag=tags[0], break_at=[300_000, None])
    origin.put(f"/up/noarch/{file}", b"package")
    mirror = {"ecosystem": "conda", "upstream": origin.url("/up/"), "min_age": "7d"}
    cache = make_proxy(config={"mirrors": {"conda": mirror}})
    gate = origin.gate(path, 200_000)
    with ThreadPoolExecutor(1) as clients:
        arriving = clients.submit(cache.get, "/conda/noarch/repodata.json")
        gate.wait_reached()
        origin.put(path, index(lately), etag=tags[1])
        gate.open()
        assert not arriving.result().complete
    assert cache.get(f"/conda/noarch/{file}").status == 403
    shown = json.loads(cache.get("/conda/noarch/repodata.json").body)["packages"]
    assert (file in shown, len(shown)) == (False, len(others))
    assert origin.count(f"/up/noarch/{file}") == 0


@pytest.mark.parametrize("has_tags", [True, False])
def test_a_document_that_is_another_one_each_time(
    make_proxy: MakeProxy, origin: Origin, has_tags: bool
) -> None:
    """It is read before it is shown: what is not old enough by the first reading is not shown."""
    ages: dict[str, float | None] = {"1.0.0": 30, "2.0.0": 0.5}
    count = iter(range(1, 100))

    def another(_asked: Asked) -> Resource:
        number = next(count)
        times = {version: ago(age or 0) for version, age in ages.items()} | {f"3.0.{number}": ago(0.5)}
        versions = {
            one: {"version": one, "dist": {"tarball": origin.url(f"/js/c/-/c-{one}.tgz")}} for one in times
        }
        document = {
            "name": "c",
            "dist-tags": {"latest": f"3.0.{number}"},
            "versions": versions,
            "time": times,
        }
        tag = f'"{number}"' if has_tags else None
        return Resource(json.dumps(document).encode(), headers=JSON, etag=tag, cache_control="no-store")

    origin.put("/js/c", handler=another)
    cache = make_proxy(config={"mirrors": npm_mirror(origin)})
    for _ in range(3):
        reply = cache.get("/js/c")
        shown = json.loads(reply.body)
        assert (list(shown["versions"]), shown["dist-tags"]) == (["1.0.0"], {"latest": "1.0.0"})
        assert reply.get("ETag") is None


def test_file_and_document_are_replaced_while_the_file_arrives(
    make_proxy: MakeProxy, origin: Origin
) -> None:
    """The one that was judged is given; the other one belongs to the new document, and is judged by it."""
    put_javascript(origin, "tiny", {"2.0.0": 30})
    cache = make_proxy(workers=2, config={"mirrors": npm_mirror(origin)})
    path, other = archive("tiny", "2.0.0"), b"other"
    gate = origin.gate(path)
    with ThreadPoolExecutor(1) as clients:
        arriving = clients.submit(cache.get, path)
        gate.wait_reached()
        dist = {"tarball": origin.url(path), "integrity": integrity(other)}
        versions = {"2.0.0": {"name": "tiny", "version": "2.0.0", "dist": dist}}
        document = {"name": "tiny", "versions": versions, "time": {"2.0.0": ago(0.5)}}
        origin.put("/js/tiny", json.dumps(document).encode(), headers=JSON, etag='"new"')
        origin.put(path, other, etag='"other"')
        gate.open()
        assert arriving.result().body == archive_of("tiny", "2.0.0")
    assert (
        hashlib.sha256(cache.get(path).body).digest()
        == hashlib.sha256(archive_of("tiny", "2.0.0")).digest()
    )
    assert cache.get(origin.url("/js/tiny"), method="PURGE").status == 200
    assert cache.get("/js/tiny").status == 403
    assert cache.get(path).status == 403
