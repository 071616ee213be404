"""`fetch`: bring resources into the running cache."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import click
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from urllib3.exceptions import HTTPError

from pyproxycache import clock
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    config_option,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.cli.serve import usable_address
from pyproxycache.units import format_size

_BLOCK = 1 << 20
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one URL; `cache` is the Cache-Status it came with, `error` empty if all went well."""

    url: str
    status: int
    bytes: int
    seconds: float
    cache: str
    error: str


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1)
@click.option(
    "-i",
    "--input",
    "files",
    type=click.File(),
    multiple=True,
    help="File with one URL a line, '-' for standard input.",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=4, show_default=True, help="How many at a time."
)
@click.option(
    "--proxy",
    metavar="ADDR",
    envvar="PYPROXYCACHE_PROXY",
    help="Where the cache listens.  [default: as configured]",
)
@config_option
@json_option
def fetch(
    urls: tuple[str, ...],
    files: tuple[Iterable[str], ...],
    jobs: int,
    proxy: str | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Download URLs through the running cache, so that they are there when they are wanted."""
    wanted = [*urls, *(line.strip() for file in files for line in file)]
    wanted = list(dict.fromkeys(url for url in wanted if url and not url.startswith("#")))
    if not wanted:
        fail("name URLs to fetch, or a file of them with --input", WRONG_USAGE)
    listen = tuple(os.environ.get("PYPROXYCACHE_LISTEN", "").split())
    cache = proxy or usable_address(load_config(config_file, {"listen": listen}).listen)
    fetched = _Fetching(f"http://{cache.removeprefix('http://')}", show=not as_json).run(wanted, jobs)
    if as_json:
        print_json([asdict(one) for one in fetched])
    if any(one.error for one in fetched):
        sys.exit(PROBLEMS)


class _Fetching:
    """Downloads in threads; `_sessions` has one session for each of them."""

    def __init__(self, cache: str, *, show: bool) -> None:
        self._cache = cache
        self._show = show
        self._sessions = threading.local()
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            disable=not (show and console.is_terminal),
            transient=True,
        )

    def run(self, urls: list[str], jobs: int) -> list[Fetched]:
        with self._bar, ThreadPoolExecutor(jobs) as threads:
            tasks = [threads.submit(self._fetch, url) for url in urls]
            try:
                for task in as_completed(tasks):
                    self._print(task.result())
            except KeyboardInterrupt:
                # Threads are in reads that nothing interrupts; the cache goes on downloading without them.
                self._bar.stop()
                os._exit(_INTERRUPTED)
        return [task.result() for task in tasks]

    def _print(self, one: Fetched) -> None:
        if self._show and one.error:
            click.echo(f"{one.url}: {one.error}", err=True)
        elif self._show:
            click.echo(f"{one.url}: {format_size(one.bytes)} in {one.seconds:.1f} s ({one.cache})")

    def _fetch(self, url: str) -> Fetched:
        started = clock.steady()
        received, status, cache, error = 0, 0, "", ""
        bar = self._bar.add_task(url.rpartition("/")[2] or url, total=None)
        try:
            # Encoded as a whole: nothing on the way then writes the URL in another form.
            target = f"{self._cache}/{quote(url, safe='')}"
            with self._session().get(target, stream=True, timeout=(10, 300)) as response:
                status = response.status_code
                cache = response.headers.get("Cache-Status", "")
                received = self._drain(response, bar)
                if status >= 400:
                    error = f"status {status}"
        except requests.ConnectionError as failure:
            error = f"no cache answers at {self._cache}: {failure}"
        except requests.RequestException as failure:
            error = str(failure)
        except (HTTPError, OSError) as failure:
            error = f"the cache broke off: {failure}"
        self._bar.remove_task(bar)
        return Fetched(url, status, received, clock.steady() - started, cache, error)

    def _drain(self, response: requests.Response, bar: TaskID) -> int:
        length = response.headers.get("Content-Length")
        self._bar.update(bar, total=int(length) if length else None)
        received = 0
        # Undecoded: the cache is to hold the bytes that any client gets.
        while block := response.raw.read(_BLOCK, decode_content=False):
            received += len(block)
            self._bar.update(bar, completed=received)
        return received

    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "session"):
            session = requests.Session()
            session.trust_env = False  # the cache itself is asked, not what else the environment names
            session.headers["Accept-Encoding"] = "identity"
            self._sessions.session = session
        found: requests.Session = self._sessions.session
        return found
