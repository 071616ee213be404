"""What upstreams of a mirror of images see and may answer: tokens, signed addresses, quotas, new tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from harness import Proxy
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
BLOB = b"layer" * 1000
DIGEST = f"sha256:{sha256(BLOB).hexdigest()}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TAG = "/v2/a/manifests/1"


class FakeRegistry(Origin):
    """Answers with what is put, to those who show the token; its own /token gives it."""

    token = "t0ken"
    realm = ""

    def guard(self, path: str, resource: Resource) -> None:
        def answer(asked: Asked) -> Resource:
            if asked.get("Authorization") == f"Bearer {self.token}":
                return resource
            scope = f"repository:{path.split('/')[2]}:pull"
            realm = self.realm or self.url("/token")
            challenge = f'Bearer realm="{realm}",service="s",scope="{scope}"'
            return Resource(status=401, headers=[("WWW-Authenticate", challenge)])

        self.put(path, handler=answer)

    def tag(self, body: bytes, *, age: int = 0) -> None:
        digest = f"sha256:{sha256(body).hexdigest()}"
        fields = [("Content-Type", MANIFEST), ("Docker-Content-Digest", digest), ("Age", str(age))]
        # As some do, it calls private what comes by a token.
        fields.append(("Cache-Control", "private, no-store"))
        self.guard(TAG, Resource(body, headers=fields))

    def give(self) -> None:
        self.put("/token", json.dumps({"token": self.token}).encode())


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        running.give()
        yield running


@pytest.fixture
def cache(make_proxy: MakeProxy, registry: FakeRegistry) -> Proxy:
    return make_proxy(config={"mirrors": {"hub": {"ecosystem": "oci", "upstream": registry.url("/")}}})


def test_a_token_never_goes_to_the_host_of_blobs(
    cache: Proxy, registry: FakeRegistry, origin: Origin
) -> None:
    origin.put("/signed", BLOB)
    place = [("Location", origin.url("/signed?signature=1"))]
    registry.guard(f"/v2/a/blobs/{DIGEST}", Resource(status=307, headers=place))
    for _ in range(2):
        assert cache.get(f"/hub/v2/a/blobs/{DIGEST}").body == BLOB
    assert [asked.get("Authorization") for asked in origin.requests] == [None]
    # Nor does one go to whom a redirect leads, if that asks for it.
    realm = f'Bearer realm="{origin.url("/token")}",service="s"'
    origin.put("/asks", status=401, headers=[("WWW-Authenticate", realm)])
    registry.guard("/v2/a/blobs/x", Resource(status=307, headers=[("Location", origin.url("/asks"))]))
    assert cache.get("/hub/v2/a/blobs/x").status == 401
    assert origin.count("/token") == 0


def test_a_tag_is_validated_by_a_head(cache: Proxy, registry: FakeRegistry) -> None:
    registry.tag(b'{"tag": 1}', age=100)
    for _ in range(3):
        assert cache.get(f"/hub{TAG}").body == b'{"tag": 1}'
    assert [asked.method for asked in registry.asked(TAG)] == ["GET", "GET", "HEAD", "HEAD"]
    registry.tag(b'{"tag": 2}', age=100)  # of the same length
    assert cache.get(f"/hub{TAG}").body == b'{"tag": 2}'
    assert [asked.method for asked in registry.asked(TAG)][4:] == ["HEAD", "GET"]
    registry.stop()
    reply = cache.get(f"/hub{TAG}", method="HEAD")
    assert (reply.status, reply.get("Content-Length")) == (200, "10")
    assert cache.get(f"/hub{TAG}").body == b'{"tag": 2}'


def test_a_manifest_that_is_another_than_its_digest_says(cache: Proxy, registry: FakeRegistry) -> None:
    """The header's digest is checked, too, as by a tag nobody else can."""
    fields = [("Content-Type", MANIFEST), ("Docker-Content-Digest", DIGEST)]
    registry.guard(TAG, Resource(b'{"tag": "poisoned"}', headers=fields))
    for _ in range(2):
        reply = cache.get(f"/hub{TAG}")
        assert reply.status == 502 or not reply.complete
    assert f"{DIGEST.removeprefix('sha256:')} was expected" in cache.log()
    registry.tag(b'{"tag": 1}')
    assert cache.get(f"/hub{TAG}").body == b'{"tag": 1}'


def test_a_quota_that_is_used_up(cache: Proxy, registry: FakeRegistry) -> None:
    """The copy is given; without one, the client is told when to come again."""
    registry.tag(b'{"tag": 1}', age=100)
    assert cache.get(f"/hub{TAG}").status == 200
    waits = [("Retry-After", "9")]
    for path in (TAG, "/v2/a/manifests/2"):
        registry.guard(path, Resource(status=429, headers=waits))
    registry.forget()
    assert cache.get(f"/hub{TAG}").body == b'{"tag": 1}'
    assert [asked.method for asked in registry.requests] == ["HEAD"]
    reply = cache.get("/hub/v2/a/manifests/2")
    assert (reply.status, reply.get("Retry-After")) == (429, "9")


def test_a_blob_that_breaks_off_goes_on(cache: Proxy, registry: FakeRegistry) -> None:
    """The rest is asked for with a token, too, and a new one where that has expired."""
    size = 1 << 20
    blob = Resource(b"x" * size, etag='"b"', break_at=[size // 2, None])
    path = f"/v2/a/blobs/sha256:{sha256(b'x' * size).hexdigest()}"
    registry.guard(path, blob)
    reply = cache.get(f"/hub{path}")
    assert (reply.complete, reply.body) == (True, b"x" * size)
    assert [asked.get("Authorization") for asked in registry.asked(path)] == [None, *["Bearer t0ken"] * 2]
    assert registry.asked(path)[-1].get("Range") == f"bytes={size // 2}-"


def test_thirty_clients_of_two_workers(make_proxy: MakeProxy, registry: FakeRegistry) -> None:
    """The layer is asked for once with a token, whichever worker each of them comes to."""
    layer = b"layer" * 400_000
    path = f"/v2/a/blobs/sha256:{sha256(layer).hexdigest()}"
    registry.guard(path, Resource(layer, rate=4e6))
    mirrors = {"hub": {"ecosystem": "oci", "upstream": registry.url("/")}}
    cache = make_proxy(config={"mirrors": mirrors}, workers=2, threads=64)
    with ThreadPoolExecutor(30) as clients:
        replies = list(clients.map(cache.get, [f"/hub{path}"] * 30))
    assert all(reply.complete and reply.body == layer for reply in replies)
    with_token = [asked for asked in registry.asked(path) if asked.get("Authorization")]
    assert (len(with_token), registry.count("/token")) == (1, 1)


def test_another_upstream_may_have_what_one_refuses(make_proxy: MakeProxy, origin: Origin) -> None:
    origin.put(TAG, b'{"tag": 1}', headers=[("Content-Type", MANIFEST)])
    with Origin() as refusing:
        upstream = [refusing.url("/"), origin.url("/")]
        cache = make_proxy(config={"mirrors": {"hub": {"ecosystem": "oci", "upstream": upstream}}})
        for status in (401, 403, 429):
            refusing.put(TAG, status=status)
            refusing.put("/v2/a/manifests/2", b"why" * 99, status=status)
            assert cache.get(f"/hub{TAG}").status == 200
            assert cache.get(origin.url(TAG), method="PURGE").status == 200
        reply = cache.get("/hub/v2/a/manifests/2")
        assert (reply.status, reply.body, reply.complete) == (429, b"why" * 99, True)


def test_a_token_that_is_refused_is_got_anew_once(cache: Proxy, registry: FakeRegistry) -> None:
    registry.tag(b'{"tag": 1}', age=100)
    assert cache.get(f"/hub{TAG}").status == 200
    registry.token = "other"
    registry.give()
    registry.guard("/v2/a/manifests/2", Resource(b"{}"))
    assert cache.get("/hub/v2/a/manifests/2").status == 200
    assert registry.count("/token") == 2
    registry.put("/token", b'{"token": "wrong"}')
    registry.token = "third"
    registry.forget()
    assert cache.get("/hub/v2/a/manifests/2?x").status == 401
    assert len(registry.requests) == 3


@pytest.mark.parametrize(
    "realm", ["ftp://t.test/", "http://me:pw@t.test/", "/token", "http://127.0.0.1:1/"]
)
def test_a_realm_that_leads_nowhere(cache: Proxy, registry: FakeRegistry, realm: str) -> None:
    registry.realm = realm
    registry.tag(b"{}")
    assert cache.get(f"/hub{TAG}").status == (502 if realm.endswith(":1/") else 401)


def test_a_realm_that_the_guard_refuses(cache: Proxy, registry: FakeRegistry) -> None:
    """The cache's own address is reached by no request."""
    registry.realm = f"{cache.url}/hub/v2/"
    registry.tag(b"{}")
    assert cache.get(f"/hub{TAG}").status == 508


def test_clients_may_bring_their_own_token(cache: Proxy, registry: FakeRegistry) -> None:
    registry.tag(b'{"tag": 1}')
    for count in (1, 2):
        assert cache.get(f"/hub{TAG}", [("Authorization", f"Bearer {registry.token}")]).status == 200
        assert (registry.count(TAG), registry.count("/token")) == (count, 0)
    assert cache.get(f"/hub{TAG}", [("Authorization", "Bearer mine")]).status == 401


def test_what_changes_something_is_sent_without_a_token(cache: Proxy, registry: FakeRegistry) -> None:
    registry.guard(TAG, Resource(status=201))
    assert cache.get(f"/hub{TAG}").status == 201
    assert cache.get(f"/hub{TAG}", method="PUT", body=b"{}").status == 401
    assert registry.requests[-1].get("Authorization") is None
