"""Where a redirect leads, for a cache that follows it itself (RFC 9110 section 15.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.rules.grammar import REDIRECTS, media_type, split_list
from pyproxycache.rules.signed_urls import redirect_end
from pyproxycache.rules.urls import parse_url, sendable
from pyproxycache.rules.userinfo import basic_credentials, split_userinfo
from pyproxycache.url import Url

FOR_ONE_ORIGIN = (
    *("Authorization", "Cookie"),
    *("Private-Token", "Job-Token", "Deploy-Token"),  # GitLab's
    "X-JFrog-Art-Api",
)
"""Fields of a request by which clients log in, and which no other origin may see."""
# Fields by which a redirect tells of the file that it leads to, and not of itself.
_OF_THE_TARGET = (
    "X-Repo-Commit",
    "X-Linked-Etag",
    "X-Linked-Size",
    "Docker-Content-Digest",
    "X-Checksum-Sha512",
    "X-Checksum-Sha256",
    "X-Checksum-Sha1",
    "X-Checksum-Md5",
)
# Where one of these stands, the redirect's ETag is that of the file, too.
_LINKING = frozenset({"x-linked-etag", "x-linked-size"})
# Where relative references in the content count from (RFC 2068 section 14.11).
_FOUND_AT = "Content-Base"
_DOCUMENT = re.compile(r"text/html|application/(?:.*\+)?(?:json|html)")
# What storage services answer at an address whose signature has ended.
_REFUSALS = frozenset({400, 401, 403})


def redirected(request: Request, head: Head) -> Request | None:
    """The request for what the answer to a GET or HEAD redirects to; None if it is no redirect.

    Another origin gets neither credentials nor cookies. Raises BadRequest if the reference is no http or
    https URL.
    """
    locations = head.headers.lines("location")
    if head.status not in REDIRECTS or not locations:
        return None
    try:
        reference = urljoin(str(request.url), locations[0].strip()).partition("#")[0]
    except ValueError as error:
        raise BadRequest(f"it is no URL: {error}") from None
    plain, userinfo = split_userinfo(sendable(reference))
    url = parse_url(plain)
    headers = request.headers
    if url.origin != request.url.origin:
        headers = headers.without(*FOR_ONE_ORIGIN)
    if userinfo and "authorization" not in headers:
        headers = headers.with_field("Authorization", basic_credentials(userinfo))
    return replace(request, url=url, headers=headers)


def arrived(passed: Sequence[Head], last: Head, url: Url) -> Head:
    """The head to which redirects have led, as that of the first request's answer.

    `passed` are the heads that redirected, `url` is where they led. It has the fields by which they tell of
    the file, where it lacks them, and depends on all request fields that they depend on. That of a document
    says where it was found.
    """
    headers = last.headers.without(_FOUND_AT)
    if passed and last.status == 200 and _DOCUMENT.fullmatch(media_type(headers)):
        headers = headers.with_field(_FOUND_AT, f"{url.origin}{url.path}")
    for head in passed if last.status < 400 else ():
        names = (*_OF_THE_TARGET, "ETag") if head.headers.among(_LINKING) else _OF_THE_TARGET
        for name in names:
            value = head.headers.get(name)
            if value is not None and name not in headers:
                headers = headers.with_field(name, value)
    return replace(last, headers=_varying(passed, headers))


def found_at(head: Head) -> str:
    """Where redirects have led to the document with this head; "" if none have."""
    return head.headers.get(_FOUND_AT) or ""


def is_outdated(passed: Sequence[Head], last: Head) -> bool:
    """Whether a refusal may come from a redirect whose signature has ended, and a new one would help."""
    return last.status in _REFUSALS and any(redirect_end(head) is not None for head in passed)


def _varying(passed: Sequence[Head], headers: Headers) -> Headers:
    """The fields, with all names in Vary that the redirects have there.

    Without a coding what is there suits all clients, whatever codings the redirect's own page may have.
    """
    named = [name for head in passed for name in split_list(head.headers.get("vary") or "")]
    known = {name.lower() for name in split_list(headers.get("vary") or "")}
    if "content-encoding" not in headers:
        known.add("accept-encoding")
    for name in named:
        if name.lower() not in known:
            headers = headers.with_line("Vary", name)
            known.add(name.lower())
    return headers
