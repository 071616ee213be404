"""Real clients, each by a tunnel, by interception, and by `run --`: the rows of docs/clients.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from authorities import make_authority
from client import Client, Told, Visit
from conftest import IMAGES, NAME, Site
from every_client import CLIENTS
from harness import REPOSITORY, Proxy
from hidden_names import knowing

QUICK = {"curl", "pip"}
"""Those that `make test` runs too."""

pytestmark = pytest.mark.timeout(400)  # some start twice, and slowly

MakeProxy = Callable[..., Proxy]
Note = Callable[[str, str], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every-client", default=False)
    chosen = [client for name, client in CLIENTS.items() if every or name in QUICK]
    metafunc.parametrize("client", chosen, ids=lambda client: client.name)


def logged(proxy: Proxy, log: Path) -> list[dict[str, Any]]:
    """The lines about the origins of these tests, after the proxy has stopped."""
    proxy.terminate()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if any(name in line["url"] for name in (NAME, IMAGES))]


def test_by_a_tunnel(
    client: Client, site: Site, make_named_proxy: MakeProxy, tmp_path: Path, cell: Note
) -> None:
    client.require()
    site.start(client)
    log = tmp_path / "access.log"
    access = {"access": str(log), "format": "json"}
    proxy = make_named_proxy({"connect": {"ports": site.ports}, "log": access})
    site.origin.forget()
    visit = Visit(site.places, tmp_path / "visit", Told(proxy.url, site.ca))
    assert client.visited(visit) == client.digest
    lines = logged(proxy, log)
    assert lines
    assert {(line["method"], line["status"]) for line in lines} == {("CONNECT", 200)}
    assert all(asked.get("Via") is None for asked in site.origin.requests)
    cell("tunnel", "yes")


def test_by_interception(
    client: Client, site: Site, make_named_proxy: MakeProxy, tmp_path: Path, cell: Note
) -> None:
    """Twice, the second time while the origin is down, and for a user who has nothing of the first time."""
    client.require()
    site.start(client)
    log = tmp_path / "access.log"
    ca = make_authority(tmp_path / "authority")
    proxy = make_named_proxy(
        {
            "connect": {"ports": site.ports},
            "intercept": {"hosts": [NAME, IMAGES], "ca": str(ca.parent)},
            "fetch": {"ca_file": str(site.ca)},
            "log": {"access": str(log), "format": "json"},
        }
    )
    site.origin.forget()
    told = Told(proxy.url, ca)
    assert client.visited(Visit(site.places, tmp_path / "first", told)) == client.digest
    assert all(asked.get("Via") for asked in site.origin.requests)
    if not client.asks_anew:
        site.stop()
    assert client.visited(Visit(site.places, tmp_path / "second", told)) == client.digest
    lines = logged(proxy, log)
    assert {line["result"] for line in lines if line["method"] == "CONNECT"} == {"intercepted"}
    assert ("hit" in {line["result"] for line in lines}) == client.is_cached
    cached = "cached" if client.is_cached else "not cached"
    cell("interception", f"{cached}; {client.asks_anew}" if client.asks_anew else cached)


def test_by_run(client: Client, site: Site, tmp_path: Path, cell: Note) -> None:
    """Twice, the second time while the origin is down; only the command that is run knows of the cache."""
    client.require()
    site.start(client)
    config = tmp_path / "config.yaml"
    store = {"path": str(tmp_path / "cache")}
    config.write_text(yaml.safe_dump({"connect": {"ports": site.ports}, "store": store}))
    if client.not_by_run:
        assert run(client, site, config, tmp_path / "only") is None
        cell("run", f"no: {client.not_by_run}")
        return
    first = run(client, site, config, tmp_path / "first")
    if not client.asks_anew:
        site.stop()
    second = run(client, site, config, tmp_path / "second")
    assert first is not None
    assert second is not None
    for report in (first, second):
        assert report["requests"] > 0
        assert not [one for one in report["tunnels"] if NAME in str(one) or IMAGES in str(one)]
    assert bool(second["from_cache"]) == client.is_cached
    cell("run", "cached" if client.is_cached else "not cached")


def run(client: Client, site: Site, config: Path, folder: Path) -> dict[str, Any] | None:
    """The report of a run of the client; None if the client did not get what it was to get."""
    report = folder.with_suffix(".json")
    outer = [sys.executable, "-m", "pyproxycache", "run", "-c", str(config), "--report", str(report), "--"]
    trust = {"SSL_CERT_FILE": str(site.ca), "PYTHONPATH": str(REPOSITORY)}
    visit = Visit(site.places, folder, None)
    try:
        got = client.visited(visit, lambda command: knowing(site.hosts, [*outer, *command]), trust)
    except AssertionError:
        if client.not_by_run:
            return None
        raise
    found: dict[str, Any] = json.loads(report.read_text())
    return found if got == client.digest else None
