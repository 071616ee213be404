"""Downloads through the cache: several at a time, with bars on a terminal and a line for each."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from urllib.parse import urljoin

import click
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text
from urllib3.exceptions import HTTPError

from pyproxycache import clock
from pyproxycache.cli.address import CacheAddress
from pyproxycache.cli.cache_session import TIMEOUTS, session_with
from pyproxycache.cli.common import printable
from pyproxycache.cli.downloads.interruption import ending_on_interrupt
from pyproxycache.cli.downloads.outcomes import (
    MOST_REDIRECTS,
    Received,
    became,
    last_params,
    plain,
    why_not_stored,
)
from pyproxycache.errors import BadRequest
from pyproxycache.mirrors.digest_texts import strongest
from pyproxycache.mirrors.ecosystem import ABSENT
from pyproxycache.rules.digests import ExpectedDigest
from pyproxycache.units import format_size

_BLOCK = 1 << 20
_HASHES = {
    "md5": "md5",
    "sha": "sha1",
    "sha-256": "sha256",
    "sha-384": "sha384",
    "sha-512": "sha512",
}


@dataclass(frozen=True, slots=True)
class Order:
    """One file to be downloaded: what lines call it, the places that are asked for it in turn, its digests.

    A place is a URL, or a path of the cache. `accept` is the Accept field, "" for none of its own.
    """

    name: str
    places: tuple[str, ...]
    digests: tuple[ExpectedDigest, ...] = ()
    accept: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result for one URL: `cache` is the Cache-Status of the answer, `error` is "" if it is stored."""

    url: str
    status: int
    bytes: int
    seconds: float
    cache: str
    error: str


class _Check:
    """Compares a body with the digests of which it has to have one."""

    def __init__(self, digests: Sequence[ExpectedDigest]) -> None:
        self._expected = strongest(digests)
        name = _HASHES[self._expected[0].algorithm] if self._expected else ""
        self._hash = hashlib.new(name, usedforsecurity=False) if name else None

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._hash is not None:
            self._hash.update(data)

    def mismatch(self) -> str:
        """What is wrong with the body, for people; "" if nothing is."""
        if self._hash is None or self._hash.hexdigest() in {one.digest for one in self._expected}:
            return ""
        one = self._expected[0]
        return f"its {one.algorithm} is {self._hash.hexdigest()}, and {one.field} has {one.digest}"


class _Speed(ProgressColumn):
    """A column with bytes per second, in the units of all other figures."""

    def render(self, task: Task) -> Text:
        return Text(f"{format_size(int(task.speed or 0))}/s".rjust(12))


class OrderDownloads:
    """Downloads orders in threads; `_sessions` has one session for each thread."""

    def __init__(self, address: CacheAddress, *, show: bool, only_errors: bool = False) -> None:
        self._address = address
        self._show = show
        self._only_errors = only_errors
        self._sessions = threading.local()
        self._console = Console(stderr=True)
        self._bar = Progress(
            # In a narrow terminal the name is cut, not the figures.
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            DownloadColumn(binary_units=True),
            _Speed(),
            console=self._console,
            disable=not (show and self._console.is_terminal),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )

    def run(self, orders: Sequence[Order], jobs: int) -> list[Fetched]:
        """Download all of them, so many at a time; the results are in the order of the orders."""
        left = dict.fromkeys(one.name for one in orders)
        with ending_on_interrupt(partial(self._tell_of_interruption, left)):
            threads = ThreadPoolExecutor(jobs)
            with self._bar:
                tasks = {threads.submit(self._fetch, one): one.name for one in orders}
                for task in as_completed(tasks):
                    self._print(task.result())
                    left.pop(tasks[task], None)
            threads.shutdown()
        return [task.result() for task in tasks]

    def _tell_of_interruption(self, left: dict[str, None]) -> None:
        self._bar.stop()  # which gives the terminal its cursor back
        for name in tuple(left) if self._show else ():
            click.echo(
                f"{printable(name)}: interrupted; a download that has begun goes on in the cache", err=True
            )

    def _print(self, one: Fetched) -> None:
        if not self._show or (self._only_errors and not one.error):
            return
        received = f"{format_size(one.bytes)} in {one.seconds:.1f} s, {became(one.cache)}"
        line = printable(f"{one.url}: {one.error or received}")
        stream = sys.stderr if one.error else sys.stdout
        if not self._bar.disable and stream.isatty():
            # Above the bars, which would otherwise draw over it.
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=bool(one.error))

    def _fetch(self, order: Order) -> Fetched:
        """Download it from the first place that has it, once more if the body is not the right one."""
        started = clock.steady()
        bar = self._bar.add_task(_shown_name(order.name), total=None)
        received, error = Received(0, 0, ""), "it is nowhere"
        for place in order.places:
            received, error = self._tried(order, place, bar, anew=False)
            if received.mismatch:
                received, error = self._tried(order, place, bar, anew=True)
            if received.status not in ABSENT:
                break
        self._bar.remove_task(bar)
        seconds = clock.steady() - started
        return Fetched(order.name, received.status, received.bytes, seconds, received.cache, error)

    def _tried(self, order: Order, place: str, bar: TaskID, *, anew: bool) -> tuple[Received, str]:
        """What came from one place, and why it is not stored, "" if it is."""
        received, error = Received(0, 0, ""), ""
        try:
            received = self._receive(order, place, bar, anew=anew)
            error = why_not_stored(received, self._address.cache)
        except BadRequest as failure:
            error = str(failure)
        except requests.exceptions.SSLError as failure:
            error = f"TLS with the cache at {self._address.cache} failed: {plain(failure)}"
        except requests.ConnectionError:
            error = f"the cache at {self._address.cache} does not answer any more"
        except requests.Timeout:
            error = f"the cache at {self._address.cache} did not answer in time"
        except (HTTPError, OSError) as failure:
            error = f"the connection to the cache broke off ({plain(failure)}): its log says why"
        return received, error

    def _receive(self, order: Order, place: str, bar: TaskID, *, anew: bool) -> Received:
        """Download it through the cache, and follow redirects through it too."""
        url, is_path = place, place.startswith("/")
        target = f"{self._address.cache}{place}" if is_path else self._address.address_of(url)
        fields = {"Accept": order.accept} if order.accept else {}
        if anew:
            fields["Cache-Control"] = "no-cache"
        for _ in range(MOST_REDIRECTS):
            with self._session().get(
                target, headers=fields, stream=True, timeout=TIMEOUTS, allow_redirects=False
            ) as response:
                check = _Check(order.digests if response.status_code == 200 else ())
                size = self._drain(response, bar, check)
                said = response.headers
                details = str(last_params(said.get("Proxy-Status", "")).get("details", ""))
                cache = said.get("Cache-Status", "")
                by_us = "pyproxycache" in said.get("Via", "")
                received = Received(response.status_code, size, cache, details, by_us, check.mismatch())
                location = response.headers.get("Location")
            if location is None or not response.is_redirect:
                return received
            target = _resolved(target, location)
            if is_path and target.startswith(f"{self._address.cache}/"):
                continue
            if not self._address.leads_to_a_url(target):
                url = _resolved(url, location)
                target = self._address.address_of(url)
        return received

    def _drain(self, response: requests.Response, bar: TaskID, check: _Check) -> int:
        length = response.headers.get("Content-Length")
        self._bar.update(bar, total=int(length) if length and length.isdecimal() else None)
        received = 0
        # Not decoded, as the cache stores the bytes as they are; in small reads, which the bar shows.
        while block := response.raw.read1(_BLOCK, decode_content=False):
            received += len(block)
            check.update(block)
            self._bar.update(bar, completed=received)
        return received

    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "session"):
            self._sessions.session = session_with(self._address)
        found: requests.Session = self._sessions.session
        return found


def _resolved(url: str, location: str) -> str:
    """The target of a redirect at the URL; raises BadRequest if Location cannot be one."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise BadRequest(f"it redirects to {location!r}, which is not a URL") from error


def _shown_name(url: str) -> str:
    """The name beside the URL's bar: its last part, without the query, which may be long or secret."""
    return printable(url.partition("?")[0].rstrip("/").rpartition("/")[2] or url)
