"""The command `fetch`: what it downloads into the cache, and what it says of it."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from commands import DONE, PROBLEMS, call, on_terminal, printed, run
from harness import Proxy, clean_environment
from origin import Origin


def test_fetch(make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path) -> None:
    proxy = make_proxy()
    for number in range(6):
        origin.put(f"/{number}", b"x" * number, cache_control="max-age=60")
    origin.put("/a%7Eb/../c d", b"odd", cache_control="max-age=60")
    file = tmp_path / "urls"
    file.write_text(f"# a list\n\n{origin.url('/2')}\n  {origin.url('/3')}\n{origin.url('/2')}\n")
    urls = (origin.url("/0"), origin.url("/1"))
    got = printed("fetch", *urls, "--input", str(file), "-j", "3", "--proxy", proxy.netloc)
    assert [(one["url"], one["status"], one["bytes"], one["error"]) for one in got] == [
        (origin.url(f"/{number}"), 200, number, "") for number in range(4)
    ]
    piped = run("fetch", "-i", "-", text=origin.url("/4"), PYPROXYCACHE_PROXY=proxy.url)
    assert (piped.status, origin.url("/4") in piped.stdout) == (DONE, True)
    listening = call("fetch", origin.url("/5"), PYPROXYCACHE_LISTEN=proxy.netloc)
    assert listening.status == DONE
    assert sorted(asked.path for asked in origin.requests) == [f"/{number}" for number in range(6)]
    # As it is written: nothing is normalised on the way to the key.
    assert call("fetch", origin.url("/a%7Eb/../c"), "--proxy", proxy.netloc).status == PROBLEMS
    assert origin.requests[-1].target == "/a%7Eb/../c"


def test_fetch_tells_what_failed(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"fetch": {"tries": 1}})
    origin.put("/good", b"good", cache_control="max-age=60")
    origin.put("/cut", b"x" * 100_000, break_at=0.5, cache_control="max-age=60")
    origin.put("/mine", b"x" * 100_000, cache_control="private")
    names = ("/good", "/missing", "/cut", "/mine")
    urls = [*(origin.url(name) for name in names), "http://127.0.0.1:9/", "ftp://h/"]
    got = printed("fetch", *urls, "--proxy", proxy.netloc, status=PROBLEMS)
    assert [bool(one["error"]) for one in got] == [False, True, True, True, True, True]
    assert got[1]["error"] == "status 404"
    assert "broke off" in got[2]["error"]
    assert "not kept (private)" in got[3]["error"]
    assert got[4]["error"].startswith("status 502: ")
    told = call("fetch", *urls, "--proxy", proxy.netloc)
    assert told.status == PROBLEMS
    lines = told.stdout.splitlines() + told.stderr.splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == sorted(urls)
    assert told.stdout.endswith("was there\n")
    assert "Traceback" not in told.stderr


def test_fetch_without_a_server_says_so_in_a_line(origin: Origin) -> None:
    nobody = call("fetch", origin.url("/good"), origin.url("/better"), "--proxy", "127.0.0.1:9")
    assert (nobody.status, nobody.stdout) == (PROBLEMS, "")
    assert "no cache answers at http://127.0.0.1:9" in nobody.stderr
    assert len(nobody.stderr.splitlines()) == 1
    assert [
        word for word in ("urllib3", "Errno", "Max retries", "object at") if word in nobody.stderr
    ] == []


def test_fetch_says_that_somebody_else_answers(origin: Origin) -> None:
    origin.put("/good", b"good", cache_control="max-age=60")
    (one,) = printed("fetch", origin.url("/good"), "--proxy", origin.url("/"), status=PROBLEMS)
    assert "is no pyproxycache" in one["error"]


def test_fetch_into_a_reverse_proxy(
    make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path
) -> None:
    proxy = make_proxy(config={"upstream": origin.url("")})
    origin.put("/there", b"", status=302, headers=[("Location", "/good")])
    origin.put("/good", b"good", cache_control="max-age=60")
    file = tmp_path / "proxy.yaml"
    file.write_text(f"listen: {proxy.netloc}\nupstream: {origin.url('')}\n")
    got = printed("fetch", origin.url("/there"), "http://h/else", "-c", str(file), status=PROBLEMS)
    assert [(one["bytes"], bool(one["error"])) for one in got] == [(4, False), (0, True)]
    assert "stands before" in got[1]["error"]
    assert printed("fetch", origin.url("/good"), "-c", str(file), "--proxy", proxy.netloc)[0]["bytes"] == 4
    assert [asked.target for asked in origin.requests] == ["/there", "/good"]


def test_fetch_and_env_know_that_a_gateway_is_no_proxy(
    make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path
) -> None:
    route = {"routes": {"/a/": {"upstream": origin.url("")}}}
    gateway = make_proxy(config=route)
    file = tmp_path / "gateway.yaml"
    file.write_text(
        yaml.safe_dump({"listen": gateway.netloc, "store": {"path": str(gateway.cache_dir)}, **route})
    )
    fetched = call("fetch", gateway.url + "/a/x", "-c", str(file))
    assert (fetched.status, fetched.stdout) == (PROBLEMS, "")
    assert f"ask it by its own address, as in curl {gateway.url}/a/" in fetched.stderr
    told = call("env", "-c", str(file))
    assert (told.status, told.stdout) == (PROBLEMS, "")
    assert "no server that programs can use" in told.stderr
    assert not origin.requests


@pytest.mark.parametrize("url", ["h/p", "-", "bad url", "ftp://h/p", "http://[", "http://[/x"])
def test_fetch_of_what_is_no_url(proxy: Proxy, url: str) -> None:
    (one,) = printed("fetch", url, "--proxy", proxy.netloc, status=PROBLEMS)
    assert "URL" in one["error"]
    assert one["status"] == 0


def test_fetch_from_a_cache_that_ends(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy()
    origin.put("/slow", b"x" * 1000, hang_at=10)
    command = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/slow"), "--proxy", proxy.netloc]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as fetching:
        origin.wait_for("/slow")
        proxy.kill9()
        _, told = fetching.communicate(timeout=30)
    assert fetching.returncode == PROBLEMS
    assert [word for word in ("IncompleteRead", "Errno", "Traceback") if word in told] == []
    assert told.startswith(f"{origin.url('/slow')}: the c")


def test_fetch_follows_redirects_through_the_cache(proxy: Proxy, origin: Origin) -> None:
    for name, location in (("/a/there", origin.url("/b")), ("/a/near", "../b"), ("/round", "/round")):
        origin.put(name, b"", status=302, headers=[("Location", location)])
    origin.put("/b", b"found", cache_control="max-age=60")
    urls = [origin.url("/a/there"), origin.url("/a/near")]
    got = printed("fetch", *urls, "-j", "1", "--proxy", proxy.netloc)
    assert [(one["status"], one["bytes"]) for one in got] == [(200, 5), (200, 5)]
    assert origin.count("/b") == 1
    assert all("via" in {name.lower() for name, _ in asked.headers} for asked in origin.requests)
    (endless,) = printed("fetch", origin.url("/round"), "--proxy", proxy.netloc, status=PROBLEMS)
    assert "redirects" in endless["error"]


@pytest.mark.parametrize(
    "location", ["http://[", "http://[::1", "https://", "ftp://h/", "http://h:port/", "//["]
)
def test_fetch_says_where_a_redirect_leads_to_no_url(proxy: Proxy, origin: Origin, location: str) -> None:
    origin.put("/bad", b"", status=302, headers=[("Location", location)])
    origin.put("/good", b"good", cache_control="max-age=60")
    urls = [origin.url("/bad"), origin.url("/good")]
    bad, good = printed("fetch", *urls, "--proxy", proxy.netloc, status=PROBLEMS)
    assert bad["error"]
    assert good["error"] == ""


def test_fetch_on_a_terminal_has_a_line_for_each_url(proxy: Proxy, origin: Origin) -> None:
    urls = [
        origin.url(f"/a-name-that-is-longer-than-the-terminal-is-wide/{number}") for number in range(30)
    ]
    for number, url in enumerate(urls):
        if number % 5:
            origin.put(url.removeprefix(origin.url("")), b"x" * 300_000, cache_control="max-age=60")
    status, shown = on_terminal("fetch", *urls, "-j", "8", "--proxy", proxy.netloc)
    assert status == PROBLEMS
    for number, url in enumerate(urls):
        assert f"{url}: {'293.0 KiB' if number % 5 else 'status 404'}" in shown


def test_fetch_ends_at_once_when_interrupted(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy()
    origin.put("/slow", b"x" * 1000, hang_at=10)
    command = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/slow"), "--proxy", proxy.netloc]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=clean_environment()) as fetching:
        origin.wait_for("/slow")
        fetching.send_signal(signal.SIGINT)
        assert fetching.wait(5.0) != DONE


def test_fetch_in_the_background_is_not_interrupted(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    """A shell has SIGINT ignored by what it runs there."""
    proxy = make_proxy()
    origin.put("/late", b"x" * 1000, head_delay=1.0, cache_control="max-age=60")
    fetch = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/late"), "--proxy", proxy.netloc]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *fetch]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean_environment()) as fetching:
        origin.wait_for("/late")
        fetching.send_signal(signal.SIGINT)
        assert fetching.wait(30.0) == DONE
