"""Documents as a mirror's clients are shown them: with links that lead back to the mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pyproxycache.body import EMPTY, BytesBody
from pyproxycache.front.gating.release_refusals import refused
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.front.gating.shown_body import ShownBody
from pyproxycache.front.mirroring.mirror import Mirror
from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.changed_bodies import OF_THE_BODY, as_origins, mark_of, with_mark
from pyproxycache.front.presentation.references import mapped
from pyproxycache.front.requests.raw_request import Present
from pyproxycache.messages import Head, Request
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import DocumentReading
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.response import Response
from pyproxycache.rules.grammar import media_type
from pyproxycache.rules.redirection import found_at
from pyproxycache.url import Url, without_query

IsShown = Callable[[NamedFile], bool]
"""Takes each file that a document names, and says whether clients are to see it."""

_MOST = 1 << 20
"""Bytes of a document that is shown whole, and kept in memory as it is shown."""


@dataclass(frozen=True, slots=True)
class Showing:
    """What a client that knows the cache as `base` is shown of a mirror, at this path below an upstream."""

    mirror: Mirror
    base: str
    path: str

    def present(self, url: Url) -> Present:
        """What makes the heads of answers for the client, of what is at the URL."""

        def present(head: Head) -> Head:
            shown = mapped(head, url, self._link, cookies.none)
            return shown.with_headers(shown.headers.lacking(self.mirror.ecosystem.hidden))

        return present

    def asked(self, request: Request) -> Request:
        """The request where it may be for a document: for all of it, in a coding that is read here."""
        headers = as_origins(request.headers, self._mark).without("Range")
        return request.with_headers(headers.with_field("Accept-Encoding", "gzip"))

    def shown(self, response: Response, request: Request, is_shown: IsShown) -> Response:
        """The answer to a request that was asked() so, as it is shown if it is a document."""
        head = response.head
        shown = Head(head.status, head.reason, with_mark(head.headers.lacking(OF_THE_BODY), self._mark))
        if head.status == 304:
            return replace(response, head=shown, reuse_terms=None)
        document = self.mirror.ecosystem.document(self.path, media_type(head.headers))
        coding = readable_coding(head.headers)
        if head.status != 200 or document is None or not document.has_links or coding is None:
            return response
        if request.method != "GET":
            return Response(shown, EMPTY, 0)
        reading = DocumentReading(str(request.url), self._link, is_shown, found_at=found_at(head))
        body = ShownBody(
            response.body, coding, without_query(reading.url), lambda pieces: document.read(pieces, reading)
        )
        terms = response.reuse_terms
        if terms is not None and terms.again is None and (response.length or _MOST) < _MOST:
            # All of it is here: what is made once can be given again from memory.
            text = body.whole(_MOST)
            if text is not None:
                sized = shown.with_headers(shown.headers.with_field("Content-Length", str(len(text))))
                return Response(sized, BytesBody(text), len(text), reuse_terms=terms)
        return Response(shown, body, None)

    def viewed(self, view: ReleaseView, request: Request) -> Response:
        """The answer with what a release gate has left of a document; a RefusedRelease if that is none."""
        document = self.mirror.ecosystem.document(self.path, view.media_type)
        if document is None and view.is_of_kind:
            view.response.body.close()
            return refused(403, "the document is in no form that is read here")
        read = view.around(document.read) if document is not None and document.has_links else None
        mark = mark_of(self.base, self.mirror.name, view.state, view.media_type)
        return view.answer(request, mark, self._link, read)

    @property
    def _mark(self) -> str:
        return mark_of(self.base, self.mirror.name)

    @property
    def _link(self) -> Callable[[str], str]:
        return partial(self.mirror.reference, self.base)
