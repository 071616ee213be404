"""What real clients ask: an origin that stands for all registries, under names known to the cache alone."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from client import PYTHON, Client, Places
from harness import Proxy
from hidden_names import knowing, write_hosts
from images import ImageRegistry
from origin import Origin
from stocks import stock
from table import write_ecosystems, write_table

NAME, IMAGES = "registry.test", "images.test"
CELLS: list[tuple[str, str, str]] = []
"""What the tests have noted for the table: the client's name, column, text."""
ROWS: list[str] = []
"""The clients of mirrors that were tried, for the table of ecosystems."""


@dataclass(frozen=True)
class Site:
    """The origin with all that clients ask for; `ca` is the authority of its certificate, in PEM."""

    origin: Origin
    images: ImageRegistry
    places: Places
    ca: Path
    hosts: Path

    @property
    def ports(self) -> list[int]:
        urls = (self.places.origin, self.places.images, self.places.echo)
        return [int(url.rpartition(":")[2]) for url in urls if url]

    def start(self, client: Client) -> None:
        """Have all that the client asks for answered, again after a stop."""
        self.origin.start()
        if client.of_images:
            self.images.start()

    def stop(self) -> None:
        """Nobody answers any more, but for the echo."""
        self.origin.stop()
        self.images.stop()


def _serving(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


@contextlib.contextmanager
def _echo(pair: Path) -> Iterator[int]:
    """The port of an echo by WebSocket; 0 where the library for it is missing."""
    if not PYTHON.exists():
        yield 0
        return
    command = [PYTHON / "python", Path(__file__).with_name("echo.py"), pair]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline() or 0)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = trustme.CA()
    leaf = authority.issue_cert(NAME, IMAGES, "localhost", "127.0.0.1")
    ca, pair = folder / "ca.pem", folder / "pair.pem"
    authority.cert_pem.write_to_path(str(ca))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(pair))
    hosts = write_hosts(folder / "hosts", [NAME, IMAGES])
    origin = Origin(tls=_serving(leaf))
    images = ImageRegistry(folder / "images", pair, ca)
    with origin:
        base = f"https://{NAME}:{origin.port}"
        stock(origin, base, folder)
        with _echo(pair) as port:
            places = Places(
                base,
                f"https://{IMAGES}:{images.port}",
                f"wss://{NAME}:{port}" if port else "",
                folder / "apt.gpg",
            )
            yield Site(origin, images, places, ca, hosts)
    images.stop()


@pytest.fixture
def make_named_proxy(site: Site, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies to whom the origin's names are known; `make_named_proxy(config={...})`."""
    made: list[Proxy] = []

    def make(config: dict[str, Any]) -> Proxy:
        proxy = Proxy(tmp_path / f"proxy-{len(made)}", config=config)
        proxy.command = knowing(site.hosts, proxy.command)
        made.append(proxy)
        return proxy.start()

    yield make
    for proxy in made:
        proxy.close()
        print(f"--- log of the proxy at {proxy.netloc}\n{proxy.log()}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-client", action="store_true", help="run all clients, not only the quick ones")
    parser.addoption("--table", type=Path, help="the page to write anew, and ecosystems.md beside it")


@pytest.fixture
def cell(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Notes what the client's row of the table says in a column."""
    client: Client = request.getfixturevalue("client")

    def note(column: str, text: str) -> None:
        request.node.user_properties.append(("cell", (client.name, column, text)))

    return note


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        CELLS.extend(tuple(value) for name, value in report.user_properties if name == "cell")
        ROWS.extend(str(value) for name, value in report.user_properties if name == "row")


def pytest_sessionfinish(session: pytest.Session) -> None:
    page: Path | None = session.config.getoption("--table", default=None)
    if page is not None and not hasattr(
        session.config, "workerinput"
    ):  # of a process that reports to another
        write_table(page, CELLS)
        write_ecosystems(page.with_name("ecosystems.md"), ROWS)
