"""The commands `config check` and `config show`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import DONE, PROBLEMS, WRONG_USAGE, call, reload, run
from harness import Proxy
from origin import Origin
from waiting import until


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alow: 10.0.0.0/8", ["alow", "did you mean allow"]),
        ("store: {max_size: plenty}", ["store.max_size", "'plenty'", "200G"]),
        ("rules: [{match: {path: '('}}]", ["rules[0].match.path", "'('"]),
        ("listen: [", ["line"]),
        ("workers: 1\nworkers: 2", ["line 2", "twice"]),
    ],
)
def test_config_check(tmp_path: Path, text: str, told: list[str]) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    done = call("config", "check", str(file))
    assert (done.status, done.stdout) == (PROBLEMS, "")
    assert [part for part in (str(file), *told) if part not in done.stderr] == []
    serving = run("serve", "-c", str(file))
    assert (serving.status, serving.stderr) == (WRONG_USAGE, done.stderr)


def test_config_show_is_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("store: {max_size: 5G}\nallow: 10.0.0.0/8")
    assert call("config", "check", str(file)).stdout == f"{file}: good\n"
    shown = call("config", "show", PYPROXYCACHE_CONFIG=str(file), PYPROXYCACHE_CACHE_DIR="/else/where")
    values = yaml.safe_load(shown.stdout)
    assert (values["store"]["max_size"], values["store"]["path"]) == ("5G", "/else/where")
    file.write_text(shown.stdout)
    assert call("config", "check", str(file)).status == DONE


def test_config_show_has_what_flags_and_variables_say(tmp_path: Path) -> None:
    """As `serve` would use it, and refused as `serve` would refuse it."""
    variables = {"PYPROXYCACHE_LISTEN": "127.0.0.1:1 127.0.0.1:2", "PYPROXYCACHE_WORKERS": "3"}
    shown = call("config", "show", "--threads", "7", "--cache-dir", str(tmp_path), **variables)
    values = yaml.safe_load(shown.stdout)
    assert [values[key] for key in ("listen", "workers", "threads")] == [
        ["127.0.0.1:1", "127.0.0.1:2"],
        3,
        7,
    ]
    refused = call("config", "show", PYPROXYCACHE_WORKERS="many")
    assert (refused.status, refused.stdout) == (WRONG_USAGE, "")
    assert refused.stderr.startswith("pyproxycache: PYPROXYCACHE_WORKERS: 'many' is not a count")
    fetching = call("fetch", "http://h/", PYPROXYCACHE_LISTEN="x")
    assert fetching.stderr.startswith("pyproxycache: PYPROXYCACHE_LISTEN: 'x' is not an address")
    asking = call("fetch", "http://h/", PYPROXYCACHE_PROXY="x")
    assert asking.stderr.startswith("pyproxycache: PYPROXYCACHE_PROXY: 'x' is not an address")


def test_config_show_asks_the_running_server(make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy(config={"store": {"max_size": "5G"}})
    where = ("--cache-dir", str(proxy.cache_dir))
    assert yaml.safe_load(call("config", "show", *where).stdout)["store"]["max_size"] != "5G"

    def adopted() -> Any:
        return yaml.safe_load(call("config", "show", "--running", *where).stdout)

    shown = adopted()
    assert (shown["store"]["max_size"], shown["listen"]) == ("5G", [proxy.netloc])
    reload(proxy, {"store": {"max_size": "6G"}})
    assert adopted()["store"]["max_size"] == "6G"
    proxy.configure({"store": {"max_size": "7G"}, "allow": "nowhere"})
    proxy.reload()
    until(lambda: "stays as it was" in proxy.log())
    assert adopted()["store"]["max_size"] == "6G"
    (file,) = proxy.cache_dir.glob("running-*.yaml")
    assert file.stat().st_mode & 0o077 == 0
    proxy.terminate()
    gone = call("config", "show", "--running", *where)
    assert (gone.status, gone.stdout) == (PROBLEMS, "")
    assert "no server uses the cache in" in gone.stderr


def test_config_show_knows_the_server_of_a_folder_that_was_made_anew(
    tmp_path: Path, make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    proxy = make_proxy()
    proxy.get(origin.url("/"))
    proxy.cache_dir.rename(tmp_path / "gone")
    until(lambda: "is opened anew" in proxy.log())
    where = ("--running", "--cache-dir", str(proxy.cache_dir))
    until(lambda: call("config", "show", *where).status == DONE)


def test_config_show_knows_each_server_of_a_folder(tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"

    def shown() -> str:
        told = call("config", "show", "--running", "--cache-dir", str(cache_dir))
        assert told.status == 0, told.stderr
        return str(yaml.safe_load(told.stdout)["listen"][0])

    with Proxy(tmp_path / "one", cache_dir=cache_dir) as one:
        with Proxy(tmp_path / "two", cache_dir=cache_dir) as two:
            assert shown() == two.netloc
        assert shown() == one.netloc
    with Proxy(tmp_path / "three", cache_dir=cache_dir):
        assert len(list(cache_dir.glob("running*"))) == 1, "those of servers that have ended are removed"
