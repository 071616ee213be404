"""User name and password in the URL: sent to the origin as a field, and told to nobody else."""

import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from harness import Proxy, clean_environment
from origin import Asked, Origin, Resource
from raw import Conversation, request

APT_HTTP = Path("/usr/lib/apt/methods/http")
SECRET = "s3%3Acr%40et"
BASIC = f"Basic {b64encode(b'user:s3:cr@et').decode()}"
WAYS = {
    "proxy": "http://{user}@{rest}",
    "prefix": "/http://{user}@{rest}",
    "encoded": "/{encoded}",
    "KissCache": "/api/v1/fetch/?url={encoded}",
}


def way(form: str, url: str) -> str:
    user, rest = f"user:{SECRET}", url.removeprefix("http://")
    return form.format(user=user, rest=rest, encoded=quote(f"http://{user}@{rest}", safe=""))


def guarded(asked: Asked) -> Resource:
    if asked.get("Authorization") is None:
        return Resource(status=401, headers=[("WWW-Authenticate", "Basic realm=x")])
    return Resource(b"secret file", cache_control="public, max-age=600", etag='"1"')


@pytest.fixture
def cache(make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path) -> Proxy:
    origin.put("/file", handler=guarded)
    log = {"level": "debug", "access": str(tmp_path / "access.log"), "query": True, "format": "combined"}
    return make_proxy(config={"log": log})


def commands(cache: Proxy, *names: str) -> str:
    done = [
        subprocess.run(
            [*cache.command[:3], name, "--cache-dir", str(cache.cache_dir), *rest],
            env=cache.environment,
            capture_output=True,
            text=True,
        )
        for name, *rest in (line.split() for line in names)
    ]
    assert [one.returncode for one in done] == [0] * len(done), done
    return "".join(one.stdout + one.stderr for one in done)


@pytest.mark.parametrize("form", WAYS.values(), ids=WAYS.keys())
def test_it_becomes_authorization(cache: Proxy, origin: Origin, tmp_path: Path, form: str) -> None:
    url = origin.url("/file")
    for _ in range(3):
        reply = cache.get(way(form, url))
        assert (reply.status, reply.body) == (200, b"secret file")
        assert f'key="{url}"' in (reply.get("Cache-Status") or "")
    (asked,) = origin.requests
    assert (asked.target, asked.get("Authorization")) == ("/file", BASIC)
    told = commands(cache, "ls", f"show {url}", f"show http://user:x@{url.removeprefix('http://')}")
    assert url in told
    cache.terminate()
    told += cache.log() + (tmp_path / "access.log").read_text()
    assert SECRET not in told
    assert "user" not in (tmp_path / "access.log").read_text()


def test_the_field_wins(cache: Proxy, origin: Origin) -> None:
    url = way(WAYS["proxy"], origin.url("/file"))
    assert cache.get(url, [("Authorization", "Basic eDp5")]).status == 200
    assert origin.requests[0].get("Authorization") == "Basic eDp5"


def test_what_is_not_for_all_is_given_to_nobody_else(cache: Proxy, origin: Origin) -> None:
    def private(asked: Asked) -> Resource:
        return Resource((asked.get("Authorization") or "nobody").encode(), cache_control="max-age=600")

    origin.put("/mine", handler=private)
    url = origin.url("/mine")
    assert cache.get(way(WAYS["proxy"], url)).body == BASIC.encode()
    assert (
        cache.get(url.replace("//", "//other@")).body == f"Basic {b64encode(b'other:').decode()}".encode()
    )
    assert cache.get(url).body == b"nobody"


def test_a_redirect_keeps_it_on_its_origin(cache: Proxy, origin: Origin) -> None:
    origin.put("/old", status=302, headers=[("Location", "/file")])
    origin.put("/off", status=302, headers=[("Location", "http://other.example/file")])
    location = cache.get(way(WAYS["prefix"], origin.url("/old"))).get("Location")
    assert location == way(WAYS["prefix"], origin.url("/file"))
    assert cache.get(location).body == b"secret file"
    location = cache.get(way(WAYS["prefix"], origin.url("/off"))).get("Location")
    assert location == "/http://other.example/file"
    assert cache.get(way(WAYS["KissCache"], origin.url("/old"))).body == b"secret file"


@pytest.mark.parametrize(
    "line",
    [
        f"GET http://user:{SECRET}@h:port/ HTTP/1.1",
        f"GET http://user:{SECRET}@127.0.0.1:1/ HTTP/1.1",
        f"GET /ftp://user:{SECRET}@h/ HTTP/1.1",
        f"GET ftp://user:{SECRET}@h/ HTTP/1.1",
        f"GET http://user:{SECRET}@h/ HTTP/9.9",
        f"G(T http://user:{SECRET}@h/ HTTP/1.1",
        f"GET http://user:{SECRET}@h/ and more HTTP/1.1",
        f"GET /api/v1/fetch/?url=http%3A%2F%2Fuser:{quote(SECRET, safe='')}%40h:port%2F HTTP/1.1",
    ],
)
def test_no_error_shows_it(cache: Proxy, tmp_path: Path, line: str) -> None:
    with Conversation(cache.address) as client:
        reply = client.send(request(line)).reply()
    assert reply.status >= 400
    cache.terminate()
    told = f"{reply.headers} {reply.body!r} {cache.log()} {(tmp_path / 'access.log').read_text()}"
    assert SECRET not in told
    assert "s3" not in told.replace("s3c", "")


def test_reverse_proxy(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/file", handler=guarded)
    proxy = make_proxy(arguments=["--upstream", origin.url()])
    assert proxy.get(f"http://user:{SECRET}@front.example/file").body == b"secret file"
    assert origin.requests[0].get("Authorization") == BASIC


def test_apt(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    """apt's own client, which writes the userinfo into the request line of a proxy's request."""
    if not APT_HTTP.exists():
        pytest.skip("apt is not installed")
    options = [f"Acquire::http::Proxy={cache.url}", "APT::Sandbox::User=root", "Dir::Etc::netrc=/dev/null"]
    configuration = "".join(f"Config-Item: {option}\n" for option in options)
    uri = f"http://user:{SECRET}@{origin.url('/file').removeprefix('http://')}"
    acquire = f"600 URI Acquire\nURI: {uri}\nFilename: {tmp_path / 'out'}\n\n"
    with subprocess.Popen(
        [APT_HTTP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as method:
        assert method.stdin is not None
        assert method.stdout is not None
        watchdog = threading.Timer(30, method.kill)
        watchdog.start()
        method.stdin.write(f"601 Configuration\n{configuration}\n{acquire}")
        method.stdin.flush()
        said = []
        for line in method.stdout:
            said.append(line)
            if line.startswith(("201 ", "400 ", "401 ")):
                break
        method.kill()
        watchdog.cancel()
    assert said[-1].startswith("201 URI Done"), said
    assert (tmp_path / "out").read_bytes() == b"secret file"
    assert origin.requests[-1].get("Authorization") == BASIC
