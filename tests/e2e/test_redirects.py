"""Redirects and other references: they lead through the cache, whichever way its client came."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
from harness import Proxy, Reply, clean_environment
from origin import Asked, Origin, Resource
from raw import Conversation, request

REDIRECTS = (301, 302, 303, 307, 308)
FILE = b"the file"


@pytest.fixture
def cache(make_proxy: Callable[..., Proxy]) -> Proxy:
    return make_proxy(config={"log": {"level": "debug"}})


@pytest.fixture
def site(origin: Origin) -> Origin:
    """Redirects in every form to /dir/file."""
    forms = {"path": "/dir/file", "relative": "dir/file", "absolute": origin.url("/dir/file")}
    forms["authority"] = origin.url("/dir/file").removeprefix("http:")
    for name, location in forms.items():
        origin.put(f"/{name}", status=302, headers=[("Location", location)])
    for status in REDIRECTS:
        origin.put(f"/{status}", b"moved", status=status, headers=[("Location", "/dir/file")])
    origin.put("/dir/file", FILE, cache_control="max-age=600", etag='"1"')
    return origin


FORMS = ("path", "relative", "absolute", "authority", *map(str, REDIRECTS))


def following(proxy: Proxy, path: str) -> tuple[Reply, str]:
    """What a client gets that follows Location from the URL it asked for, and where that was."""
    url = urljoin(proxy.url, path)
    for _ in range(5):
        assert url.startswith(f"{proxy.url}/"), f"{url} leads past the cache"
        reply = proxy.get(url.removeprefix(proxy.url))
        if reply.status not in REDIRECTS:
            return reply, url
        url = urljoin(url, reply.get("Location") or "")
    raise AssertionError(f"{path} leads to no end")


@pytest.mark.parametrize("form", FORMS)
def test_by_prefix(cache: Proxy, site: Origin, form: str) -> None:
    for way in (f"/{site.url('/')}{form}", f"/{quote(site.url('/'), safe='')}{form}"):
        for _ in range(2):
            reply, url = following(cache, way)
            assert (reply.status, reply.body) == (200, FILE)
            assert url == f"{cache.url}/{site.url('/dir/file')}"
    assert site.count("/dir/file") == 1


@pytest.mark.parametrize("form", FORMS)
def test_behind_a_reverse_proxy(make_proxy: Callable[..., Proxy], site: Origin, form: str) -> None:
    proxy = make_proxy(arguments=["--upstream", site.url()])
    for _ in range(2):
        reply, url = following(proxy, f"/{form}")
        assert (reply.status, reply.body, url) == (200, FILE, f"{proxy.url}/dir/file")
    assert site.count("/dir/file") == 1


def test_below_a_path_of_the_origin(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(arguments=["--upstream", origin.url("/dir")])
    origin.put("/dir/old", status=301, headers=[("Location", "/dir/new")])
    origin.put("/dir/out", status=301, headers=[("Location", origin.url("/elsewhere"))])
    origin.put("/dir/new", FILE)
    assert following(proxy, "/old")[0].body == FILE
    assert proxy.get("/out").get("Location") == origin.url("/elsewhere")


def test_proxys_clients_get_what_the_origin_said(cache: Proxy, site: Origin) -> None:
    assert cache.get(site.url("/path")).get("Location") == "/dir/file"
    assert cache.get(site.url("/absolute")).get("Location") == site.url("/dir/file")


def with_references(asked: Asked) -> Resource:
    fields = [("Location", "/l"), ("Content-Location", "/c"), ("Refresh", "9; url=/r"), ("Link", "</k>")]
    body = b"0123456789" * 5000 if "large" in asked.path else b"0123456789"
    return Resource(body, headers=fields, etag='"1"', cache_control="max-age=600")


@pytest.mark.parametrize("path", ["/small", "/large"])
def test_every_kind_of_answer_is_mapped(cache: Proxy, origin: Origin, path: str) -> None:
    """Fresh from the origin, from the store and from memory; whole, HEAD, 304 and 206."""
    origin.put(path, handler=with_references)
    url = origin.url(path)
    kinds = {
        "GET": {},
        "HEAD": {"method": "HEAD"},
        "304": {"headers": [("If-None-Match", '"1"')]},
        "206": {"headers": [("Range", "bytes=2-3")]},
        "again": {},
    }
    for kind, options in kinds.items():
        for _ in range(3):
            reply = cache.get(f"/{url}", **options)
            assert reply.get("Content-Location") == f"/{origin.url('/c')}", kind
            if kind != "304":
                assert reply.get("Location") == f"/{origin.url('/l')}"
                assert reply.get("Refresh") == f"9; url=/{origin.url('/r')}"
                assert reply.get("Link") == f"</{origin.url('/k')}>"
            plain = cache.get(url, **options)
            assert plain.get("Content-Location") == "/c", kind
    assert origin.count(path) == 1


def test_who_joins_a_download_is_shown_the_same(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    cache = make_proxy(workers=2)
    origin.put("/slow", handler=lambda asked: with_references(Asked("GET", "/large", ())))
    gate = origin.gate("/slow", 25_000)
    url = origin.url("/slow")
    ways = {f"/{url}": f"/{origin.url('/c')}", url: "/c"}
    named = f"/api/v1/fetch/name?url={quote(url, safe='')}"
    ways[named] = f"/api/v1/fetch/?ttl=864000s&url={quote(origin.url('/c'), safe='')}"
    downloads = [(cache.download(way), shown) for _ in range(4) for way, shown in ways.items()]
    for download, shown in downloads:
        download.open()
        download.read_head()
        fields = dict(download.headers)
        assert fields["Content-Location"] == shown
        assert ("Content-Disposition" in fields) == ("fetch" in shown)
    gate.open()
    assert origin.count("/slow") == 1


def test_interim_heads_are_mapped(cache: Proxy, origin: Origin) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
    origin.put("/page", handler=lambda asked: early + final)
    with Conversation(cache.address) as client:
        client.send(request(f"GET /{origin.url('/page')}"))
        assert client.head().get("Link") == f"</{origin.url('/style.css')}>; rel=preload"
        assert client.reply().body == b"page"


# KissCache's interface: the cache follows.


def fetched(cache: Proxy, url: str, **options: object) -> Reply:
    return cache.get(f"/api/v1/fetch/?url={quote(url, safe='')}", **options)


@pytest.mark.parametrize("form", FORMS)
def test_kisscaches_clients_get_the_file(cache: Proxy, site: Origin, form: str) -> None:
    for _ in range(2):
        reply = fetched(cache, site.url(f"/{form}"))
        assert (reply.status, reply.body, reply.get("Location")) == (200, FILE, None)
    assert site.count("/dir/file") == 1
    head = fetched(cache, site.url(f"/{form}"), method="HEAD")
    assert (head.status, head.get("Content-Length")) == (200, str(len(FILE)))
    part = fetched(cache, site.url(f"/{form}"), headers=[("Range", "bytes=4-7")])
    assert (part.status, part.body) == (206, b"file")
    same = fetched(cache, site.url(f"/{form}"), headers=[("If-None-Match", '"1"')])
    assert same.status == 304
    named = cache.get(f"/api/v1/fetch/a.img?url={quote(site.url(f'/{form}'), safe='')}")
    assert named.get("Content-Disposition") == "attachment; filename=a.img"


def test_a_redirect_that_changes_is_seen_at_once(cache: Proxy, origin: Origin) -> None:
    origin.put("/a", b"a", cache_control="max-age=600")
    origin.put("/b", b"b", cache_control="max-age=600")
    for name in ("a", "b", "a"):
        origin.put("/latest", status=302, headers=[("Location", f"/{name}")])
        for _ in range(3):
            assert fetched(cache, origin.url("/latest")).body == name.encode()


@pytest.mark.parametrize(
    "location", ["/caf\xc3\xa9 au lait", "caf\xc3\xa9%20au lait", "/caf%C3%A9%20au%20lait"]
)
def test_an_address_that_is_not_encoded(cache: Proxy, origin: Origin, location: str) -> None:
    origin.put("/start", status=302, headers=[("Location", location)])
    origin.put("/caf%C3%A9%20au%20lait", b"coffee")
    assert fetched(cache, origin.url("/start")).body == b"coffee"


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/start", b"circle"),
        ("/there", b"circle"),
        ("/on?{}", b"more than 10 redirects"),
        ("ftp://h/x", b"only http and https"),
        ("http://user:s3cret@h:port/", b"port"),
    ],
)
def test_redirects_that_lead_nowhere(cache: Proxy, origin: Origin, location: str, said: bytes) -> None:
    def answered(asked: Asked) -> Resource:
        return Resource(status=302, headers=[("Location", location.format(len(origin.requests)))])

    for path in ("/start", "/on"):
        origin.put(path, handler=answered)
    origin.put("/there", status=302, headers=[("Location", "/start")])
    reply = fetched(cache, origin.url("/start"))
    assert reply.status == 502
    assert said in reply.body
    assert b"s3cret" not in reply.body
    assert len(origin.requests) <= 12


def test_a_redirect_without_an_address_is_the_answer(cache: Proxy, origin: Origin) -> None:
    origin.put("/none", b"where?", status=302)
    origin.put("/choices", b"several", status=300, headers=[("Location", "/x")])
    assert fetched(cache, origin.url("/none")).status == 302
    assert fetched(cache, origin.url("/choices")).status == 300


def test_status_at_the_end_of_redirects(cache: Proxy, origin: Origin) -> None:
    origin.put("/old", status=301, headers=[("Location", "/gone")])
    origin.put("/gone", b"no", status=410)
    assert fetched(cache, origin.url("/old")).status == 410


def test_secrets_stay_with_their_origin(cache: Proxy, origin: Origin) -> None:
    origin.put("/same", status=302, headers=[("Location", "/file")])
    origin.put("/file", FILE)
    secrets = [("Authorization", "Basic eDp5"), ("Cookie", "a=b")]
    with Origin() as other:
        other.put("/file", FILE)
        origin.put("/other", status=302, headers=[("Location", other.url("/file"))])
        fetched(cache, origin.url("/same"), headers=secrets)
        fetched(cache, origin.url("/other"), headers=secrets)
        (there,) = other.requests
    (here,) = origin.asked("/file")
    assert (here.get("Authorization"), here.get("Cookie")) == ("Basic eDp5", "a=b")
    assert (there.get("Authorization"), there.get("Cookie")) == (None, None)


# Clients as people use them.


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., bytes]:
    def run(*command: str) -> bytes:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        done = subprocess.run(
            command, capture_output=True, env=clean_environment(), cwd=tmp_path, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("form", FORMS)
def test_real_clients_arrive(cache: Proxy, site: Origin, run: Callable[..., bytes], form: str) -> None:
    url = f"{cache.url}/{site.url('/')}{form}"
    curl = run("curl", "-sSL", "-w", "%{stderr}%{json}", url)
    assert curl == FILE
    assert run("wget", "-qO-", "--no-proxy", url) == FILE
    assert site.count("/dir/file") == 1


def test_curl_ends_at_the_caches_address(cache: Proxy, site: Origin, run: Callable[..., bytes]) -> None:
    said = run("curl", "-sSL", "-o", "/dev/null", "-w", "%{json}", f"{cache.url}/{site.url('/absolute')}")
    assert json.loads(said)["url_effective"] == f"{cache.url}/{site.url('/dir/file')}"


# Cookies: of the origin that set them.


def test_what_one_origin_sets_no_other_one_gets(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/login", b"in", headers=[("Set-Cookie", "session=s3cret; Path=/"), ("Set-Cookie", "b=2")])
    origin.put("/file", b"file")
    jar = tmp_path / "jar"

    def asks(target: str) -> None:
        command = ["curl", "-sS", "-b", str(jar), "-c", str(jar), "-o", os.devnull, f"{cache.url}{target}"]
        subprocess.run(command, check=True, timeout=30, env=clean_environment())

    asks(f"/{origin.url('/login')}")
    with Origin() as other:
        other.put("/file", b"other")
        asks(f"/{other.url('/file')}")
        asks(f"/api/v1/fetch/?url={other.url('/file')}")
        assert [asked.get("Cookie") for asked in other.requests] == [None, None]
    asks(f"/{origin.url('/file')}")
    assert set((origin.requests[-1].get("Cookie") or "").split("; ")) == {"session=s3cret", "b=2"}
    assert fetched(cache, origin.url("/login")).get("Set-Cookie") is None


def test_a_reverse_proxys_cookies_are_its_own(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(arguments=("--upstream", origin.url("/base")))
    origin.put("/base/login", headers=[("Set-Cookie", "a=1; Domain=127.0.0.1; Path=/base/x")])
    assert proxy.get("/login").get("Set-Cookie") == "a=1; Path=/x"
