"""Answers coded for clients that want it: which of them, and with which validators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pyproxycache.body import BytesBody, in_blocks
from pyproxycache.front.around.coded_body import CodedBody, Coder
from pyproxycache.front.around.cross_origin import with_vary
from pyproxycache.front.presentation.changed_bodies import OF_THE_BODY, mark_of, split_mark, with_mark
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response
from pyproxycache.rules.grammar import media_type, split_list
from pyproxycache.rules.negotiation import content_codings, preferred_coding
from pyproxycache.serving.responses import not_modified

_MOST = 1 << 20
"""Stored bodies of more bytes are coded as they are sent, for each client anew."""
_WITHOUT_BODY = frozenset({101, 204, 205})
_NOT_WHOLE = frozenset({206, 304})
_EVENT_STREAM = "text/event-stream"
_OF_THE_CONTENT = OF_THE_BODY - {"content-base"}  # links in it stay as they are


class Compression:
    """Codes the answers of a route, of these media types and from `least` bytes on.

    `coders` makes what codes, for each coding, the one that is liked best first.
    """

    def __init__(self, coders: dict[str, Callable[[], Coder]], types: Sequence[str], least: int) -> None:
        self._coders = coders
        self._marks = {coding: mark_of(coding) for coding in coders}
        self._types = tuple(types)
        self._least = least

    def chosen(self, headers: Headers) -> str:
        """The coding for a client that has sent these fields; "" for none."""
        return preferred_coding(headers.get("accept-encoding"), self._coders)

    def onward(self, headers: Headers, coding: str) -> Headers:
        """The fields with conditions on the upstream's own tags, for a client that gets the coding."""
        for name in ("If-None-Match", "If-Match"):
            condition = headers.get(name)
            if condition is None:
                continue
            kept = [tag for tag in self._own_tags(condition, coding, any_coding=name == "If-Match") if tag]
            headers = headers.with_field(name, ", ".join(kept)) if kept else headers.without(name)
        # By a time no client can tell what it has in part.
        if coding and '"' not in (headers.get("if-range") or '"'):
            headers = headers.without("Range", "If-Range")
        return headers

    def _own_tags(self, condition: str, coding: str, *, any_coding: bool) -> list[str]:
        tags = []
        for tag in split_list(condition):
            own, mark = split_mark(tag)
            if mark not in self._marks.values():
                tags.append(tag)
            elif any_coding or mark == self._marks.get(coding):
                tags.append(own)
            elif not any_coding:
                tags.append("")
        return tags

    def coded(self, headers: Headers, coding: str, method: str, response: Response) -> Response:
        """The response in the coding, if it is to be; `headers` are the fields that the client has sent."""
        head = response.head
        if head.status == 304:
            return self._not_modified(headers, coding, response)
        if method in ("GET", "HEAD") and self._is_known(headers, coding, head):
            response.body.close()
            return Response(not_modified(head))
        if not coding or not self._may_be_coded(head) or not self._is_worth_it(method, response):
            return response
        fields = head.headers.lacking(_OF_THE_CONTENT).with_field("Content-Encoding", coding)
        shown = head.with_headers(with_mark(fields, self._marks[coding]))
        terms, length = response.reuse_terms, response.length
        if method == "HEAD":
            return replace(response, head=shown, length=None, reuse_terms=None)
        coder = self._coders[coding]()
        if terms is None or terms.again is not None or length is None or length > _MOST:
            body = CodedBody(response.body, coder, flushes=length is None)
            return replace(response, head=shown, body=body, length=None, reuse_terms=None)
        data = b"".join(map(coder.code, in_blocks(response.body))) + coder.finish()
        response.body.close()
        return replace(response, head=shown, body=BytesBody(data), length=len(data))

    def shown(self, head: Head) -> Head:
        """The head, which says that clients get the answer in different codings."""
        if head.status != 304 and not (self._is_of_types(head) and head.status not in _WITHOUT_BODY):
            return head
        return head.with_headers(with_vary(head.headers, "Accept-Encoding"))

    def _is_known(self, headers: Headers, coding: str, head: Head) -> bool:
        """Whether the client has the answer, which an upstream has coded that marks tags as this one does.

        The upstream was asked with the tag as it is without the mark.
        """
        tag, mark = head.headers.get("etag") or "", self._marks.get(coding, "")
        if head.status != 200 or not mark or split_mark(tag)[1] != mark or "set-cookie" in head.headers:
            return False
        return _opaque(tag) in map(_opaque, split_list(headers.get("if-none-match") or ""))

    def _not_modified(self, headers: Headers, coding: str, response: Response) -> Response:
        """The 304 with the tag that the client has."""
        tag, mark = response.head.headers.get("etag"), self._marks.get(coding, "")
        if tag is None or not mark:
            return response
        sent = [split_mark(one) for one in split_list(headers.get("if-none-match") or "")]
        if (_opaque(tag), mark) not in [(_opaque(own), found) for own, found in sent]:
            return response
        head = response.head
        return response.with_headers(with_mark(head.headers, mark))

    def _may_be_coded(self, head: Head) -> bool:
        return (
            head.status >= 200
            and head.status not in _WITHOUT_BODY | _NOT_WHOLE
            and self._is_of_types(head)
            and not content_codings(head.headers.get("content-encoding"))
            and not _is_to_stay(head)
        )

    def _is_worth_it(self, method: str, response: Response) -> bool:
        length = response.length
        if method == "HEAD":  # of which the head alone tells
            stated = response.head.headers.get("content-length") or ""
            length = int(stated[:20]) if stated.isdecimal() else None
        return length is None or length >= self._least

    def _is_of_types(self, head: Head) -> bool:
        kind = media_type(head.headers)
        return kind != _EVENT_STREAM and any(fnmatchcase(kind, one) for one in self._types)


def _is_to_stay(head: Head) -> bool:
    """Whether the origin forbids changes (no-transform, RFC 9110 section 7.7)."""
    directives = split_list(head.headers.get("cache-control") or "")
    return any(one.lower() == "no-transform" for one in directives)


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
