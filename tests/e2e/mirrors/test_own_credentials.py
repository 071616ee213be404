"""The cache's own credentials for upstreams: where they are sent, and where not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
MINE = f"Basic {b64encode(b'me:s3cret').decode()}"


@pytest.fixture
def private(origin: Origin) -> Origin:
    """Asks for credentials below /repo/, and shows what it gets elsewhere."""

    def guarded(asked: Asked) -> Resource:
        if asked.get("Authorization") != MINE:
            return Resource(status=401, headers=[("WWW-Authenticate", 'Basic realm="r"')])
        return Resource(b"content", cache_control="max-age=600")

    for path in ("/repo/a", "/repo/b", "/repo/private/c", "/repo/%2e%2e/admin", "/repo/..%2fadmin"):
        origin.put(path, handler=guarded)
    origin.put("/admin", b"open", cache_control="max-age=600")
    return origin


@pytest.fixture
def cache(make_proxy: MakeProxy, private: Origin, tmp_path: Path) -> Proxy:
    file = tmp_path / "credentials"
    file.write_text("me:s3cret\n")
    file.chmod(0o600)
    upstream = {"url": private.url("/repo/"), "credentials": str(file)}
    return make_proxy(config={"mirrors": {"own": {"ecosystem": "generic", "upstream": upstream}}})


def test_they_are_sent_and_what_they_open_is_stored(cache: Proxy, private: Origin) -> None:
    for method in ("GET", "HEAD", "GET"):
        reply = cache.get("/own/a", method=method)
        assert (reply.status, reply.body) == (200, b"content" if method == "GET" else b"")
    assert private.count("/repo/a") == 1
    # All who may ask this cache may read it, however they ask.
    assert cache.get(private.url("/repo/a")).body == b"content"
    assert private.count("/repo/a") == 1


def test_not_for_requests_by_proxy_or_prefix(cache: Proxy, private: Origin) -> None:
    for target in (private.url("/repo/b"), f"/{private.url('/repo/b')}"):
        assert cache.get(target).status == 401
    assert all(asked.get("Authorization") is None for asked in private.requests)
    assert cache.get("/own/b").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_not_for_what_changes_something(cache: Proxy, private: Origin, method: str) -> None:
    assert cache.get("/own/a", method=method, body=b"x").status == 401
    assert private.requests[-1].get("Authorization") is None


def test_a_clients_own_go_in_their_place(cache: Proxy, private: Origin) -> None:
    reply = cache.get("/own/a", [("Authorization", "Bearer theirs")])
    assert (reply.status, private.requests[-1].get("Authorization")) == (401, "Bearer theirs")
    for count in (2, 3):  # answers to it are for that client alone
        assert cache.get("/own/a", [("Authorization", MINE)]).body == b"content"
        assert private.count("/repo/a") == count


@pytest.mark.parametrize("path", ["/repo/%2e%2e/admin", "/repo/..%2fadmin", "/repo/../admin", "/admin"])
def test_no_path_leads_them_out_of_the_upstream(cache: Proxy, private: Origin, path: str) -> None:
    authority = private.url("").partition("://")[2].rstrip("/")
    cache.get(f"/own/~/http/{authority}{path}")
    cache.get(f"/own/{path.removeprefix('/repo/')}")
    for asked in private.requests:
        assert asked.get("Authorization") is None or asked.target.startswith("/repo//")


def test_not_after_a_redirect_to_elsewhere(cache: Proxy, private: Origin) -> None:
    with Origin() as other:
        other.put("/signed", b"there", cache_control="max-age=600")
        private.put("/repo/away", status=302, headers=[("Location", other.url("/signed"))])
        private.put("/repo/up", status=302, headers=[("Location", "/admin")])
        private.put("/repo/here", status=302, headers=[("Location", "a")])
        assert cache.get("/own/away").body == b"there"
        assert other.requests[-1].get("Authorization") is None
        assert cache.get("/own/up").body == b"open"
        assert private.requests[-1].get("Authorization") is None
        assert cache.get("/own/here").body == b"content"


def test_they_are_kept_nowhere(cache: Proxy, private: Origin) -> None:
    assert cache.get("/own/a").status == 200
    private.stop()
    assert cache.get("/own/b").status == 502
    cache.terminate()
    assert "s3cret" not in cache.log()
    stored = b"".join(path.read_bytes() for path in cache.cache_dir.rglob("*") if path.is_file())
    assert b"/repo/a" in stored
    assert b"s3cret" not in stored
    assert MINE.split()[1].encode() not in stored


def test_wrong_ones_are_said(make_proxy: MakeProxy, private: Origin) -> None:
    upstream = {"url": private.url("/repo/"), "credentials": "env:MINE"}
    mirrors = {"own": {"ecosystem": "generic", "upstream": upstream}}
    cache = make_proxy(config={"mirrors": mirrors}, environment={"MINE": "me:wr0ng"})
    assert cache.get("/own/a").status == 401
    assert "refuses the credentials of this upstream: 401" in cache.log()
    assert "wr0ng" not in cache.log()


@pytest.mark.parametrize("first_way", ["mirror", "proxy"])
def test_who_waits_for_anothers_answer(cache: Proxy, private: Origin, first_way: str) -> None:
    """A client without credentials may lead, and its refusal is for nobody who comes by the mirror."""
    first, second = "/own/b", private.url("/repo/b")
    if first_way == "proxy":
        first, second = second, first
    gate = private.gate("/repo/b")
    with ThreadPoolExecutor(2) as clients:
        leading = clients.submit(cache.get, first)
        gate.wait_reached()
        following = clients.submit(cache.get, second)
        gate.open()
        statuses = [leading.result().status, following.result().status]
    assert statuses == ([200, 200] if first_way == "mirror" else [401, 200])
    assert all(asked.get("Authorization") in (None, MINE) for asked in private.requests)
