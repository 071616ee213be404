"""A mirror of models, with huggingface_hub itself: large files behind signed redirects, and no Xet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Proxy
from language_clients import VALIDATED, words
from model_hub import COMMIT, CONFIG, MODEL, SNAPSHOT, put_model
from origin import Generated, Origin
from python_clients import run_python
from signing import SigningHost

MakeProxy = Callable[..., Proxy]
ONE = """
from huggingface_hub import hf_hub_download
print(hf_hub_download("org/tiny", "model.bin"))
"""


@pytest.fixture
def hub(origin: Origin) -> Iterator[SigningHost]:
    """A repository of two files, as its hub shows it; the large one is on another host."""
    with Origin() as blobs:
        signing = SigningHost(origin, blobs)
        put_model(signing, **VALIDATED)
        yield signing


@pytest.fixture
def cache(make_proxy: MakeProxy, hub: SigningHost) -> Proxy:
    mirror = {"ecosystem": "huggingface", "upstream": hub.front.url("/")}
    return make_proxy(config={"mirrors": {"hf": mirror}})


def download(cache: Proxy, script: str, folder: Path) -> Path:
    """What the script has downloaded by the mirror, with a cache of its own."""
    told = {
        "HF_ENDPOINT": f"{cache.url}/hf",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    done = run_python("huggingface_hub", script, folder, **told)
    assert done.returncode == 0, words(done)
    return Path(done.stdout.split()[-1])


def test_a_snapshot_twice(hub: SigningHost, cache: Proxy, tmp_path: Path) -> None:
    """The second time with the hub and its host of files stopped."""
    for number in ("1", "2"):
        got = download(cache, SNAPSHOT, tmp_path / number)
        assert got.name == COMMIT
        assert (got / "config.json").read_bytes() == CONFIG
        assert hashlib.sha256((got / "model.bin").read_bytes()).hexdigest() == MODEL.sha256()
        hub.front.stop()
        hub.blobs.stop()
    asked = [one for one in hub.blobs.requests if one.method == "GET"]
    assert len(asked) == 1


def test_one_file_twice(hub: SigningHost, cache: Proxy, tmp_path: Path) -> None:
    for number in ("1", "2"):
        got = download(cache, ONE, tmp_path / number)
        assert hashlib.sha256(got.read_bytes()).hexdigest() == MODEL.sha256()
        # The hub's own names for what is there, not those of the host of files.
        assert (got.parent.name, got.resolve().name) == (COMMIT, MODEL.sha256())
        hub.front.stop()
        hub.blobs.stop()
    assert len([one for one in hub.blobs.requests if one.method == "GET"]) == 1


def test_what_clients_are_told(hub: SigningHost, cache: Proxy) -> None:
    for method in ("HEAD", "GET", "HEAD"):
        reply = cache.get("/hf/org/tiny/resolve/main/model.bin", method=method)
        assert (reply.status, reply.get("X-Repo-Commit")) == (200, COMMIT)
        assert reply.get("X-Linked-Etag") == f'"{MODEL.sha256()}"'
        assert reply.get("X-Linked-Size") == reply.get("Content-Length") == str(MODEL.size)
        assert not [name for name, _value in reply.headers if name.lower().startswith("x-xet")]
    reply = cache.get(f"/hf/api/models/org/tiny/tree/{COMMIT}?recursive=true")
    assert "xetHash" not in reply.body.decode()


def test_an_old_copy_stands_in_for_a_hub_that_is_down(hub: SigningHost, cache: Proxy) -> None:
    path = "/org/tiny/resolve/main/config.json"
    fields = [("X-Repo-Commit", COMMIT), ("Age", "1000")]
    hub.front.put(path, CONFIG, headers=fields, etag='"c"')
    assert cache.get(f"/hf{path}").status == 200
    hub.front.put(path, b"", status=503)
    for _ in range(2):
        for method in ("GET", "HEAD"):
            reply = cache.get(f"/hf{path}", method=method)
            assert (reply.status, reply.get("X-Repo-Commit")) == (200, COMMIT)
        hub.front.stop()


@pytest.mark.parametrize("field", [("Authorization", "Bearer hf_x"), ("Cookie", "a=b")])
def test_what_is_for_one_client_is_given_to_no_other(
    hub: SigningHost, cache: Proxy, field: tuple[str, str]
) -> None:
    path = f"/org/tiny/resolve/{COMMIT}/private.json"
    hub.front.put(path, b"secret", etag='"p"', cache_control="private")
    assert cache.get(f"/hf{path}", [field]).body == b"secret"
    hub.front.put(path, b"", status=401)
    assert cache.get(f"/hf{path}").status == 401


def test_a_model_with_other_bytes_is_refused(hub: SigningHost, cache: Proxy) -> None:
    """The list of its files says what it has to be."""
    path = f"/org/tiny/resolve/{COMMIT}/model.bin"
    hub.put(path, Generated(MODEL.size, seed=4), etag='"s3-2"')
    assert cache.get(f"/hf/api/models/org/tiny/tree/{COMMIT}?recursive=true").status == 200
    reply = cache.get(f"/hf{path}")
    assert reply.status == 502 or not reply.complete
    hub.put(path, MODEL, etag='"s3-1"')
    assert len(cache.get(f"/hf{path}").body) == MODEL.size
