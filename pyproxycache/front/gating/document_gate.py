"""What clients get of the releases of one place: documents without some of them, and files or none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import unquote

from pyproxycache import clock
from pyproxycache.errors import ProxyError
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
from pyproxycache.front.gating.known_releases import KnownReleases
from pyproxycache.front.gating.release_reader import ReleaseReader, validator_with
from pyproxycache.front.gating.release_refusals import refused
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.messages import Request
from pyproxycache.mirrors.cooldown.media_forms import preferred
from pyproxycache.mirrors.cooldown.plain_paths import plain_path
from pyproxycache.mirrors.cooldown.release_documents import AboutReleases, ReleaseDocument, ReleaseDocuments
from pyproxycache.mirrors.cooldown.release_rules import ReleaseRules
from pyproxycache.mirrors.cooldown.releases import Releases, file_key
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import ABSENT, DocumentReading
from pyproxycache.mirrors.repositories import base_of, is_below
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import Url, without_query

log = logging.getLogger("pyproxycache.mirrors")

_TRIES = 3
_LARGEST_KEY = 64 << 10


class DocumentGate:
    """Judges by the documents of packages, each of which names the files of one."""

    def __init__(self, terms: GateTerms, documents: ReleaseDocuments, known: KnownReleases) -> None:
        self._terms = terms
        self._rules = ReleaseRules(terms.admission, documents)
        self._reader = ReleaseReader(documents, known)

    def judge(self, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, None: elsewhere; raises ProxyError.

        A client gets a file if the document of the package that it belongs to by its name names it, and the
        rules let it through.
        """
        documents = self._rules.documents
        if path is not None:
            decoded = unquote(path)
            if documents.open_paths.match(decoded):
                return Given()
            if package := documents.package_at(decoded):
                return (yield from self._view(request, path, package, facts))
            if documents.about is not None and (asked := documents.about.at(decoded)) is not None:
                return (yield from self._about(request, path, documents.about, *asked, facts))
        return (yield from self._file(request, path))

    def has_file(self, request: Request, path: str | None) -> bool:
        """Whether the path is one of a file, of which some package may have one."""
        documents = self._rules.documents
        decoded = unquote(request.url.path if path is None else path)
        is_document = path is not None and (
            documents.open_paths.match(decoded)
            or documents.package_at(decoded)
            or (documents.about is not None and documents.about.at(decoded) is not None)
        )
        is_file = documents.packages_of(decoded) or documents.packages_of(plain_path(decoded))
        return not is_document and bool(is_file)

    def _view(self, request: Request, path: str, package: str, facts: Facts) -> Steps[Judgement]:
        """The package's document as the client of the request is to see it, or an answer without one."""
        blocked = self._rules.admission.block(package)
        if blocked is not None:
            return logged(refused(403, blocked))
        upstream = replace(request.url, target=request.url.path[: -len(path)])
        key = yield from self._key(request, upstream)
        if isinstance(key, Response):
            return key
        asked = self._for_document(request, request.url)
        known: tuple[str, Releases] | None = None
        for tries_left in reversed(range(_TRIES)):
            response = yield from self._terms.cached.handle(asked, facts)
            facts = Facts()  # the first answer is the one that is told of
            document = self._reader.document(response)
            if response.head.status != 200:
                return response
            if document is None:
                response.body.close()
                return logged(refused(403, f"the document of {package} has no form that can be read here"))
            validator = validator_with(response, key)
            releases = self._reader.known(asked, response, key)
            if releases is None and known is not None and (known[0] == validator or not tries_left):
                releases = known[1]
            if releases is not None:
                is_settled = bool(validator) and (known is None or known[0] == validator)
                return self._viewed(request, response, document, releases, key, is_settled=is_settled)
            known = (validator, self._reader.read(response, document, asked, package, key))
        raise AssertionError("the last try takes what is known")

    def _viewed(
        self,
        request: Request,
        response: Response,
        document: ReleaseDocument,
        releases: Releases,
        key: bytes,
        *,
        is_settled: bool,
    ) -> Judgement:
        shown = self._rules.shown(releases, clock.wall(), self._terms.is_allowed)
        if shown.why:
            response.body.close()
            return logged(refused(403, shown.why))
        chosen = preferred(request.headers.get("accept"), [form.media_type for form in document.forms])
        form = next(form for form in document.forms if form.media_type == chosen)
        if not document.media_type.fullmatch(chosen):
            response = response.with_headers(response.head.headers.with_field("Content-Type", chosen))

        def made(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
            return form.made(pieces, reading, shown)

        return ReleaseView(
            response,
            request.url,
            f"{shown.state} {chosen}",
            made,
            is_settled=is_settled,
            key=key,
            varies=len(document.forms) > 1,
        )

    def _about(
        self,
        request: Request,
        path: str,
        about: AboutReleases,
        package: str,
        wanted: str,
        facts: Facts,
    ) -> Steps[Judgement]:
        """The document about a release as the client is to see it, or an answer without one."""
        if (blocked := self._rules.admission.block(package)) is not None:
            return logged(refused(403, blocked))
        upstream = replace(request.url, target=request.url.path[: -len(path)])
        found = yield from self._document_there(request, upstream, package, None)
        releases = None if found is None else self._told(*found, package, b"")
        if isinstance(releases, Response):
            return releases
        text = f"{package} {wanted}".rstrip()
        if releases is None:
            return logged(refused(404, f"there is no document of {text}"))
        shown = self._rules.shown(releases, clock.wall(), self._terms.is_allowed)
        chosen = about.chosen(releases, shown, wanted)
        if chosen is None:
            named = dict(releases.tags).get(wanted, wanted)
            why = (
                self._rules.version_refusal(releases, named, clock.wall(), self._terms.is_allowed)
                or shown.why
            )
            status, told = (403, why) if why else (404, f"no document of {package} names {text}")
            return logged(refused(status, told))
        version, is_upstreams = chosen
        place = about.path_of(package, "" if is_upstreams else version)
        asked = self._for_document(request, replace(upstream, target=f"{upstream.path}{place}"))
        response = yield from self._terms.cached.handle(asked, facts)
        if response.head.status != 200:
            return response
        if readable_coding(response.head.headers) is None:
            response.body.close()
            return logged(refused(403, f"the document of {text} has no form that can be read here"))

        def made(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
            return about.made(pieces, reading, shown, version)

        state = f"{shown.state} {version}"
        return ReleaseView(response, asked.url, state, made, varies=False, is_of_kind=False)

    def _key(self, request: Request, upstream: Url) -> Steps[bytes | Response]:
        """The document that is needed to read the others; b"" if none is, or the failure to get it."""
        name = self._rules.documents.key
        if not name:
            return b""
        url = replace(upstream, target=f"{base_of(upstream.path)}/{name}")
        is_own = is_below(request.url, upstream)
        asked = for_judging(request, url, "*/*", self._terms.place, is_below=is_own)
        response = yield from self._terms.cached.handle(asked, Facts())
        if response.head.status in OF_THE_CLIENT:
            return response
        if response.head.status != 200:
            response.body.close()
            text = f"{name} cannot be had, which tells where files are: status {response.head.status}"
            return logged(refused(max(response.head.status, 502), text))
        try:
            return b"".join(pieces_of(response, _LARGEST_KEY))
        except (DocumentError, ProxyError) as error:
            return logged(refused(502, f"{name} cannot be read, which tells where files are: {error}"))

    def _file(self, request: Request, path: str | None) -> Steps[Judgement]:
        """Whether the client gets the file at this path below an upstream, or elsewhere."""
        documents = self._rules.documents
        decoded = unquote(request.url.path if path is None else path)
        packages = documents.packages_of(decoded) or documents.packages_of(plain_path(decoded))
        name = without_query(decoded).rpartition("/")[2]
        for package in packages:
            if blocked := self._rules.admission.block(package):
                return logged(refused(403, blocked))
            # A query may choose another file.
            is_told = path is not None and request.url.query is None
            version = documents.version_at(decoded, package) if is_told else ""
            for upstream in self._terms.place.upstreams_for(request.url):
                verdict = yield from self._by_document(request, upstream, package, version)
                if verdict is not None:
                    return verdict
        if not packages and not self._terms.is_strict:
            return Given()
        told = f"no document of {' or '.join(packages)} names" if packages else "no package is known of"
        what = f"the file {name}" if name else "this address"
        text = f"{told} {what}, and no others are given: see {self._rules.admission.key('min_age')}"
        return logged(refused(404, text))

    def _by_document(
        self, request: Request, upstream: Url, package: str, version: str
    ) -> Steps[Judgement | None]:
        """The verdict by the package's document of this upstream; None if that does not name the file."""
        needed = yield from self._key(request, upstream)
        if isinstance(needed, Response):
            return needed
        key = file_key(str(self._named(request.url)))
        for age in AGES:
            found = yield from self._document_there(request, upstream, package, age)
            if found is None:
                continue
            releases = self._told(*found, package, needed)
            if isinstance(releases, Response):
                return releases
            why = self._rules.file_refusal(releases, key, version, clock.wall(), nothing_is_allowed)
            if why is None:
                return Given()
            if why:
                why = self._rules.file_refusal(releases, key, version, clock.wall(), self._terms.is_allowed)
                return logged(refused(403, why)) if why else Given(is_lasting=False)
        return None

    def _told(self, asked: Request, response: Response, package: str, needed: bytes) -> Releases | Response:
        """What the document tells, or the answer without that."""
        status, document = response.head.status, self._reader.document(response)
        if status in OF_THE_CLIENT:
            return response
        if status != 200 or document is None:
            response.body.close()
            text = f"the document of {package} cannot be had, which tells the age of its files"
            return logged(refused(max(status, 502), f"{text}: status {status}"))
        releases = self._reader.known(asked, response, needed)
        if releases is not None:
            response.body.close()
            return releases
        try:
            return self._reader.read(response, document, asked, package, needed)
        except ProxyError as error:
            text = f"the document of {package} cannot be read, which tells the age of its files"
            return logged(refused(502, f"{text}: {error}"))

    def _document_there(
        self, request: Request, upstream: Url, package: str, age: tuple[str, float | None] | None
    ) -> Steps[tuple[Request, Response] | None]:
        """The request for the package's document of this upstream, and its answer; None if it is not there.

        `age` is one of the `AGES`, None for what is fresh.
        """
        base, is_own = base_of(upstream.path), is_below(request.url, upstream)
        for path in self._rules.documents.paths_of(package, base):
            url = replace(upstream, target=f"{base}/{path}")
            asked = for_judging(
                request, url, self._rules.documents.accept, self._terms.place, is_below=is_own
            )
            asked = asked if age is None else at_age(asked, age)
            response = yield from self._terms.cached.handle(asked, Facts())
            if response.head.status not in ABSENT:
                return asked, response
            response.body.close()
        return None

    def _named(self, url: Url) -> Url:
        """The URL of the file that this one belongs to: metadata and signatures are beside theirs."""
        return replace(url, target=self._rules.documents.beside.sub("", url.target))

    def _for_document(self, request: Request, url: Url) -> Request:
        return for_document(request, url, self._rules.documents.accept)
