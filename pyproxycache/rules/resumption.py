"""How a body goes on that was begun: what an origin is asked for, and whether its answer continues it."""

from __future__ import annotations

from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.parts import range_of
from pyproxycache.rules.ranges import range_text
from pyproxycache.rules.representation import is_unmarked_part, resumption_validator, same_representation
from pyproxycache.rules.validation import strip_conditionals, strip_validators

_ALIKE = ("content-type", "content-encoding", "last-modified", "etag")


def plain_headers(request: Request) -> Headers:
    """The request's fields as for a whole response, whatever the client has already."""
    return strip_conditionals(end_to_end(request.headers))


def headers_for(entry: Entry, request: Request) -> Headers:
    """The fields of a request for what the entry is: all of a representation, or a part of it."""
    headers, validator = plain_headers(request), resumption_validator(entry.head)
    if entry.part is None or validator is None:
        return headers
    return headers.with_field("Range", range_of(entry.part)).with_field("If-Range", validator)


def request_for_rest(request: Request, entry: Entry | None, size: int) -> Request | None:
    """The request for what follows the first `size` bytes of the entry's body (RFC 9110 section 13.1.5).

    None where it cannot be asked for.
    """
    validator = resumption_validator(entry.head) if entry is not None and size else None
    if entry is None or validator is None or (entry.part is not None and size >= entry.part.length):
        return None
    wanted = range_text(entry.first_byte + size, None if entry.part is None else entry.part.end)
    headers = strip_validators(request.headers).with_field("Range", wanted)
    return request.with_headers(headers.with_field("If-Range", validator))


def is_same(old: Entry, new: Entry) -> bool:
    """Whether a body of the new entry goes on with one of the old, byte by byte."""
    return old.part == new.part and same_representation(old.head, new.head)


def is_whole(head: Head, known: Head) -> bool:
    """Whether an origin that ignores Range sends all of the very representation that is known."""
    return head.status == 200 and not is_unmarked_part(head) and same_representation(known, head)


def is_alike(known: Head, now: Head) -> bool:
    """Whether the new answer can be the body of the head that a client has, if the bytes agree."""
    return known.status == now.status == 200 and all(
        known.headers.get(name) == now.headers.get(name) for name in _ALIKE
    )
