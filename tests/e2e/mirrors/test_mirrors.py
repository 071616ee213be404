"""Mirrors below the cache's own address: links, validators, order of upstreams, redirects."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "x-1.0-py3-none-any.whl"
FILE = b"wheel" * 100


@pytest.fixture
def files() -> Iterator[Origin]:
    """The host of files, which is not that of the index."""
    with Origin() as running:
        running.put(f"/packages/{WHEEL}", FILE, etag='"f"', cache_control="max-age=600")
        yield running


@pytest.fixture
def index(origin: Origin, files: Origin) -> Origin:
    put_page(origin, files, etag='"1"')
    return origin


@pytest.fixture
def cache(make_proxy: MakeProxy, index: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"py": {"ecosystem": "pypi", "upstream": index.url("/root/")}}})


def page_of(files: Origin) -> bytes:
    file = {"filename": WHEEL, "url": files.url(f"/packages/{WHEEL}"), "hashes": {"sha256": digest(FILE)}}
    return json.dumps({"name": "x", "files": [file]}).encode()


def put_page(index: Origin, files: Origin, **options: str) -> None:
    index.put("/root/simple/x/", page_of(files), headers=[("Content-Type", JSON)], **options)


def netloc(origin: Origin) -> str:
    return f"{origin.host}:{origin.port}"


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def link(cache: Proxy, path: str = "/py/simple/x/", host: str = "") -> str:
    """The link to the only file of a page."""
    reply = cache.get(path, [("Host", host)] if host else [])
    assert (reply.status, reply.get("Content-Type")) == (200, JSON)
    found: str = json.loads(reply.body)["files"][0]["url"]
    return found


def test_links_lead_back_to_the_mirror(cache: Proxy, index: Origin, files: Origin) -> None:
    for _ in range(2):
        url = link(cache)
        assert url == f"{cache.url}/py/~/http/{netloc(files)}/packages/{WHEEL}"
        assert cache.get(url.removeprefix(cache.url)).body == FILE
    assert link(cache, host="mirror.test") == url.replace(cache.netloc, "mirror.test")
    assert (index.count("/root/simple/x/"), files.count(f"/packages/{WHEEL}")) == (1, 1)


def test_links_for_a_client_that_names_no_host_are_paths(cache: Proxy, files: Origin) -> None:
    host, _, port = cache.netloc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"GET /py/simple/x/ HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as received:
            body = received.read().partition(b"\r\n\r\n")[2]
    assert json.loads(body)["files"][0]["url"] == f"/py/~/http/{netloc(files)}/packages/{WHEEL}"


def test_the_same_file_by_proxy_and_prefix_is_the_same(cache: Proxy, files: Origin) -> None:
    url = link(cache).removeprefix(cache.url)
    for way in (url, files.url(f"/packages/{WHEEL}"), f"/{files.url(f'/packages/{WHEEL}')}"):
        assert cache.get(way).body == FILE
    assert files.count(f"/packages/{WHEEL}") == 1


def test_the_shown_page_has_an_etag_of_its_own(cache: Proxy, index: Origin, files: Origin) -> None:
    first = cache.get("/py/simple/x/")
    tag = first.get("ETag") or ""
    assert tag not in ("", '"1"')
    again = cache.get("/py/simple/x/", [("If-None-Match", f'"other", {tag}')])
    assert (again.status, again.get("ETag"), again.body) == (304, tag, b"")
    # That of the origin is not that of the page; neither is one that was shown with other links.
    for other in ('"1"', '"1~00000000"'):
        assert cache.get("/py/simple/x/", [("If-None-Match", other)]).status == 200
    assert cache.get("/py/simple/x/", [("If-None-Match", tag), ("Host", "other.test")]).status == 200
    put_page(index, files, etag='"2"')
    assert cache.get(index.url("/root/simple/x/"), method="PURGE").status == 200
    changed = cache.get("/py/simple/x/", [("If-None-Match", tag)])
    assert (changed.status, changed.get("ETag") == tag) == (200, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_all_of_a_page_is_shown(cache: Proxy, method: str) -> None:
    fields = [("Range", "bytes=0-9"), ("Accept-Encoding", "br, zstd")]
    reply = cache.get("/py/simple/x/", fields, method=method)
    assert (reply.status, reply.get("Content-Length"), reply.get("Content-Encoding")) == (200, None, None)
    assert reply.complete


def test_a_page_in_gzip(make_proxy: MakeProxy, origin: Origin, files: Origin) -> None:
    packed = gzip.compress(page_of(files)[:20]) + gzip.compress(page_of(files)[20:])
    headers = [("Content-Type", JSON), ("Content-Encoding", "gzip")]
    origin.put("/simple/x/", packed, headers=headers)
    origin.put("/simple/y/", packed[:-30], headers=headers)
    cache = make_proxy(config={"mirrors": {"py": {"ecosystem": "pypi", "upstream": origin.url("/")}}})
    assert link(cache).endswith(WHEEL)
    assert not cache.get("/py/simple/y/").complete
    assert "cannot be shown: its gzip coding ends too early" in cache.log()


def test_public_url(make_proxy: MakeProxy, index: Origin) -> None:
    mirrors = {"py": {"ecosystem": "pypi", "upstream": index.url("/root")}}
    cache = make_proxy(config={"mirrors": mirrors, "public_url": "https://mirror.test/"})
    assert link(cache).startswith("https://mirror.test/py/~/http/")


def test_the_first_upstream_that_has_it_answers(
    make_proxy: MakeProxy, index: Origin, files: Origin
) -> None:
    with Origin() as empty, Origin() as failing:
        failing.put("/simple/x/", b"", status=500)
        upstream = [failing.url("/"), empty.url("/"), index.url("/root")]
        cache = make_proxy(config={"mirrors": {"py": {"ecosystem": "pypi", "upstream": upstream}}})
        for _ in range(3):
            assert link(cache).endswith(WHEEL)
        assert (failing.count("/simple/x/"), empty.count("/simple/x/")) == (1, 1)
        # Nobody is told that it is not there while one that may have it fails.
        assert cache.get("/py/simple/gone/").status == 404
        failing.put("/simple/lost/", b"", status=503)
        assert cache.get("/py/simple/lost/").status == 503


@pytest.mark.parametrize("status", [500, 429, 401, 403])
def test_what_is_the_firsts_own_is_not_taken_from_others(
    make_proxy: MakeProxy, index: Origin, files: Origin, status: int
) -> None:
    """Anybody may have put a package of that name into a public index."""
    with Origin() as own:
        upstream = [own.url("/"), own.url("/refuses/"), index.url("/root")]
        mirror = {"ecosystem": "pypi", "upstream": upstream, "own_first": True}
        cache = make_proxy(config={"mirrors": {"py": mirror}})
        own.put("/simple/x/", b"", status=status)
        own.put("/simple/y/", b'{"files": []}', headers=[("Content-Type", JSON)])
        own.put("/refuses/simple/z/", b"", status=500)
        own.put("/refuses/simple/y/", b"", status=500)
        index.put("/root/simple/y/", b"wrong")
        index.put("/root/simple/z/", b'{"files": [7]}', headers=[("Content-Type", JSON)])
        for _ in range(2):
            assert cache.get("/py/simple/x/").status == status
            # It is asked first though it has failed.
            assert cache.get("/py/simple/y/").body == b'{"files": []}'
            assert cache.get("/py/simple/z/").body == b'{"files": [7]}'
        assert index.count("/root/simple/x/") == index.count("/root/simple/y/") == 0


def test_an_upstream_that_is_down(make_proxy: MakeProxy, index: Origin, origin: Origin) -> None:
    with Origin() as gone:
        upstream = [gone.url("/"), index.url("/root")]
    cache = make_proxy(config={"mirrors": {"py": {"ecosystem": "pypi", "upstream": upstream}}})
    assert link(cache).endswith(WHEEL)


CREDENTIALS = [
    ("Authorization", "Bearer s3cret"),
    ("Cookie", "a=b"),
    ("Private-Token", "glpat-1"),
    ("Job-Token", "glcbt-1"),
    ("Deploy-Token", "gldt-1"),
    ("X-JFrog-Art-Api", "AKC1"),
]


@pytest.mark.parametrize(
    ("options", "index_gets", "files_get"),
    [
        ({}, True, False),
        ({"file_hosts": ["*", "elsewhere.test"]}, True, False),
        ({"file_hosts": ["127.0.0.1"]}, True, True),
        ({"min_age": "1d"}, True, False),
    ],
    ids=["any", "others named", "named", "with rules"],
)
def test_credentials_of_clients_go_to_no_host_that_a_document_names(
    make_proxy: MakeProxy,
    index: Origin,
    files: Origin,
    options: dict[str, Any],
    index_gets: bool,
    files_get: bool,
) -> None:
    """Clients send them to one host, the cache, for all links there."""
    mirror = {"ecosystem": "pypi", "upstream": index.url("/root/"), **options}
    cache = make_proxy(config={"mirrors": {"py": mirror}})
    named = f"/py/~/http/{netloc(files)}/packages/{WHEEL}"
    for method, path in (("GET", "/py/simple/x/"), ("GET", named), ("HEAD", named), ("PUT", named)):
        cache.get(path, CREDENTIALS, method=method)
    own = f"/py/~/http/{netloc(index)}/elsewhere"
    cache.get(own, CREDENTIALS)
    for asked, expected in ((index.requests, index_gets), (files.requests, files_get)):
        for name, value in CREDENTIALS:
            # Without them for documents by which files elsewhere are judged.
            assert (value in {one.get(name) for one in asked}) == expected, name


@pytest.mark.parametrize("own_first", [False, True])
def test_credentials_of_clients_go_to_own_upstreams(
    make_proxy: MakeProxy, index: Origin, own_first: bool
) -> None:
    """Several are copies of one, unless the first has packages of its own."""
    with Origin() as own:
        mirror = {
            "ecosystem": "pypi",
            "upstream": [own.url("/"), index.url("/root/")],
            "own_first": own_first,
        }
        cache = make_proxy(config={"mirrors": {"py": mirror}})
        own.put("/simple/x/", status=404)
        assert cache.get("/py/simple/x/", CREDENTIALS).status == 200
        for name, value in CREDENTIALS:
            assert own.requests[0].get(name) == value
            assert index.requests[0].get(name) == (None if own_first else value)


@pytest.mark.parametrize("is_named", [False, True])
def test_redirects_are_followed_inside(
    make_proxy: MakeProxy, index: Origin, files: Origin, is_named: bool
) -> None:
    """What they lead to is stored under the URL that does not change, as the other one expires."""
    mirror = {"ecosystem": "pypi", "upstream": index.url("/root/")}
    hosts = {"file_hosts": ["127.0.0.1"]} if is_named else {}
    cache = make_proxy(config={"mirrors": {"py": {**mirror, **hosts}}})
    with Origin() as signed:
        signed.put("/blob?signature=1", FILE, etag='"b"', cache_control="max-age=600")
        files.put(
            "/packages/y.whl", b"", status=302, headers=[("Location", signed.url("/blob?signature=1"))]
        )
        for _ in range(2):
            reply = cache.get(f"/py/~/http/{netloc(files)}/packages/y.whl", CREDENTIALS if _ else [])
            assert (reply.status, reply.body) == (200, FILE)
        assert (files.count("/packages/y.whl"), signed.count("/blob")) == (1, 1)
        files.put(
            "/packages/z.whl", b"", status=307, headers=[("Location", signed.url("/blob?signature=1"))]
        )
        assert cache.get(f"/py/~/http/{netloc(files)}/packages/z.whl", CREDENTIALS).body == FILE
        assert signed.requests[-1].get("Authorization") is signed.requests[-1].get("Cookie") is None
        assert files.requests[-1].get("Authorization") == ("Bearer s3cret" if is_named else None)


@pytest.mark.parametrize(
    ("form", "rules"), [("json", {}), ("html", {}), ("base", {}), ("json", {"min_age": "1d"})]
)
def test_links_of_a_page_behind_a_redirect(
    make_proxy: MakeProxy, origin: Origin, form: str, rules: dict[str, str]
) -> None:
    """They count from where the page was found, as they do for clients that follow the redirect."""
    origin.put("/root/simple/X_y", b"", status=301, headers=[("Location", "../moved/a/simple/x-y/?sig=1")])
    file = {"url": "../../f/x_y-1.0.tar.gz", "hashes": {"sha256": digest(FILE)}}
    if form == "json":
        dated = {**file, "filename": "x_y-1.0.tar.gz", "upload-time": "2020-01-01T00:00:00Z"}
        put = (json.dumps({"name": "x-y", "files": [dated]}).encode(), [("Content-Type", JSON)])
    else:
        base, reference = ('<base href="../../f/">', "") if form == "base" else ("", "../../f/")
        text = f'{base}<a href="{reference}x_y-1.0.tar.gz#sha256={digest(FILE)}">x</a>'
        put = (text.encode(), [("Content-Type", "text/html")])
    origin.put("/root/moved/a/simple/x-y/", put[0], headers=[*put[1], ("ETag", '"1"')])
    origin.put("/root/moved/a/f/x_y-1.0.tar.gz", FILE)
    origin.put("/root/simple/x-y/", b"", status=301, headers=[("Location", "../../moved/a/simple/x-y/")])
    mirror = {"ecosystem": "pypi", "upstream": origin.url("/root/"), **rules}
    cache = make_proxy(config={"mirrors": {"py": mirror}})
    for path in ("/py/simple/X_y", "/py/simple/x-y/") if not rules else ("/py/simple/x-y/",):
        for _ in range(2):
            reply = cache.get(path)
            assert (reply.status, reply.get("Content-Base")) == (200, None)
            url = f"{cache.url}/py/moved/a/f/x_y-1.0.tar.gz"
            assert url.encode() in reply.body
    assert cache.get(url.removeprefix(cache.url)).body == FILE
    # What the page states of the file counts, too.
    assert cache.get(origin.url("/root/moved/a/f/x_y-1.0.tar.gz"), method="PURGE").status == 200
    origin.put("/root/moved/a/f/x_y-1.0.tar.gz", b"wrong")
    assert cache.get(url.removeprefix(cache.url)).status == 502


@pytest.mark.parametrize("there", [200, 404], ids=["both", "one"])
@pytest.mark.parametrize(
    ("ecosystem", "path", "accepted"),
    [
        ("pypi", "simple/x/", [JSON, "text/html"]),
        ("npm", "x", ["application/vnd.npm.install-v1+json", "application/json"]),
    ],
)
def test_who_accepts_another_form_gets_it(
    make_proxy: MakeProxy, origin: Origin, ecosystem: str, path: str, accepted: list[str], there: int
) -> None:
    """Origins choose the form by Accept, and not all say so in Vary; some even share tags."""

    def chosen(asked: Asked) -> Resource | bytes:
        accept = asked.get("Accept") or ""
        status = there if accept == accepted[0] else 200
        headers = [("Content-Type", accept)]
        return Resource(b'{"versions": {}}', status=status, headers=headers, etag='"1"')

    origin.put(f"/{path}", handler=chosen)
    cache = make_proxy(config={"mirrors": {"m": {"ecosystem": ecosystem, "upstream": origin.url("/")}}})
    for _ in range(2):
        for accept in accepted:
            status = there if accept == accepted[0] else 200
            reply = cache.get(f"/m/{path}", [("Accept", accept)])
            assert (reply.status, reply.get("Content-Type")) == (status, accept)
    assert origin.count(f"/{path}") == 2


def test_circles_end(cache: Proxy, files: Origin) -> None:
    files.put("/packages/y.whl", b"", status=302, headers=[("Location", "/packages/y.whl")])
    assert cache.get(f"/py/~/http/{netloc(files)}/packages/y.whl").status == 502
    assert files.count("/packages/y.whl") == 11


@pytest.mark.parametrize("path", ["/py/../x", "/py/%2e%2E/x", "/py/simple/../../x", "/py/~/ftp/host/x"])
def test_no_path_leads_out(cache: Proxy, index: Origin, path: str) -> None:
    assert cache.get(path).status in (400, 404)
    assert [asked.target for asked in index.requests if not asked.target.startswith("/root/")] == []


def test_hosts_of_files_may_be_limited(make_proxy: MakeProxy, index: Origin, files: Origin) -> None:
    mirror = {"ecosystem": "pypi", "upstream": index.url("/root"), "file_hosts": ["files.test"]}
    cache = make_proxy(config={"mirrors": {"py": mirror}})
    reply = cache.get(f"/py/~/http/{netloc(files)}/packages/{WHEEL}")
    assert (reply.status, b"mirrors.py.file_hosts" in reply.body) == (404, True)
    assert files.requests == []


def test_what_changes_something_goes_to_the_first_upstream(make_proxy: MakeProxy, origin: Origin) -> None:
    mirror = {"ecosystem": "npm", "upstream": [origin.url("/npm"), "http://127.0.0.1:1/"]}
    cache = make_proxy(config={"mirrors": {"js": mirror}})
    origin.put("/npm/-/npm/v1/security/advisories/bulk", b"{}")
    reply = cache.get("/js/-/npm/v1/security/advisories/bulk", method="POST", body=b'{"a": ["1"]}')
    assert (reply.status, origin.requests[-1].body) == (200, b'{"a": ["1"]}')
    for _ in range(2):
        cache.get("/js/-/npm/v1/security/advisories/bulk")
    assert len(origin.requests) == 3


def test_what_changes_something_is_sent_once(make_proxy: MakeProxy, origin: Origin) -> None:
    mirror = {"ecosystem": "npm", "upstream": origin.url("/npm")}
    cache = make_proxy(config={"mirrors": {"js": mirror}})
    origin.put("/npm/a", b"", status=307, headers=[("Location", origin.url("/elsewhere"))])
    reply = cache.get("/js/a", method="PUT", body=b"{}")
    assert (reply.status, [asked.target for asked in origin.requests]) == (307, ["/npm/a"])
    assert reply.get("Location") == f"{cache.url}/js/~/http/{netloc(origin)}/elsewhere"


def test_a_page_that_is_none_breaks_off(cache: Proxy, index: Origin) -> None:
    index.put("/root/simple/bad/", b'{"files": [}', headers=[("Content-Type", JSON)])
    assert not cache.get("/py/simple/bad/").complete
    assert cache.get("/py/simple/x/").complete


def test_an_old_index_stands_in_for_a_failing_upstream(cache: Proxy, index: Origin, tmp_path: Path) -> None:
    put = [("Content-Type", JSON), ("Age", "700")]
    index.put("/root/simple/old/", b'{"files": []}', headers=put)
    assert cache.get("/py/simple/old/").status == 200
    index.put("/root/simple/old/", b"", status=503)
    reply = cache.get("/py/simple/old/")
    assert (reply.status, json.loads(reply.body)) == (200, {"files": []})


def test_two_mirrors_of_one_place_are_told_of(make_proxy: MakeProxy, origin: Origin) -> None:
    """What is known of its files is that of one ecosystem."""
    url = origin.url("/api")
    mirrors = {
        "a": {"ecosystem": "npm", "upstream": url},
        "b": {"ecosystem": "pypi", "upstream": ["http://up.test", f"{url}/"]},
        "c": {"ecosystem": "npm", "upstream": url},
        "d": {"ecosystem": "pypi", "upstream": f"{url}/pypi"},
    }
    log = make_proxy(config={"mirrors": mirrors}).log()
    assert f"mirrors.b.upstream: {url}/ is that of mirrors.a, too" in log
    assert log.count(", too") == 1


def test_it_is_pending_for_nobody(cache: Proxy) -> None:
    assert cache.get("/pypi/simple/x/").status == 404


def test_a_page_is_made_once_for_each_address(cache: Proxy, index: Origin, files: Origin) -> None:
    """What memory gives is what was made for that address, until the page is another one."""
    hosts = [cache.netloc, "mirror.test", cache.netloc, "mirror.test", "mirror.test", cache.netloc]
    for host in hosts:
        for _ in range(3):
            assert link(cache, host=host) == f"http://{host}/py/~/http/{netloc(files)}/packages/{WHEEL}"
    first, second = cache.get("/py/simple/x/"), cache.get("/py/simple/x/")
    assert first.get("Content-Length") == second.get("Content-Length") == str(len(first.body))
    assert first.body == second.body
    assert index.count("/root/simple/x/") == 1
    index.put("/root/simple/x/", page_of(files).replace(b"1.0", b"2.0"), headers=[("Content-Type", JSON)])
    assert cache.get(index.url("/root/simple/x/"), method="PURGE").status == 200
    for host in hosts:
        assert link(cache, host=host).endswith(WHEEL.replace("1.0", "2.0"))


def test_a_page_that_is_none_in_the_end_breaks_off_each_time(cache: Proxy, index: Origin) -> None:
    index.put("/root/simple/x/", b'{"files": [{"url": "x"},', headers=[("Content-Type", JSON)])
    for _ in range(4):
        assert not cache.get("/py/simple/x/").complete
