"""How a gate asks for the documents by which it judges: by the engine, as a client would."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from pyproxycache.body import in_blocks
from pyproxycache.front.gating.judgements import ReleasePlace
from pyproxycache.front.gating.release_refusals import RefusedRelease
from pyproxycache.messages import Head, Request
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import bounded, plain_pieces, readable_coding
from pyproxycache.response import Response
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache.mirrors")

OF_THE_CLIENT = frozenset({401, 403, 407, 429})
"""What the client has to act upon: it has no credentials that count, or asks too often."""

AGES = (("max-stale", None), ("max-age=60", 60.0))
"""Which documents do for a file: one of any age, as releases do not become younger, and then a new one.

The latter also where documents are fresh for longer.
"""

_NOT_OF_DOCUMENTS = (
    "Accept",
    "Accept-Encoding",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Range",
)


def for_document(request: Request, url: Url, accept: str) -> Request:
    """The client's request turned to one for all of a document, in a coding that can be read.

    Redirects are followed as the client's request says: where they lead, its links count from.
    """
    headers = request.headers.without(*_NOT_OF_DOCUMENTS)
    headers = headers.with_field("Accept", accept).with_field("Accept-Encoding", "gzip")
    elsewhere = url.origin != request.url.origin
    destination = None if elsewhere else request.destination
    return replace(
        request,
        method="GET",
        url=url,
        headers=headers,
        destination=destination,
        ttl=None,
    )


def for_judging(request: Request, url: Url, accept: str, place: ReleasePlace, *, is_below: bool) -> Request:
    """A request for a document by which the client's own is judged, which is below the upstream or not.

    What the client says for another host is none of the upstream's business.
    """
    asked = for_document(replace(request, interim=None), url, accept)
    if not is_below:
        asked = asked.with_headers(asked.headers.without("Authorization", "Cookie"))
    access = None if "authorization" in asked.headers else place.access(asked.url)
    return replace(asked, access=access, login=None, follows_redirects=True)


def at_age(asked: Request, age: tuple[str, float | None]) -> Request:
    """The request for a document of one of the `AGES`."""
    directive, ttl = age
    headers = asked.headers.without("Pragma").with_field("Cache-Control", directive)
    return replace(asked, headers=headers, ttl=ttl)


def validator_of(head: Head) -> str:
    """What changes when the document does; "" if nothing tells."""
    tag = head.headers.get("etag")
    if tag:
        return tag
    modified = head.headers.get("last-modified")
    return f"{modified} {head.headers.get('content-length')}" if modified else ""


def pieces_of(response: Response, most: int) -> Iterator[bytes]:
    """The content of a document, up to a size that none has; raises DocumentError, and closes the body."""
    coding = readable_coding(response.head.headers)
    with closing(response.body):
        if coding is None:
            raise DocumentError("its content coding is not read here")
        yield from bounded(plain_pieces(in_blocks(response.body), coding), most)


def logged(response: RefusedRelease) -> RefusedRelease:
    """The refusal, of which the log tells."""
    log.info("not given: %s", response.head.reason)
    return response
