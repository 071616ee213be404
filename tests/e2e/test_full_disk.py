"""A disk that is full, or fills up on the way: everything is served, and the log says so once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Proxy, clean_environment
from origin import Generated, Origin
from waiting import until

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.options import Share, StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won
from pyproxycache.wiring.stored import OpenStore, open_store

MB = 1 << 20
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as other, contextlib.suppress(OSError):
        while other.write(bytes(MB)):
            pass


@pytest.mark.parametrize("framing", [{}, {"chunked": True}], ids=["length", "chunked"])
def test_an_object_larger_than_the_disk(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path, framing: dict[str, bool]
) -> None:
    body = Generated(60 * MB, seed=40)
    origin.put("/large", body, **FRESH, **framing)
    gate = origin.gate("/large", at=MB)
    proxy = make_proxy(cache_dir=small_disk / "cache", threads=32)
    clients = [proxy.download(origin.url("/large"), expected=body).start() for _ in range(4)]
    gate.wait_reached()
    gate.open()
    for client in clients:
        client.join()
        assert client.error is None
        assert client.correct
    assert proxy.log().count("served but not stored") == (1 if framing else 0)
    small = Generated(MB, seed=41)
    origin.put("/small", small, **FRESH)
    for _ in range(2):
        assert proxy.get(origin.url("/small")).body == small.slice(0, small.size)
    assert origin.count("/small") == 1


def test_each_answer_that_is_not_stored_says_why(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path
) -> None:
    """Where the index cannot be written, and no room may be made."""
    proxy = make_proxy(cache_dir=small_disk / "cache", config={"store": {"reserve": 0}, "memory": 0})
    origin.put("/before", b"x", **FRESH)
    proxy.get(origin.url("/before"))
    fill(small_disk / "of-others")
    for number in range(8):
        body = Generated((1 << 10) if number % 2 else 300 << 10, seed=number)
        origin.put(f"/{number}", body, **FRESH)
        reply = proxy.get(origin.url(f"/{number}"))
        assert reply.body == body.slice(0, body.size)
        said = reply.get("cache-status") or ""
        assert ("; stored" in said) != ("; detail=" in said)
        again = proxy.get(origin.url(f"/{number}"), [("Cache-Control", "only-if-cached")])
        assert again.status == (200 if "; stored" in said else 504)


def test_a_disk_without_its_reserve_is_said(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path
) -> None:
    others = small_disk / "of-others"
    others.write_bytes(bytes(16 * MB))
    proxy = make_proxy(cache_dir=small_disk / "cache", workers=2, config={"store": {"reserve": "50%"}})
    origin.put("/a", b"x", **FRESH)
    assert "; detail=no-room" in (proxy.get(origin.url("/a")).get("cache-status") or "")
    said = f"nothing more is stored: the disk of {small_disk / 'cache'} has "
    until(lambda: said in proxy.log())
    others.unlink()
    until(lambda: "has room again" in proxy.log())
    assert proxy.log().count(said) == 1
    origin.put("/b", b"x", **FRESH)
    for _ in range(2):
        proxy.get(origin.url("/b"))
    assert origin.count("/b") == 1


def test_the_least_recently_used_makes_room(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path
) -> None:
    proxy = make_proxy(cache_dir=small_disk / "cache")
    for number in range(12):
        body = Generated(4 * MB, seed=number)
        origin.put(f"/{number}", body, **FRESH)
        client = proxy.download(origin.url(f"/{number}"), expected=body).run()
        assert client.error is None
        assert client.correct
    newest = proxy.get(origin.url("/11"))
    assert newest.status == 200
    assert origin.count("/11") == 1
    proxy.get(origin.url("/0"))
    assert origin.count("/0") == 2


def test_a_disk_filled_by_others(origin: Origin, make_proxy: MakeProxy, small_disk: Path) -> None:
    proxy = make_proxy(cache_dir=small_disk / "cache")
    kept = Generated(MB, seed=50)
    origin.put("/kept", kept, **FRESH)
    assert proxy.get(origin.url("/kept")).status == 200
    fill(small_disk / "other")
    for path in ("/new", "/newer"):
        body = Generated(2 * MB, seed=51)
        origin.put(path, body, **FRESH)
        client = proxy.download(origin.url(path), expected=body).run()
        assert client.error is None
        assert client.correct
    assert proxy.get(origin.url("/kept")).body == kept.slice(0, kept.size)


def fill_to_the_last_byte(path: Path) -> None:
    """The same, and not a byte is left."""
    with path.open("wb", buffering=0) as other:
        for size in (MB, 4096, 1):
            with contextlib.suppress(OSError):
                while other.write(bytes(size)) == size:
                    pass


@pytest.mark.parametrize("framing", [{}, {"chunked": True}], ids=["length", "chunked"])
def test_no_byte_left_costs_no_request(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path, framing: dict[str, bool]
) -> None:
    proxy = make_proxy(cache_dir=small_disk / "cache")
    body = Generated(MB, seed=60)
    for number in range(20):
        origin.put(f"/{number}", body, **FRESH, **framing)
    for number in range(4):
        assert proxy.get(origin.url(f"/{number}")).status == 200
    fill_to_the_last_byte(small_disk / "other")
    for number in (*range(4, 8), *range(4)):
        reply = proxy.get(origin.url(f"/{number}"))
        assert reply.status == 200, reply.body
        assert reply.body == body.slice(0, body.size)


COMMANDS = [["purge", "--all"], ["gc", "--max-size", "100K"], ["purge", "--prefix", "http://"]]


@pytest.mark.parametrize("runs", [True, False], ids=["while-it-runs", "stopped"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_can_be_emptied(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path, command: list[str], runs: bool
) -> None:
    """By hand, and with nothing but what the cache itself has stored there."""
    proxy = make_proxy(cache_dir=small_disk / "cache")
    for number in range(4):
        origin.put(f"/{number}", Generated(MB, seed=number), **FRESH)
        assert proxy.get(origin.url(f"/{number}")).status == 200
    if not runs:
        proxy.terminate()
    fill_to_the_last_byte(small_disk / "other")
    done = cli(proxy, *command)
    assert done.returncode == 0, done.stderr
    assert shutil.disk_usage(small_disk).free > 3 * MB
    assert cli(proxy, "fsck").returncode == 0


def test_without_ballast_all_can_be_purged_still(
    origin: Origin, make_proxy: MakeProxy, small_disk: Path
) -> None:
    proxy = make_proxy(cache_dir=small_disk / "cache")
    for number in range(4):
        origin.put(f"/{number}", Generated(MB, seed=number), **FRESH)
        assert proxy.get(origin.url(f"/{number}")).status == 200
    (small_disk / "cache" / "ballast").unlink()
    fill_to_the_last_byte(small_disk / "other")
    done = cli(proxy, "purge", "--all")
    assert done.returncode == 0, done.stderr
    assert cli(proxy, "ls").stdout == ""
    assert cli(proxy, "fsck").returncode == 0


def cli(proxy: Proxy, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyproxycache", *arguments, "--cache-dir", str(proxy.cache_dir)]
    environment = clean_environment()
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def filled_with_small_bodies(folder: Path, count: int) -> OpenStore:
    """A store of so many bodies of 16 KB, all of them in the index."""
    store = open_store(StoreOptions(path=folder, reserve=Share(size=MB)))
    for number in range(count):
        key, body = f"http://origin.example/{number}", b"%07d " % number * 2048
        head = Head(200, "OK", Headers([("ETag", '"v1"')]))
        entry = Entry(
            key, head, 1000.0, 1000.0 + number, digest=hashlib.sha256(body).hexdigest(), size=len(body)
        )
        won = store.claims.claim(FlightKey(key), f"{number:016d}", 1000.0)
        assert isinstance(won, Won)
        store.claims.store(won.claim, entry, body)
        if number % 50 == 0:
            store.space.collect()
    return store


def test_small_bodies_make_room_for_a_large_one(small_disk: Path) -> None:
    store = filled_with_small_bodies(small_disk / "cache", 800)
    kept = store.index.usage().blobs
    assert store.space.allow(0, 4 * MB) >= 4 * MB
    assert shutil.disk_usage(small_disk).free >= 4 * MB
    assert kept / 2 < store.index.usage().blobs < kept
    assert all(finding is None for finding in store.fsck.check())
    store.database.close()


@pytest.mark.parametrize("command", [COMMANDS[0], ["gc", "--max-size", "2M"]], ids=" ".join)
def test_a_disk_full_of_small_bodies_can_be_emptied(
    make_proxy: MakeProxy, small_disk: Path, command: list[str]
) -> None:
    filled_with_small_bodies(small_disk / "cache", 400).database.close()
    proxy = make_proxy(cache_dir=small_disk / "cache")
    proxy.terminate()
    fill_to_the_last_byte(small_disk / "other")
    done = cli(proxy, *command)
    assert done.returncode == 0, done.stderr
    assert cli(proxy, "gc").returncode == 0
    assert shutil.disk_usage(small_disk).free > 3 * MB
    assert cli(proxy, "fsck").returncode == 0
