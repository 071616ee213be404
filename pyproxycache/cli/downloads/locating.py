"""Where the files that a lock file names are: URLs, or paths of the cache below a mirror."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import requests
from urllib3.exceptions import HTTPError

from pyproxycache.cli.address import CacheAddress
from pyproxycache.cli.cache_session import TIMEOUTS, session_with
from pyproxycache.cli.downloads.downloading import Order
from pyproxycache.cli.downloads.images import image_orders
from pyproxycache.cli.downloads.outcomes import plain
from pyproxycache.messages import Headers
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import bounded
from pyproxycache.mirrors.ecosystem import DocumentReading
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import as_go_asks
from pyproxycache.mirrors.lock_files.finding import METADATA, is_locked, module_files, place_of_clients
from pyproxycache.mirrors.lock_files.locked import Locked
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.grammar import media_type

LARGEST_INDEX = 1 << 30
"""The largest index that is read (bytes)."""
MOST_FILES = 1_000_000
"""The most files that one index may name."""

_LARGEST = 4 << 20  # of what is small
_BLOCK = 64 << 10
_MOST_SAID = 4 << 10


class _Told(msgspec.Struct):
    detail: str


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is to be downloaded for some packages, and what could not be found, in words for people."""

    orders: tuple[Order, ...]
    problems: tuple[str, ...] = ()


class Locating:
    """Finds what packages of lock files consist of; safe to call from several threads.

    `own` are beginnings of URLs that lead to this cache.
    """

    def __init__(self, address: CacheAddress, own: Iterable[str], platforms: tuple[str, ...]) -> None:
        """`platforms` are those of the images that are wanted, as in linux/amd64."""
        self._address = address
        self._platforms = platforms
        self._own = tuple(f"{one.rstrip('/')}/" for one in (address.cache, *own))

    def located(self, package: Sequence[Locked], mirror: str | None) -> Whereabouts:
        """Where the files of one package are, of which all have a URL or none.

        `mirror` is the name of the mirror to be asked, None: only where the lock file says.
        """
        first = package[0]
        if first.url:
            return Whereabouts(tuple(self._with_url(one, mirror) for one in package))
        if mirror is None:
            return _problem(
                first, f"its lock file names no URL, and no mirror of {first.ecosystem} is told"
            )
        if first.ecosystem == "go":
            return Whereabouts(tuple(_of_module(package, mirror)))
        if first.ecosystem == "oci":
            return self._of_image(first, mirror)
        path = ECOSYSTEMS[first.ecosystem].document_path(first.name)
        if path is None:
            return _problem(first, f"what is of {first.ecosystem} cannot be found by its name")
        try:
            return self._by_index(package, mirror, path)
        except requests.RequestException as error:
            return _problem(first, f"/{mirror}/{path}: {plain(error)}")
        except (DocumentError, HTTPError, OSError) as error:
            return _problem(first, f"/{mirror}/{path}: {error}")

    def _with_url(self, one: Locked, mirror: str | None) -> Order:
        path = self._path(one.url)
        if path is not None:
            return Order(one.url, (path,), one.digests)
        if mirror is None:
            return Order(one.url, (one.url,), one.digests)
        scheme, _, rest = one.url.partition("://")
        places = [f"/{mirror}/~/{scheme}/{rest}"]
        if path := place_of_clients(one):
            places.insert(0, f"/{mirror}/{path}")
        return Order(one.url, tuple(places), one.digests)

    def _of_image(self, one: Locked, mirror: str) -> Whereabouts:
        def get(path: str) -> bytes:
            return self._small(f"{self._address.cache}{path}")

        try:
            return Whereabouts(tuple(image_orders(one, mirror, self._platforms, get)))
        except requests.RequestException as error:
            return _problem(one, plain(error))
        except (DocumentError, HTTPError, OSError) as error:
            return _problem(one, str(error))

    def _path(self, url: str) -> str | None:
        """The path by which the cache knows a URL of its own; None if it is none."""
        own = next((begin for begin in self._own if url.startswith(begin)), None)
        return None if own is None else f"/{url[len(own) :]}"

    def _by_index(self, package: Sequence[Locked], mirror: str, path: str) -> Whereabouts:
        first = package[0]
        found = self._files(first.ecosystem, mirror, path)
        orders, problems = [], []
        for one in package:
            fitting = [file for file in found if is_locked(file, one)]
            if not fitting:
                problems.append(f"{one.title}: /{mirror}/{path} has no such file")
            orders += [self._of_index(one, file) for file in fitting]
        beside = {f"{order.name}{METADATA}" for order in orders}
        orders += [self._of_index(first, file) for file in found if file.url in beside]
        return Whereabouts((*orders, *self._index(first.ecosystem, mirror, path)), tuple(problems))

    def _index(self, ecosystem: str, mirror: str, path: str) -> Iterator[Order]:
        """The index as its clients ask for it, so that they find it without the network."""
        for one in (path, *ECOSYSTEMS[ecosystem].keys_of(path)):
            for accept in ECOSYSTEMS[ecosystem].accepted:
                yield Order(f"{self._address.cache}/{mirror}/{one}", (f"/{mirror}/{one}",), (), accept)

    def _of_index(self, one: Locked, file: NamedFile) -> Order:
        digests = file.digests if file.url.endswith(METADATA) else one.digests or file.digests
        return Order(file.url, (self._path(file.url) or file.url,), digests)

    def _files(self, ecosystem: str, mirror: str, path: str) -> list[NamedFile]:
        """What the mirror's document at the path names, by addresses of the cache."""
        found: list[NamedFile] = []

        def note(file: NamedFile) -> bool:
            if len(found) >= MOST_FILES:
                raise DocumentError(f"it names more than {MOST_FILES} files")
            found.append(file)
            return True

        accept = ECOSYSTEMS[ecosystem].accepted[0]
        session = session_with(self._address)
        url = f"{self._address.cache}/{mirror}/{path}"
        with session, session.get(url, headers={"Accept": accept}, stream=True, timeout=TIMEOUTS) as answer:
            if answer.status_code != 200:
                raise DocumentError(f"status {answer.status_code}{_said(answer)}")
            kind = media_type(Headers(answer.headers.items()))
            document = ECOSYSTEMS[ecosystem].document(path, kind)
            if document is None:
                raise DocumentError(f"what came is no index of {ecosystem}, but {kind or 'untyped'}")
            key = self._small(f"{self._address.cache}/{mirror}/{document.key}") if document.key else b""
            reading = DocumentReading(url, lambda link: link, note, key)
            for _shown in document.read(bounded(answer.iter_content(_BLOCK), LARGEST_INDEX), reading):
                pass
        return [file for file in found if self._path(file.url) is not None]

    def _small(self, url: str) -> bytes:
        """The content at a URL of the cache; raises DocumentError if it is not there, or not small."""
        session = session_with(self._address)
        with session, session.get(url, stream=True, timeout=TIMEOUTS) as answer:
            if answer.status_code != 200:
                raise DocumentError(f"{url}: status {answer.status_code}{_said(answer)}")
            content = b""
            for block in answer.iter_content(_BLOCK):
                content += block
                if len(content) > _LARGEST:
                    raise DocumentError(f"{url} is larger than such documents are")
            return content


def packages_of(locked: Iterable[Locked]) -> list[list[Locked]]:
    """What belongs to the same package and is found in the same way, together."""
    found: dict[tuple[str, str, str, bool], list[Locked]] = {}
    for one in locked:
        found.setdefault((one.ecosystem, one.name, one.version, bool(one.url)), []).append(one)
    return list(found.values())


def _said(answer: requests.Response) -> str:
    """What a failure says of itself, one line of a bounded length."""
    content = next(answer.iter_content(_MOST_SAID), b"")
    try:  # mirrors tell clients why by JSON (RFC 9457)
        text = msgspec.json.decode(content, type=_Told).detail
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = content.decode("utf-8", "replace")
    return f": {text.splitlines()[0][:500]}" if text.strip() else ""


def _problem(one: Locked, text: str) -> Whereabouts:
    return Whereabouts((), (f"{one.title}: {text}",))


def _of_module(package: Sequence[Locked], mirror: str) -> Iterator[Order]:
    for one in package:
        for file, path in module_files(one).items():
            yield Order(f"{one.name}@{file}", (f"/{mirror}/{as_go_asks(path)}",))


def distinct(orders: Iterable[Order]) -> list[Order]:
    """The orders without those that ask for the same in the same way."""
    found: dict[tuple[tuple[str, ...], str], Order] = {}
    for one in orders:
        before = found.setdefault((one.places, one.accept), one)
        if before is not one and not before.digests:
            found[one.places, one.accept] = replace(before, digests=one.digests)
    return list(found.values())
