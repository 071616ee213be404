"""What clients get of Go modules, each of whose versions tells its own time."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import unquote

from pyproxycache import clock
from pyproxycache.body import EMPTY, BytesBody
from pyproxycache.errors import UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.front.gating.asking import (
    AGES,
    OF_THE_CLIENT,
    at_age,
    for_document,
    for_judging,
    logged,
    pieces_of,
)
from pyproxycache.front.gating.gate_terms import GateTerms, nothing_is_allowed
from pyproxycache.front.gating.judgements import Given, Judgement
from pyproxycache.front.gating.release_refusals import RefusedRelease, refused
from pyproxycache.front.presentation.changed_bodies import OF_THE_BODY
from pyproxycache.messages import Head, Request
from pyproxycache.mirrors.cooldown.by_ecosystem.go_releases import (
    LATEST,
    LIST,
    OPEN,
    ModuleAddress,
    ToldVersion,
    address_of,
    minor_versions,
    told_by,
)
from pyproxycache.mirrors.cooldown.by_ecosystem.semantic_versions import newest
from pyproxycache.mirrors.cooldown.plain_paths import plain_path
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystem import ABSENT
from pyproxycache.response import Response
from pyproxycache.steps import Steps

log = logging.getLogger("pyproxycache.mirrors")

_LARGEST_LIST = 4 << 20
_LARGEST_INFO = 64 << 10
_MOST_KNOWN = 50_000
_MOST_ASKED = 2000


class KnownTimes:
    """The times of versions by the URLs that tell them, those used last; from any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: OrderedDict[str, float] = OrderedDict()  # guarded by the lock

    def of(self, url: str) -> float | None:
        """The time that was told there; None if it is not known."""
        with self._lock:
            if url in self._times:
                self._times.move_to_end(url)
            return self._times.get(url)

    def keep(self, url: str, released: float) -> None:
        """Remember what was told there."""
        with self._lock:
            self._times[url] = released
            if len(self._times) > _MOST_KNOWN:
                self._times.popitem(last=False)


class ModuleGate:
    """Judges by the time in each version's `.info`, and leaves young versions out of lists.

    A list is judged by its newest versions: in each minor version, what is older than one that is old
    enough stays in it. Whether clients get that is judged once they ask for it.
    """

    def __init__(self, terms: GateTerms, known: KnownTimes) -> None:
        self._terms = terms
        self._known = known

    def judge(self, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, None: elsewhere; raises ProxyError."""
        target = request.url.path[1:] if path is None else path
        address = address_of(target)
        if address is None:
            decoded = unquote(target)
            is_open = path is None or not self._terms.is_strict or OPEN.fullmatch(decoded) is not None
            is_module = address_of(plain_path(decoded)) is not None
            if is_open and not is_module:
                return Given()
            return logged(_refused(404, "this is the address of no module"))
        # The rest counts from the root, as what is asked may be elsewhere.
        lead = request.url.path[: len(request.url.path) - len(target)]
        address = replace(address, place=f"{lead}{address.place}")
        if blocked := self._terms.admission.block(address.module, address.version):
            return logged(_refused(403, blocked))
        if address.asks == LIST:
            return (yield from self._list(request, address, facts))
        if address.asks == LATEST:
            return (yield from self._latest(request, address, facts))
        return (yield from self._version(request, address))

    def has_file(self, request: Request, path: str | None) -> bool:
        """Whether the path is one of a version's files."""
        address = address_of(plain_path(unquote(request.url.path[1:] if path is None else path)))
        return address is not None and address.asks not in (LIST, LATEST)

    def _version(self, request: Request, address: ModuleAddress) -> Steps[Judgement]:
        found = yield from self._info(request, address, address.version, is_lasting=address.is_canonical)
        if isinstance(found, Response):
            return found
        version = address.version if address.is_canonical else found.version
        if blocked := self._terms.admission.block(address.module, version):
            return logged(_refused(403, blocked))
        if self._refusal(address, version, found.released, nothing_is_allowed) is None:
            # A branch may be at another version when it is asked for next.
            return Given(is_lasting=address.is_canonical)
        why = self._refusal(address, version, found.released, self._terms.is_allowed)
        return Given(is_lasting=False) if why is None else logged(_refused(403, why))

    def _latest(self, request: Request, address: ModuleAddress, facts: Facts) -> Steps[Judgement]:
        asked = for_document(request, request.url, "*/*")
        response = yield from self._terms.cached.handle(asked, facts)
        if response.head.status != 200:
            return response
        told = told_by(_content(response, _LARGEST_INFO))
        if told is None:
            return logged(_refused(502, f"what is said of {address.module} cannot be read"))
        why = self._refusal(address, told.version, told.released, self._terms.is_allowed)
        if why is None:
            return _made(request, response.head, told.content, "application/json")
        listed = yield from self._listed(request, address)
        if isinstance(listed, Response) and listed.head.status not in ABSENT:
            return listed
        versions = [] if isinstance(listed, Response) else listed
        chosen = newest((version[1:] for version in versions), told.version[1:])
        if chosen is None:
            return logged(_refused(403, why))
        found = yield from self._told(request, address, f"v{chosen}", is_lasting=True)
        if isinstance(found, Response):
            return found
        return _made(request, response.head, found.content, "application/json")

    def _list(self, request: Request, address: ModuleAddress, facts: Facts) -> Steps[Judgement]:
        asked = for_document(request, request.url, "*/*")
        response = yield from self._terms.cached.handle(asked, facts)
        if response.head.status != 200:
            return response
        lines = _content(response, _LARGEST_LIST).decode("utf-8", "replace").splitlines()
        kept = yield from self._kept(request, address, lines)
        if isinstance(kept, Response):
            return kept
        text = "".join(f"{version}\n" for version in kept)
        return _made(request, response.head, text.encode(), "text/plain; charset=utf-8")

    def _listed(self, request: Request, address: ModuleAddress) -> Steps[list[str] | Response]:
        """The versions that the module's list is shown with, or the answer without one."""
        url = replace(request.url, target=address.list)
        asked = for_judging(request, url, "*/*", self._terms.place, is_below=True)
        response = yield from self._terms.cached.handle(asked, Facts())
        if response.head.status != 200:
            return response
        lines = _content(response, _LARGEST_LIST).decode("utf-8", "replace").splitlines()
        return (yield from self._kept(request, address, lines))

    def _kept(
        self, request: Request, address: ModuleAddress, lines: list[str]
    ) -> Steps[list[str] | Response]:
        kept: list[str] = []
        asked = 0
        for minor in minor_versions(lines):
            is_old = False
            for version in minor:
                if self._terms.admission.block(address.module, version):
                    continue
                if not is_old:
                    asked += 1
                    if asked > _MOST_ASKED:
                        log.warning("%s has too many minor versions: some are not shown", address.module)
                        return kept
                    found = yield from self._info(request, address, version, is_lasting=True)
                    if isinstance(found, Response):
                        if found.head.status not in ABSENT:
                            return found
                        found.body.close()
                        continue
                    is_old = self._refusal(address, version, found.released, nothing_is_allowed) is None
                    if not is_old and self._refusal(
                        address, version, found.released, self._terms.is_allowed
                    ):
                        continue
                kept.append(version)
        return kept

    def _info(
        self, request: Request, address: ModuleAddress, version: str, *, is_lasting: bool
    ) -> Steps[ToldVersion | Response]:
        """The version with its time, as far as that is needed, or the answer without it."""
        if is_lasting and self._terms.admission.is_of_any_age(address.module):
            return ToldVersion(version)
        url = str(replace(request.url, target=address.info_of(version)))
        known = self._known.of(url) if is_lasting else None
        if known is not None:
            return ToldVersion(version, known)
        told = yield from self._told(request, address, version, is_lasting=is_lasting)
        if is_lasting and isinstance(told, ToldVersion) and told.released is not None:
            self._known.keep(url, told.released)
        return told

    def _told(
        self, request: Request, address: ModuleAddress, version: str, *, is_lasting: bool
    ) -> Steps[ToldVersion | Response]:
        """What the upstream says of a version, or the answer without that."""
        url = replace(request.url, target=address.info_of(version))
        asked = for_judging(request, url, "*/*", self._terms.place, is_below=True)
        asked = at_age(asked, AGES[0]) if is_lasting else asked
        response = yield from self._terms.cached.handle(asked, Facts())
        status = response.head.status
        if status in ABSENT or status in OF_THE_CLIENT:
            return response
        told = told_by(_content(response, _LARGEST_INFO)) if status == 200 else None
        if told is None:
            response.body.close()
            text = f"{address.module} {version} cannot be asked for its age: status {status}"
            return logged(_refused(max(status, 502), text))
        return told

    def _refusal(
        self,
        address: ModuleAddress,
        version: str,
        released: float | None,
        is_allowed: Callable[[str, str], bool],
    ) -> str | None:
        return self._terms.admission.refusal(address.module, version, released, clock.wall(), is_allowed)


def _made(request: Request, head: Head, content: bytes, media_type: str) -> Response:
    """The answer with this content in place of what the upstream has sent with the head."""
    headers = head.headers.lacking(OF_THE_BODY).without("ETag", "Last-Modified")
    headers = headers.with_field("Content-Type", media_type)
    headers = headers.with_field("Content-Length", str(len(content)))
    body = EMPTY if request.method == "HEAD" else BytesBody(content)
    return Response(Head(200, "OK", headers), body, len(content))


def _content(response: Response, most: int) -> bytes:
    """All of a small document; raises UpstreamError."""
    try:
        return b"".join(pieces_of(response, most))
    except DocumentError as error:
        raise UpstreamError(f"the document is not what its ecosystem has: {error}") from error


def _refused(status: int, why: str) -> RefusedRelease:
    return refused(status, why, is_text=True)
