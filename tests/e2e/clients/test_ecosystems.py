"""Real clients by mirror, proxy and prefix, all of one server: the rows of docs/ecosystems.md."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness import REPOSITORY, Proxy, Reply, clean_environment, fetch
from hidden_names import knowing, write_hosts
from mirror_stocks import UPSTREAMS
from mirrored_clients import MIRRORED_CLIENTS, MirroredClient, Stay
from origin import Origin
from table import ECOSYSTEM_COLUMNS

pytestmark = pytest.mark.timeout(400)

QUICK = {"pip", "apt", "curl (generic)"}
"""Those that `make test` runs too."""
FRAMING = {
    "accept-ranges",
    "cache-control",
    "connection",
    "content-length",
    "date",
    "etag",
    "last-modified",
    "location",
}
"""Fields that another package has for itself."""


@dataclass
class Place:
    """An origin with the package for all clients, and one server with a mirror for each ecosystem.

    The origin has a name for each mirror, which leads nowhere but for the server.
    """

    origin: Origin
    cache: Proxy
    folder: Path
    hosts: Path
    stocked: set[str] = field(default_factory=set)

    def upstream(self, name: str) -> str:
        """The upstream's URL under its own name."""
        return f"http://{name}.test:{self.origin.port}"

    def told(self, client: MirroredClient, way: str) -> Stay:
        """What the client is told to come this way: the words of `mirror use`, or the origin's own.

        "direct" is past the cache.
        """
        self._stock(client.mirror)
        command = [sys.executable, "-m", "pyproxycache", "mirror", "use", client.mirror, "--json"]
        command += ["-c", str(self.cache.config_file), "--server", self.cache.url]
        said = subprocess.run(
            command, env=clean_environment(), check=True, capture_output=True, text=True, timeout=60
        )
        use: dict[str, Any] = json.loads(said.stdout)
        told: dict[str, Any] = use["clients"].get(client.known_as, {})
        upstream = f"{self.upstream(client.mirror)}{UPSTREAMS[client.mirror].path}"
        url = {"mirror": use["url"], "prefix": f"{self.cache.url}/{upstream}"}.get(way, upstream)

        def said_of_it(text: str) -> str:
            there = text.replace(use["url"].rstrip("/"), url.rstrip("/"))
            return there.replace(self.cache.netloc, urlsplit(url).netloc)

        variables = {name: said_of_it(value) for name, value in told.get("variables", {}).items()}
        lines = [said_of_it(line) for line in (told.get("file") or {}).get("lines", ())]
        proxy = self.cache.url if way == "proxy" else ""
        if proxy:
            variables |= {"http_proxy": proxy, "HTTP_PROXY": proxy}
        folder = self.folder / f"stay-{len(list(self.folder.glob('stay-*')))}"
        return Stay(folder, url, variables, lines, proxy, self.folder / "debian" / "apt.gpg")

    def downloads(self, client: MirroredClient) -> tuple[int, int]:
        """How often the origin was asked for the package's file, and whether that is unchanged."""
        asked = [one for one in self.origin.asked(client.file) if one.method == "GET"]
        validated = sum(one.get("If-None-Match") is not None for one in asked)
        return len(asked) - validated, validated

    def poison(self, client: MirroredClient) -> None:
        """Have the package's file be another one of the same length, under the same fields."""
        self._stock(client.mirror)
        right = fetch(None, self.origin.url(client.file))
        there = right.get("Location")
        length = len(fetch(None, there).body if there else right.body)
        fields = [(name, value) for name, value in right.headers if name.lower() not in FRAMING]
        self.origin.put(
            client.file, b"?" * length, headers=fields, etag='"other"', cache_control="max-age=3600"
        )

    def got(self, client: MirroredClient, path: str, way: str) -> Reply:
        """What the cache answers for a path of the client's upstream."""
        url, root = f"{self.upstream(client.mirror)}{path}", UPSTREAMS[client.mirror].path
        inside = f"~/{url.replace('://', '/')}" if not path.startswith(root) else path.removeprefix(root)
        return self.cache.get(
            {"mirror": f"/{client.mirror}/{inside}", "proxy": url, "prefix": f"/{url}"}[way]
        )

    def _stock(self, name: str) -> None:
        if name not in self.stocked:
            self.stocked.add(name)
            (self.folder / name).mkdir()
            UPSTREAMS[name].stock(self.origin, self.upstream(name), self.folder / name)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Place]:
    with Origin() as origin:
        mirrors = {
            name: {"ecosystem": one.ecosystem, "upstream": f"http://{name}.test:{origin.port}{one.path}"}
            for name, one in UPSTREAMS.items()
        }
        cache = Proxy(folder / "proxy", config={"mirrors": mirrors}, threads=64)
        hosts = write_hosts(folder / "hosts", [f"{name}.test" for name in UPSTREAMS])
        cache.command = knowing(hosts, cache.command)
        with cache:
            yield Place(origin, cache, folder, hosts)
            print(cache.log())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all clients."""
    with opened(tmp_path_factory.mktemp("place")) as made:
        yield made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "client" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-client", default=False)
        chosen = [one for one in MIRRORED_CLIENTS if every or one.name in QUICK]
        if "excluded" in metafunc.fixturenames:
            pairs = [(one, way) for one in chosen for way in one.not_by]
            ids = [f"{one.name}-{way}" for one, way in pairs]
            metafunc.parametrize(("client", "excluded"), pairs, ids=ids)
        else:
            metafunc.parametrize("client", chosen, ids=lambda client: client.name)


@pytest.fixture
def row(client: MirroredClient, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Notes that the client's row was tried."""

    def note() -> None:
        request.node.user_properties.append(("row", client.name))

    return note


def refused(is_refused: bool = True) -> contextlib.AbstractContextManager[object]:
    """Within it the client fails, or does not."""
    return pytest.raises(AssertionError, match=r"status [1-9]") if is_refused else contextlib.nullcontext()


def test_by_all_ways(client: MirroredClient, place: Place, row: Callable[[], None]) -> None:
    """Its package is fetched once for all of them, and comes from the cache without the origin."""
    client.require()
    for way in client.ways:
        assert client.installed(place.told(client, way)) == client.digest, way
    assert place.downloads(client) == (1, len(client.validated))
    shown = place.got(client, client.index, "mirror")
    assert shown.status == 200
    assert (shown.body != fetch(None, place.origin.url(client.index)).body) == client.is_rewritten
    place.origin.stop()
    try:
        for way in client.ways:
            with refused(way in client.online):
                assert client.installed(place.told(client, way)) == client.digest, way
    finally:
        place.origin.start()
    row()


def test_the_other_ways_lead_past_the_cache(client: MirroredClient, excluded: str, place: Place) -> None:
    """Where a client cannot come by one, as its row says."""
    client.require()
    with refused():
        client.installed(place.told(client, excluded))


def test_another_package_is_refused(client: MirroredClient, tmp_path: Path) -> None:
    """One with other bytes than is stated of it is not installed, nor given away by who checks it."""
    client.require()
    with opened(tmp_path) as place:
        place.poison(client)
        with refused():
            client.installed(place.told(client, "mirror"))
        assert place.downloads(client)[0] > 0
        for way in ("mirror", "proxy", "prefix"):
            reply = place.got(client, client.file, way)
            assert (reply.status == 200 and reply.complete) is ("the cache" not in client.checked), way


def test_what_the_client_itself_checks(client: MirroredClient, tmp_path: Path) -> None:
    """Past the cache, such a package is refused by the clients that their rows say it of."""
    client.require()
    with opened(tmp_path) as place:

        def installed() -> str:
            stay = place.told(client, "direct")
            return client.installed(stay, lambda command: knowing(place.hosts, command))

        assert installed() == client.digest
        place.poison(client)
        with refused("the client" in client.checked):
            assert installed() != client.digest


def test_the_page_has_the_rows_that_are_tried() -> None:
    text = (REPOSITORY / "docs" / "ecosystems.md").read_text()
    (table,) = re.findall(r"^\| Client \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    version = ECOSYSTEM_COLUMNS.index("Version")
    versions = [row[version] for row in rows]  # whichever: these clients need not be here
    expected = [[*client.row(one)] for client, one in zip(MIRRORED_CLIENTS, versions, strict=True)]
    assert rows == expected
    assert all(versions)
