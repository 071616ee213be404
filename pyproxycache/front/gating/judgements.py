"""What release gates say to requests, and what they need to know of the place that they stand before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from pyproxycache import clock
from pyproxycache.body import EMPTY
from pyproxycache.facts import Facts
from pyproxycache.front.gating.shown_body import ShownBody
from pyproxycache.front.gating.shown_tags import as_origins, with_mark
from pyproxycache.messages import Head, OwnAccess, Request
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import DocumentReading, Read
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.response import Response
from pyproxycache.rules.grammar import media_type
from pyproxycache.rules.redirection import found_at
from pyproxycache.rules.validation import is_not_modified
from pyproxycache.serving.responses import not_modified
from pyproxycache.steps import Steps
from pyproxycache.url import Url, without_query

OF_THE_BODY = frozenset(
    {
        "content-length",
        "content-encoding",
        "content-digest",
        "repr-digest",
        "content-md5",
        "accept-ranges",
        "content-base",
    }
)
"""Fields that tell of the bytes of a body, in lower case: not of those that are shown in its place."""

_PUBLISHING = frozenset({"PUT", "DELETE", "PATCH"})
"""Methods by which releases come and go; no origin gives a file to them."""


# Parameters of a segment, and what is no part of a name; then what stands for one slash, or for none.
_NO_NAME = re.compile(r";[^/]*|[\x00-\x1f\x7f]|\s+(?=/|\Z)")
_ONE_SLASH = re.compile(r"/(?:\.?(?:/|\Z))+")


def plain_path(decoded: str) -> str:
    """The path without %-encoding as origins may read it that leave out what tells them nothing.

    Some take `a.jar;x`, `a.jar/`, `./a.jar` and `\\a.jar` for the file `a.jar`.
    """
    return _ONE_SLASH.sub("/", _NO_NAME.sub("", decoded.replace("\\", "/"))).rstrip("/")


class ReleasePlace(Protocol):
    """Where the releases are that a gate stands before: the upstreams of a mirror, or hosts of a preset."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    def upstreams_for(self, url: Url) -> tuple[Url, ...]:
        """The upstreams that may have the document which names the file at this URL."""

    def access(self, url: Url) -> OwnAccess | None:
        """What of the cache's own credentials a request to read the URL is sent with."""


@dataclass(frozen=True, slots=True)
class Given:
    """The request is answered as any other; where not `is_lasting`, by the gate each time it is asked."""

    is_lasting: bool = True


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """A document out of `response`, as clients are to see it: as `made` makes it of its bytes.

    `state` is a text that differs where something else is shown. Where not `is_settled`, the document has
    changed while it was read, and may lack what is new. `key` is as in DocumentReading. `is_of_kind` says
    that it is still a document as its ecosystem has them, whose links are to be changed as theirs.
    """

    response: Response
    url: Url
    state: str
    made: Callable[[Iterable[bytes], DocumentReading], Iterator[bytes]]
    is_settled: bool = True
    key: bytes = b""
    varies: bool = True
    is_of_kind: bool = True

    @property
    def media_type(self) -> str:
        """The media type of what is shown, in lower case, without parameters."""
        return media_type(self.response.head.headers)

    def around(self, read: Read) -> Read:
        """Reads the document as `read` does what is left of it."""

        def view(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
            return read(self.made(pieces, reading), reading)

        return view

    def answer(
        self, request: Request, mark: str, link: Callable[[str], str], read: Read | None = None
    ) -> Response:
        """The answer to the client: the document as `read` makes it, with the mark in its ETag.

        Without `read` it is what is left of the document. `link` is as in DocumentReading.
        """
        head = self.response.head
        headers = with_mark(head.headers.lacking(OF_THE_BODY), mark)
        if self.varies:
            headers = headers.with_field("Vary", "Accept")
        if not self.is_settled:
            headers = headers.without("ETag")
        shown = Head(head.status, head.reason, headers)
        # Of the request's conditions those count that are on the tags of this view.
        conditions = as_origins(request.headers, mark)
        if (
            self.is_settled
            and "If-None-Match" in conditions
            and is_not_modified(conditions, head, clock.wall())
        ):
            self.response.body.close()
            return Response(not_modified(shown))
        if request.method == "HEAD":
            self.response.body.close()
            return Response(shown, EMPTY, 0)
        reading = DocumentReading(str(self.url), link, _every_file, self.key, found_at(head))
        coding = readable_coding(head.headers) or "identity"
        body = ShownBody(
            self.response.body,
            coding,
            without_query(reading.url),
            lambda pieces: (read or self.made)(pieces, reading),
        )
        return Response(shown, body, None)


Judgement = Given | ReleaseView | Response
"""What a gate says: a Response, as a refusal, is the answer."""


class Gate(Protocol):
    """Judges GET and HEAD requests, by the releases that they ask for; safe to call from any thread."""

    def judge(self, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, as it was sent; None: elsewhere.

        Raises ProxyError.
        """

    def has_file(self, request: Request, path: str | None) -> bool:
        """Whether a file is there, by the path's form: no document, and not what is nobody's release."""


def judged(gate: Gate, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
    """What the gate says to a request of any method; the rest is as in Gate.judge().

    Origins may give a file to other methods than GET, too, such as POST: what a GET is refused, these are.
    """
    if request.method in ("GET", "HEAD"):
        return (yield from gate.judge(request, path, facts))
    if request.method in _PUBLISHING or not gate.has_file(request, path):
        return Given()
    headers = request.headers.without("Content-Length", "Content-Type", "Transfer-Encoding", "Expect")
    reading = replace(
        request, method="GET", headers=headers, body=None, content_key=None, interim=None, login=None
    )
    return (yield from gate.judge(reading, path, facts))


def _every_file(_file: NamedFile) -> bool:
    return True
