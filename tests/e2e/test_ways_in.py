"""The ways to name a resource, and what the server's own surroundings may change about it."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Proxy, clean_environment
from origin import Asked, Origin, Resource
from raw import Conversation, request


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("ways")) as running:
        yield running


WAYS = {
    "absolute form": "{url}",
    "prefix": "/{url}",
    "prefix with slashes folded": "/{folded}",
    "encoded": "/{encoded}",
    "encoded in lower case": "/{encoded_lower}",
    "scheme in upper case": "HTTP{rest}",
    "KissCache": "/api/v1/fetch/?url={encoded}",
    "KissCache, named": "/api/v1/fetch/name?url={encoded}",
}


@pytest.mark.parametrize("first", WAYS.values(), ids=WAYS.keys())
def test_every_way_leads_to_the_same_stored_response(cache: Proxy, origin: Origin, first: str) -> None:
    url = origin.url("/a%2Fb/~c/d%2Be?x=%26y")
    origin.put("/a%2Fb/~c/d%2Be?x=%26y", b"one", cache_control="max-age=60")
    encoded = quote(url, safe="")
    forms = {
        "url": url,
        "folded": url.replace("//", "/"),
        "encoded": encoded,
        "encoded_lower": encoded.replace("%3A", "%3a").replace("%2F", "%2f"),
        "rest": url.removeprefix("http"),
    }
    for way in (first, *WAYS.values()):
        reply = cache.get(way.format(**forms))
        assert (reply.status, reply.body) == (200, b"one"), way
    assert [asked.target for asked in origin.requests] == ["/a%2Fb/~c/d%2Be?x=%26y"]


@pytest.mark.parametrize(
    "line", ["{url}", "/{url}", "/api/v1/fetch/?url={url}"], ids=["absolute form", "prefix", "KissCache"]
)
def test_a_url_as_it_was_typed(cache: Proxy, origin: Origin, line: str) -> None:
    """curl sends the bytes of a path as they are on the command line; encoded they mean the same."""
    encoded = "/caf%C3%A9/%E9?q=%E6%B5%8B"
    origin.put(encoded, b"one", cache_control="max-age=60")
    typed = origin.url("/").encode() + "café/".encode() + b"\xe9?q=" + "测".encode()
    with Conversation(cache.address) as client:
        for number in range(2):
            target = line.encode().replace(b"{url}", typed)
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: cache\r\n\r\n")
            if not number:  # what comes behind it begins where it ends
                client.send(request(f"GET {origin.url(encoded)}"))
                assert client.reply().body == b"one"
            assert client.reply().body == b"one"
    assert [asked.target for asked in origin.requests] == [encoded]


def test_kisscache_url_that_is_not_encoded(cache: Proxy, origin: Origin) -> None:
    origin.put("/plain/file.img", b"two", cache_control="max-age=60")
    url = origin.url("/plain/file.img")
    assert cache.get(f"/api/v1/fetch/?url={url}").body == b"two"
    assert cache.get(url).body == b"two"
    assert origin.count("/plain/file.img") == 1


def test_query_of_the_prefix_form_is_the_urls_own(cache: Proxy, origin: Origin) -> None:
    origin.put("/q", b"q")
    cache.get(f"/{origin.url('/q?a=http://x/?b&c=%2F')}")
    cache.get(f"/{quote(origin.url('/q'), safe='')}?a=%2F")
    assert [asked.target for asked in origin.requests] == ["/q?a=http://x/?b&c=%2F", "/q?a=%2F"]


def test_target_decides_and_not_the_host_field(cache: Proxy, origin: Origin) -> None:
    origin.put("/h", b"h")
    with Conversation(cache.address) as client:
        client.send(request(f"GET {origin.url('/h')}", "Host: elsewhere.example"))
        assert client.reply().body == b"h"
    assert origin.requests[0].get("Host") == f"127.0.0.1:{origin.port}"


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/ftp://h/", "/https:///x", "//h/x", "/api/v1/"])
def test_path_that_is_no_way_in_is_told_the_ways(cache: Proxy, path: str) -> None:
    reply = cache.get(path, [("Host", "cache.example:8001")])
    assert reply.status == 404
    assert b"http_proxy=http://cache.example:8001" in reply.body
    assert reply.get("Cache-Control") == "no-store"


def test_origin_that_does_not_answer(cache: Proxy, origin: Origin) -> None:
    origin.stop()
    for target in (origin.url("/x"), f"/{origin.url('/x')}", "http://name.invalid/"):
        reply = cache.get(target)
        assert reply.status == 502
        assert (reply.get("Cache-Status") or "").startswith("pyproxycache-")
    origin.start()


# HTTPS by prefix.


_SELF_SIGNED = [
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and 127.0.0.1 with its key, in one file."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        [
            *_SELF_SIGNED,
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            "-",
            "-out",
            "-",
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    file.write_bytes(made.stdout)
    return file


@pytest.fixture
def secure(certificate: Path) -> Iterator[Origin]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Origin(tls=tls) as running:
        running.put("/page", b"secure", cache_control="max-age=60")
        yield running


def test_https_by_prefix_is_cached(
    make_proxy: Callable[..., Proxy], secure: Origin, certificate: Path
) -> None:
    proxy = make_proxy(config={"fetch": {"ca_file": str(certificate)}})
    encoded = quote(secure.url("/page"), safe="")
    for target in (f"/{secure.url('/page')}", f"/{encoded}", f"/api/v1/fetch/?url={encoded}"):
        assert proxy.get(target).body == b"secure"
    assert secure.count("/page") == 1


def test_certificate_that_nobody_vouches_for(
    make_proxy: Callable[..., Proxy], cache: Proxy, secure: Origin
) -> None:
    assert cache.get(f"/{secure.url('/page')}").status == 502
    trusting = make_proxy(config={"fetch": {"tls_verify": False}})
    assert trusting.get(f"/{secure.url('/page')}").body == b"secure"


# Other proxies.


def test_proxies_in_the_environment_are_ignored(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/direct", b"direct")
    nowhere = "http://127.0.0.1:9"
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    proxy = make_proxy(environment=dict.fromkeys(names, nowhere))
    assert proxy.get(origin.url("/direct")).body == b"direct"


def test_server_settings_in_the_environment_are_ignored(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    origin.put("/plain", b"plain")
    environment = {
        "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:9 --workers 5",
        "WEB_CONCURRENCY": "5",
        "FORWARDED_ALLOW_IPS": "*",
        "SCRIPT_NAME": "/script",
    }
    proxy = make_proxy(environment=environment)
    assert proxy.get(origin.url("/plain"), [("X-Forwarded-Proto", "https")]).body == b"plain"
    assert len(proxy.worker_pids()) == 1


def parent(asked: Asked) -> Resource:
    return Resource(f"parent got {asked.target}".encode(), cache_control="max-age=60")


def test_parent_proxy_and_its_exceptions(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/direct", b"direct")
    with Origin() as above:
        above.put("/page", handler=parent)
        config = {"parent": {"url": above.url(), "except": ["127.0.0.0/8", ".local.example"]}}
        proxy = make_proxy(config=config)
        for _ in range(2):
            reply = proxy.get("http://far.example/page?q")
            assert reply.body == b"parent got http://far.example/page?q"
        assert above.count("/page") == 1
        assert above.requests[0].get("Host") == "far.example"
        assert proxy.get(origin.url("/direct")).body == b"direct"
        assert proxy.get("http://host.local.example/").status == 502
        above.stop()
        assert proxy.get("http://far.example/other").status == 502


def test_real_clients(cache: Proxy, origin: Origin) -> None:
    origin.put("/file", b"for real clients", cache_control="max-age=60")
    url = origin.url("/file")
    commands = [
        ["curl", "-sS", "--fail", "-x", cache.url, url],
        ["curl", "-sS", "--fail", f"{cache.url}/{url}"],
        ["curl", "-sS", "--fail", "--http1.0", "-x", cache.url, url],
        ["wget", "-q", "-O", "-", "-e", "use_proxy=yes", "-e", f"http_proxy={cache.url}", url],
    ]
    for command in commands:
        got = subprocess.run(command, capture_output=True, timeout=30, env=clean_environment())
        assert (got.returncode, got.stdout) == (0, b"for real clients"), got.stderr
    assert origin.count("/file") == 1


@pytest.mark.parametrize(
    ("host", "status"), [("/http://h:80/x", 200), ("a:b:c", 200), ("a, b", 400), ("a b", 400), ("", 400)]
)
def test_host_of_a_request_by_prefix_is_any_one_name(
    cache: Proxy, origin: Origin, host: str, status: int
) -> None:
    """Simple clients write there what they took for the host; it decides nothing."""
    origin.put("/file", b"file")
    with Conversation(cache.address) as client:
        client.send(request(f"GET /{origin.url('/file')}", f"Host: {host}"))
        assert client.reply().status == status
    with Conversation(cache.address) as client:
        client.send(request(f"GET {origin.url('/file')}", f"Host: {host}"))
        assert client.reply().status == 400
