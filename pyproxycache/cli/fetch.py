"""The command `fetch`: downloads URLs into the running cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import click
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text
from urllib3.exceptions import HTTPError, IncompleteRead

from pyproxycache import clock
from pyproxycache.cli.address import CacheAddress, cache_url, usable_address, usable_listener
from pyproxycache.cli.cache_session import TIMEOUTS, check_reachable, session_with
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    config_option,
    fail,
    flag_or_variable,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.errors import BadRequest, reason
from pyproxycache.rules.structured import parse_list
from pyproxycache.tls.tls_files import first_certificate
from pyproxycache.units import format_size

_BLOCK = 1 << 20
_INTERRUPTED = 130
_LISTEN, _UPSTREAM = "PYPROXYCACHE_LISTEN", "PYPROXYCACHE_UPSTREAM"
_MOST_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result for one URL: `cache` is the Cache-Status of the answer, `error` is "" if it is stored."""

    url: str
    status: int
    bytes: int
    seconds: float
    cache: str
    error: str


@dataclass(frozen=True, slots=True)
class _Received:
    """The last answer after redirects, received to its end.

    `details` are those of Proxy-Status; `by_us`: it came through a pyproxycache.
    """

    status: int
    bytes: int
    cache: str
    details: str = ""
    by_us: bool = True


@click.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
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
    help="Where the cache listens, as in cache:3128.  [default: as configured]",
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
    """Download URLs into the running cache.

    Each URL's line says what became of it; redirects are followed through the cache.
    """
    wanted = [*urls, *(line.strip() for file in files for line in file)]
    wanted = list(dict.fromkeys(url for url in wanted if url and not url.startswith("#")))
    if not wanted:
        fail(
            f"{'--input has no URLs' if files else 'no URLs'}: name some, or a file of them with --input",
            WRONG_USAGE,
        )
    address = _cache_address(proxy, config_file)
    check_reachable(address.cache)
    fetched = _Fetching(address, show=not as_json).run(wanted, jobs)
    if as_json:
        print_json([asdict(one) for one in fetched])
    if any(one.error for one in fetched):
        sys.exit(PROBLEMS)


def _cache_address(proxy: str | None, config_file: Path | None) -> CacheAddress:
    """The cache to ask; ends the command if there is no such address."""
    if proxy is None or config_file is not None:
        flags: dict[str, object] = {"listen": tuple(os.environ.get(_LISTEN, "").split())}
        flags["upstream"] = os.environ.get(_UPSTREAM) or None
        config = load_config(config_file, flags, {"listen": _LISTEN, "upstream": _UPSTREAM})
        if proxy is None:
            listener = usable_listener(config.listen)
            address = usable_address((listener.address,))
            if address is None:
                fail("the cache listens on Unix sockets only, which fetch cannot ask", PROBLEMS)
            fingerprint = None if listener.tls is None else _fingerprint(listener.tls.certificate)
            return CacheAddress(f"{listener.scheme}://{address}", config.upstream, fingerprint)
    try:
        return CacheAddress(cache_url(proxy), config.upstream if config_file is not None else None)
    except ValueError as error:
        fail(f"{flag_or_variable('--proxy')}: {error}", WRONG_USAGE)


def _fingerprint(path: Path) -> str:
    """The fingerprint of the file's first certificate; ends the command if there is none."""
    try:
        certificate = first_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{path}, the cache's certificate, cannot be read: {_plain(error)}", PROBLEMS)
    return hashlib.sha256(certificate).hexdigest()


class _Speed(ProgressColumn):
    """A column with bytes per second, in the units of all other figures."""

    def render(self, task: Task) -> Text:
        return Text(f"{format_size(int(task.speed or 0))}/s".rjust(12))


@contextlib.contextmanager
def _ending_on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Ends the process on SIGINT, after `tell`, while threads read what cannot be interrupted.

    A thread waits for the signal: the main thread may be about to wait for others, and would not see it.
    """

    def end() -> None:
        signal.sigwait({signal.SIGINT})
        try:
            tell()
        finally:
            os._exit(_INTERRUPTED)  # the cache goes on downloading without us

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what is in the background
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        threading.Thread(target=end, name="interrupt", daemon=True).start()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Fetching:
    """Downloads URLs in threads; `_sessions` has one session for each thread."""

    def __init__(self, address: CacheAddress, *, show: bool) -> None:
        self._address = address
        self._show = show
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

    def run(self, urls: list[str], jobs: int) -> list[Fetched]:
        left = dict.fromkeys(urls)
        with _ending_on_interrupt(partial(self._tell_of_interruption, left)):
            threads = ThreadPoolExecutor(jobs)
            with self._bar:
                tasks = {threads.submit(self._fetch, url): url for url in urls}
                for task in as_completed(tasks):
                    self._print(task.result())
                    del left[tasks[task]]
            threads.shutdown()
        return [task.result() for task in tasks]

    def _tell_of_interruption(self, left: dict[str, None]) -> None:
        self._bar.stop()  # which gives the terminal its cursor back
        for url in tuple(left) if self._show else ():
            click.echo(f"{url}: interrupted; a download that has begun goes on in the cache", err=True)

    def _print(self, one: Fetched) -> None:
        if not self._show:
            return
        line = f"{one.url}: {one.error}"
        if not one.error:
            line = f"{one.url}: {format_size(one.bytes)} in {one.seconds:.1f} s, {_became(one.cache)}"
        stream = sys.stderr if one.error else sys.stdout
        if not self._bar.disable and stream.isatty():
            # Above the bars, which would otherwise draw over it.
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=bool(one.error))

    def _fetch(self, url: str) -> Fetched:
        started = clock.steady()
        received, error = _Received(0, 0, ""), ""
        bar = self._bar.add_task(_shown_name(url), total=None)
        try:
            received = self._receive(url, bar)
            error = _why_not_stored(received, self._address.cache)
        except BadRequest as failure:
            error = str(failure)
        except requests.exceptions.SSLError as failure:
            error = f"TLS with the cache at {self._address.cache} failed: {_plain(failure)}"
        except requests.ConnectionError:
            error = f"the cache at {self._address.cache} does not answer any more"
        except requests.Timeout:
            error = f"the cache at {self._address.cache} did not answer in time"
        except (HTTPError, OSError) as failure:
            error = f"the connection to the cache broke off ({_plain(failure)}): its log says why"
        self._bar.remove_task(bar)
        seconds = clock.steady() - started
        return Fetched(url, received.status, received.bytes, seconds, received.cache, error)

    def _receive(self, url: str, bar: TaskID) -> _Received:
        """Download the URL through the cache, and follow redirects through it too."""
        target = self._address.address_of(url)
        for _ in range(_MOST_REDIRECTS):
            with self._session().get(
                target, stream=True, timeout=TIMEOUTS, allow_redirects=False
            ) as response:
                size = self._drain(response, bar)
                said = response.headers
                details = str(_last_params(said.get("Proxy-Status", "")).get("details", ""))
                cache = said.get("Cache-Status", "")
                by_us = "pyproxycache" in said.get("Via", "")
                received = _Received(response.status_code, size, cache, details, by_us)
                location = response.headers.get("Location")
            if location is None or not response.is_redirect:
                return received
            target = _resolved(target, location)
            if not self._address.leads_to_a_url(target):
                url = _resolved(url, location)
                target = self._address.address_of(url)
        return received

    def _drain(self, response: requests.Response, bar: TaskID) -> int:
        length = response.headers.get("Content-Length")
        self._bar.update(bar, total=int(length) if length and length.isdecimal() else None)
        received = 0
        # Not decoded, as the cache stores the bytes as they are; in small reads, which the bar shows.
        while block := response.raw.read1(_BLOCK, decode_content=False):
            received += len(block)
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
    return url.partition("?")[0].rstrip("/").rpartition("/")[2] or url


def _why_not_stored(received: _Received, cache: str) -> str:
    """Why the answer is not in the cache now, for the user; "" if it is."""
    if not received.by_us:
        return f"what answers at {cache} is no pyproxycache: name where one listens with --proxy"
    if received.status >= 400:
        details = f": {received.details}" if received.details else ""
        return f"status {received.status}{details}"
    if 300 <= received.status < 400:
        return f"more than {_MOST_REDIRECTS} redirects, the last of them with status {received.status}"
    said = _last_params(received.cache)
    if {"hit", "stored", "collapsed"} & said.keys() or said.get("fwd-status") == 304:
        return ""
    why = f" ({said['detail']})" if "detail" in said else ""
    return f"downloaded, and not kept{why}: docs/operations.md says what helps"


def _became(cache: str) -> str:
    """What the cache did, in a few words, by its Cache-Status."""
    said = _last_params(cache)
    if "hit" in said:
        return "was there"
    if said.get("fwd-status") == 304:
        return "was there, and is confirmed"
    return "kept, by a download that was running" if "collapsed" in said else "kept"


def _last_params(field: str) -> dict[str, object]:
    """The parameters of the list's last member, which the cache that was asked has added (RFC 9211)."""
    members = parse_list(field)
    return dict(members[-1][1]) if members else {}


def _plain(failure: Exception) -> str:
    """The innermost cause of the error, without the errors that libraries wrap around it."""
    while failure.__context__ is not None and isinstance(failure.__context__, Exception):
        failure = failure.__context__
    if isinstance(failure, IncompleteRead):
        return f"after {failure.partial} bytes, {failure.expected} before the end"
    return reason(failure)
