"""A document of releases as one client is to see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.body import EMPTY
from pyproxycache.front.gating.shown_body import ShownBody
from pyproxycache.front.presentation.changed_bodies import OF_THE_BODY, as_origins, with_mark
from pyproxycache.messages import Head, Request
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import DocumentReading, Read
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.response import Response
from pyproxycache.rules.grammar import media_type
from pyproxycache.rules.redirection import found_at
from pyproxycache.rules.validation import is_not_modified
from pyproxycache.serving.responses import not_modified
from pyproxycache.url import Url, without_query


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


def _every_file(_file: NamedFile) -> bool:
    return True
