"""PURGE: the cache's own method, for those who may use it, and for no origin."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Proxy
from origin import Origin

NEAR = {"allow_purge": ["127.0.0.1"]}
FAR = {"allow": ["127.0.0.0/8"], "allow_purge": ["192.0.2.0/24"]}


def ways(origin: Origin, path: str) -> dict[str, str]:
    url = origin.url(path)
    return {"proxy": url, "prefix": f"/{url}", "encoded": f"/{quote(url, safe='')}"}


@pytest.fixture
def file(origin: Origin) -> Origin:
    origin.put("/file", b"file", cache_control="max-age=600")
    return origin


@pytest.mark.parametrize("way", ["proxy", "prefix", "encoded"])
def test_what_is_stored_is_forgotten(make_proxy: Callable[..., Proxy], file: Origin, way: str) -> None:
    cache = make_proxy(workers=2, config=NEAR)
    url = ways(file, "/file")[way]
    for count in (1, 2):
        for _ in range(4):  # from memory too
            assert cache.get(url).body == b"file"
        assert file.count("/file") == count
        assert cache.get(url, method="PURGE").status == 200
        assert cache.get(url, method="PURGE").status == 404
    assert {asked.method for asked in file.requests} == {"GET"}


def test_reverse_proxy(make_proxy: Callable[..., Proxy], file: Origin) -> None:
    cache = make_proxy(config=NEAR, arguments=["--upstream", file.url()])
    cache.get("/file")
    assert [cache.get("/file", method="PURGE").status for _ in range(2)] == [200, 404]
    cache.get("/file")
    assert [asked.method for asked in file.requests] == ["GET", "GET"]


@pytest.mark.parametrize("way", ["proxy", "prefix", "encoded", "reverse"])
def test_not_for_others(make_proxy: Callable[..., Proxy], file: Origin, way: str, tmp_path: Path) -> None:
    reverse = ["--upstream", file.url()] if way == "reverse" else []
    log = {"access": str(tmp_path / "access.log"), "format": "json"}
    cache = make_proxy(config={**FAR, "log": log}, arguments=reverse)
    url = "/file" if reverse else ways(file, "/file")[way]
    for _ in range(2):
        assert cache.get(url).body == b"file"
        refused = cache.get(url, method="PURGE")
        assert (refused.status, b"allow_purge" in refused.body) == (403, True)
    assert [asked.method for asked in file.requests] == ["GET"]
    cache.terminate()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert [line["status"] for line in lines if line["method"] == "PURGE"] == [403, 403]


@pytest.mark.parametrize("field", ["Via", "X-Forwarded-For", "Forwarded"])
def test_not_through_another_proxy(make_proxy: Callable[..., Proxy], file: Origin, field: str) -> None:
    cache = make_proxy(config=NEAR)
    cache.get(file.url("/file"))
    value = {"Via": "1.1 other", "X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.1"}[field]
    assert cache.get(file.url("/file"), [(field, value)], method="PURGE").status == 403
    assert cache.get(file.url("/file"), method="PURGE").status == 200


def test_by_the_rules_of_keys(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    cache = make_proxy(config={"rules": [{"match": {"path": "/q"}, "query": "ignore", "fresh": "1h"}]})
    origin.put("/q", b"q")
    cache.get(origin.url("/q?a=1"))
    assert cache.get(origin.url("/q?b=2"), method="PURGE").status == 200
    assert cache.get(origin.url("/none"), method="PURGE").status == 404


def test_of_the_cache_itself_there_is_nothing_to_purge(make_proxy: Callable[..., Proxy]) -> None:
    cache = make_proxy()
    assert cache.get("/", method="PURGE").status == 404
    assert cache.get("/api/v1/fetch/?url=http://h/", method="PURGE").status == 405
    assert cache.get("/nothing", method="PURGE", body=b"content").status == 404
