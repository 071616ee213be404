"""What clients get of conda packages, all of which one index of a platform names."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import unquote

from pyproxycache import clock
from pyproxycache.errors import ProxyError, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.front.gating.asking import (
    AGES,
    OF_THE_CLIENT,
    at_age,
    for_document,
    for_judging,
    logged,
    pieces_of,
    validator_of,
)
from pyproxycache.front.gating.gate_terms import GateTerms, nothing_is_allowed
from pyproxycache.front.gating.judgements import Given, Judgement
from pyproxycache.front.gating.known_releases import KnownDocuments
from pyproxycache.front.gating.release_refusals import refused
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.front.presentation.changed_bodies import mark_of
from pyproxycache.messages import Request
from pyproxycache.mirrors.cooldown.by_ecosystem import conda_releases
from pyproxycache.mirrors.cooldown.plain_paths import plain_path
from pyproxycache.mirrors.cooldown.stamped_files import StampedFiles
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.packed import can_pack
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import ABSENT, DocumentReading
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import Url

_MOST_BYTES = 4 << 30
_MOST_KNOWN = 2_000_000
_HOUR = 3600.0


class KnownIndexes(KnownDocuments[StampedFiles]):
    """The times that indexes tell, by document and validator: two million packages, in 16 MB."""

    def __init__(self) -> None:
        super().__init__(_MOST_KNOWN)
        self.secret = secrets.token_bytes(16)
        """What the names of files are found by."""


class IndexGate:
    """Judges by the times in a platform's index, which is shown without what is not given.

    An index is read as it is sent, so that what of it is shown goes by the hour: until that is over, it has
    the same ETag. Shards and lines to be added to an index are not given at all, which has clients take the
    index.
    """

    def __init__(self, terms: GateTerms, known: KnownIndexes) -> None:
        self._terms = terms
        self._known = known

    def judge(self, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, None: elsewhere; raises ProxyError."""
        decoded = unquote(request.url.path if path is None else path)
        name = decoded.rpartition("/")[2]
        if conda_releases.INDEX.fullmatch(decoded):
            return (yield from self._index(request, name, facts))
        if conda_releases.UNREAD.fullmatch(decoded):
            key = self._terms.admission.key("min_age")
            text = f"{name} is not given, as {key} and block leave packages out"
            return logged(refused(404, f"{text}: repodata.json has those that it gives"))
        release = conda_releases.release_of(name)
        if release is not None:
            return (yield from self._package(request, name, *release))
        if self.has_file(request, path):
            return logged(refused(404, f"no repodata.json names {name}"))
        if not self._terms.is_strict or conda_releases.OPEN.fullmatch(decoded):
            return Given()
        return logged(refused(404, f"{name} is no package, and no index of packages"))

    def has_file(self, request: Request, path: str | None) -> bool:
        """Whether the path is one of a package's file."""
        decoded = unquote(request.url.path if path is None else path)
        return conda_releases.release_of(plain_path(decoded).rpartition("/")[2]) is not None

    def _index(self, request: Request, name: str, facts: Facts) -> Steps[Judgement]:
        if not can_pack(name):
            return logged(refused(404, f"{name} needs the package backports.zstd: take repodata.json"))
        asked = for_document(request, request.url, "*/*")
        response = yield from self._terms.cached.handle(asked, facts)
        if response.head.status != 200:
            return response
        if readable_coding(response.head.headers) is None:
            response.body.close()
            return logged(refused(403, f"{name} has a coding that is not read here"))
        admission = self._terms.admission
        # The time of which the answer is: it stays the same for a while, and so does what is shown.
        step = min(_HOUR, (admission.min_age or 0.0) / 24) or _HOUR
        now = math.floor(clock.wall() / step) * step
        rules = (str(admission.min_age), *admission.excepted, "block", *admission.blocked)
        is_timed = "" if admission.min_age is None else str(now)

        def is_given(package: str, version: str, released: float | None) -> bool:
            return admission.refusal(package, version, released, now, self._terms.is_allowed) is None

        def made(pieces: Iterable[bytes], _reading: DocumentReading) -> Iterator[bytes]:
            return conda_releases.without_releases(pieces, name, is_given)

        state = mark_of(*rules, is_timed, self._terms.allowed_state())
        return ReleaseView(response, request.url, state, made, varies=False, is_of_kind=False)

    def _package(self, request: Request, name: str, package: str, version: str) -> Steps[Judgement]:
        admission = self._terms.admission
        if blocked := admission.block(package, version):
            return logged(refused(403, blocked))
        if admission.is_of_any_age(package):
            return Given()
        for index in conda_releases.indexes():
            folder = request.url.path.rpartition("/")[0]
            url = replace(request.url, target=f"{folder}/{index}")
            is_named = False
            for age in AGES:
                told = yield from self._told(request, url, age)
                if isinstance(told, Response):
                    return told
                if told is None:
                    break
                is_named = True
                if told.has(name):
                    return self._judged(package, version, told.released(name))
            if is_named:
                break
        return logged(refused(404, f"no repodata.json beside it names {name}"))

    def _judged(self, package: str, version: str, released: float | None) -> Judgement:
        admission, now = self._terms.admission, clock.wall()
        if admission.refusal(package, version, released, now, nothing_is_allowed) is None:
            return Given()
        why = admission.refusal(package, version, released, now, self._terms.is_allowed)
        return Given(is_lasting=False) if why is None else logged(refused(403, why))

    def _told(
        self, request: Request, url: Url, age: tuple[str, float | None]
    ) -> Steps[StampedFiles | Response | None]:
        """The times that the index tells; None where it is not there, or the answer without it."""
        asked = at_age(for_judging(request, url, "*/*", self._terms.place, is_below=True), age)
        response = yield from self._terms.cached.handle(asked, Facts())
        status = response.head.status
        if status in OF_THE_CLIENT:
            return response
        if status in ABSENT:
            response.body.close()
            return None
        if status != 200:
            response.body.close()
            text = f"repodata.json cannot be had, which tells the age of packages: status {status}"
            return logged(refused(max(status, 502), text))
        try:
            return self._read(response, str(url))
        except ProxyError as error:
            text = f"repodata.json cannot be read, which tells the age of packages: {error}"
            return logged(refused(502, text))

    def _read(self, response: Response, url: str) -> StampedFiles:
        """What the index tells, which is remembered; raises ProxyError."""
        validator = validator_of(response.head)
        try:
            with self._known.in_turn(url):
                known = self._known.of(url, validator)
                if known is not None:
                    return known
                told = StampedFiles(self._known.secret)
                conda_releases.read_times(pieces_of(response, _MOST_BYTES), told.add)
                told.seal()
                self._known.keep(url, validator, told)
                return told
        except DocumentError as error:
            raise UpstreamError(f"the document is not what its ecosystem has: {error}") from error
        finally:
            response.body.close()
