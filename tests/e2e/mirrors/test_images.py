"""Images by a mirror, from a registry that asks for tokens: with real servers and skopeo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from guarded_registry import MISSING, GuardedRegistry, TokenServer, skopeo
from harness import Proxy
from origin import Resource

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with TokenServer(tmp_path) as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path, tokens: TokenServer) -> Iterator[GuardedRegistry]:
    running = GuardedRegistry(tmp_path / "registry", tokens)
    yield running.start()
    running.stop()


def mirrored(registry: GuardedRegistry, **more: object) -> dict[str, object]:
    upstream = {"url": registry.url, **more}
    return {"mirrors": {"hub": {"ecosystem": "oci", "upstream": upstream, "registries": ["hub.test"]}}}


def pulled(cache: Proxy, folder: Path, registry: GuardedRegistry, place: str = "hub/lib/tiny:1") -> None:
    """Pull the image and compare its layer."""
    folder.mkdir()
    source = f"docker://{cache.netloc}/{place}"
    done = skopeo(folder, "copy", "-q", "--src-tls-verify=false", source, f"dir:{folder / 'image'}")
    assert done.returncode == 0, done.stderr
    layer = folder / "image" / sha256(registry.layer).hexdigest()
    assert layer.read_bytes() == registry.layer


@pytest.mark.parametrize("has_users", [False, True], ids=["anonymous", "credentials"])
def test_pulled_twice_the_second_time_from_the_cache(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer, tmp_path: Path, has_users: bool
) -> None:
    more = {"credentials": "env:MINE"} if has_users else {}
    tokens.users = {"me:s3cret"} if has_users else None
    cache = make_proxy(config=mirrored(registry, **more), environment={"MINE": "me:s3cret"})
    pulled(cache, tmp_path / "1", registry)
    assert len(tokens.asked) == len(tokens.given) == 1
    registry.stop()
    tokens.origin.stop()
    pulled(cache, tmp_path / "2", registry)
    pulled(cache, tmp_path / "3", registry, "lib/tiny:1")
    assert "s3cret" not in cache.log()
    stored = b"".join(path.read_bytes() for path in cache.cache_dir.rglob("*") if path.is_file())
    assert tokens.given[0].encode() not in stored


def test_all_ways_to_ask_for_it(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer
) -> None:
    """As containerd, docker, podman and skopeo do, each with GET and HEAD."""
    cache = make_proxy(config=mirrored(registry))
    for greeting in ("/v2/", "/v2", "/hub/v2/"):
        reply = cache.get(greeting)
        assert (reply.status, reply.get("Docker-Distribution-API-Version")) == (200, "registry/2.0")
    assert tokens.asked == []
    paths = (
        "/hub/v2/lib/tiny/manifests/1",
        "/hub/v2/lib/tiny/manifests/1?ns=hub.test",
        "/v2/hub/lib/tiny/manifests/1",
        "/v2/lib/tiny/manifests/1",
        "/v2/lib/tiny/manifests/1?ns=hub.test",
        f"/v2/lib/tiny/manifests/1?ns=127.0.0.1%3A{registry.port}",
    )
    bodies = set()
    for path in paths:
        head = cache.get(path, [("Accept", "text/plain")], method="HEAD")
        reply = cache.get(path)
        digest = f"sha256:{sha256(reply.body).hexdigest()}"
        assert (reply.status, reply.get("Docker-Content-Digest")) == (200, digest)
        assert (head.status, head.get("Docker-Content-Digest"), head.body) == (200, digest, b"")
        assert head.get("Content-Length") == str(len(reply.body))
        assert head.get("Content-Type") == json.loads(reply.body)["mediaType"]
        bodies.add(reply.body)
        assert cache.get(f"{path.partition('manifests')[0]}manifests/{digest}").status == 200
    assert len(bodies) == len(tokens.asked) == 1
    assert cache.get("/v2/lib/tiny/manifests/1?ns=other.test").status == 404
    assert cache.get("/v2/hub/lib/tiny/tags/list").body.strip() == b'{"name":"lib/tiny","tags":["1"]}'
    assert cache.get("/v2/hub/lib/tiny/manifests/2").status == 404


def test_a_mirror_of_podmans_configuration(
    make_proxy: MakeProxy, registry: GuardedRegistry, tmp_path: Path
) -> None:
    cache = make_proxy(config=mirrored(registry))
    settings = tmp_path / "registries.conf"
    settings.write_text(
        '[[registry]]\nlocation = "registry.invalid"\n[[registry.mirror]]\n'
        f'location = "{cache.netloc}/hub"\ninsecure = true\n'
    )
    done = skopeo(
        tmp_path,
        f"--registries-conf={settings}",
        "copy",
        "docker://registry.invalid/lib/tiny:1",
        f"dir:{tmp_path / 'image'}",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image" / sha256(registry.layer).hexdigest()).read_bytes() == registry.layer


def test_a_mirror_whose_name_begins_like_the_interface(
    make_proxy: MakeProxy, registry: GuardedRegistry
) -> None:
    cache = make_proxy(config={"mirrors": {"v2x": {"ecosystem": "oci", "upstream": registry.url}}})
    for path in ("/v2x/v2/_catalog?n=1", "/v2/v2x/_catalog?n=1"):
        reply = cache.get(path)
        assert (reply.status, json.loads(reply.body)) == (200, {"repositories": ["lib/tiny"]})
    assert cache.get("/v2x/v2/").body == b"{}"


def test_a_page_of_tags_leads_to_the_next(make_proxy: MakeProxy, registry: GuardedRegistry) -> None:
    cache = make_proxy(config=mirrored(registry))
    reply = cache.get("/v2/hub/_catalog?n=1")
    assert (reply.status, json.loads(reply.body)) == (200, {"repositories": ["lib/tiny"]})


def test_wrong_credentials_open_nothing(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer
) -> None:
    tokens.users = {"me:s3cret"}
    config = mirrored(registry, credentials="env:MINE")
    cache = make_proxy(config=config, environment={"MINE": "me:wr0ng"})
    for _ in range(2):
        reply = cache.get("/hub/v2/lib/tiny/manifests/1")
        assert (reply.status, reply.get("WWW-Authenticate") is not None) == (401, True)
    assert (len(tokens.asked), tokens.given) == (2, [])
    assert "gives no token for the credentials of this upstream" in cache.log()
    assert "wr0ng" not in cache.log()


def test_an_expired_token_is_got_anew(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer
) -> None:
    tokens.lifetime = 0.000001
    cache = make_proxy(config=mirrored(registry))
    manifest = json.loads(cache.get("/hub/v2/lib/tiny/manifests/1").body)
    for number, blob in enumerate((manifest["config"], *manifest["layers"]), 2):
        reply = cache.get(f"/hub/v2/lib/tiny/blobs/{blob['digest']}")
        assert f"sha256:{sha256(reply.body).hexdigest()}" == blob["digest"]
        assert len(tokens.given) == number


def test_a_token_server_that_fails(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer
) -> None:
    cache = make_proxy(config=mirrored(registry))
    path = "/hub/v2/lib/tiny/manifests/1"
    answers = {
        502: (Resource(status=503), Resource(b"{}"), Resource(b"x" * 300_000), Resource(b"[" * 200_000)),
        429: (Resource(status=429, headers=[("Retry-After", "7")]),),
        401: (Resource(status=403),),
    }
    for status, made in answers.items():
        for answer in made:
            tokens.answer = answer
            assert cache.get(path).status == status
    tokens.answer = Resource(status=429, headers=[("Retry-After", "7")])
    assert cache.get(path).get("Retry-After") == "7"
    tokens.answer = Resource(b'{"access_token": "a b"}')
    assert cache.get(path).status == 502
    tokens.answer = None
    assert cache.get(path).status == 200


def test_one_token_for_many_clients(
    make_proxy: MakeProxy, registry: GuardedRegistry, tokens: TokenServer
) -> None:
    cache = make_proxy(config=mirrored(registry), threads=64)
    paths = [f"/hub/v2/lib/tiny/blobs/sha256:{number:064x}" for number in range(30)]
    with ThreadPoolExecutor(len(paths)) as clients:
        assert [reply.status for reply in clients.map(cache.get, paths)] == [404] * len(paths)
    assert len(tokens.given) == 1
    # Another repository needs a token of its own.
    assert cache.get("/hub/v2/lib/other/tags/list").status == 404
    assert len(tokens.given) == 2
