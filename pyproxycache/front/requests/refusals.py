"""Answers to requests that are not valid HTTP, or that need what this cache does not support."""

from __future__ import annotations

import re

from gunicorn.http import errors as http_errors

from pyproxycache.errors import BadRequest, NotImplementedHere, ProxyError
from pyproxycache.rules.userinfo import without_userinfo

_BEGINS_LINE = re.compile(rb"[!-~\r\n]|\Z")
_METHOD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}"
_REQUEST = re.compile(_METHOD + rb" [!-~\x80-\xff]+ HTTP/1\.[0-9]\r?")
# As much of a request line as there may be.
_REQUESTS_BEGIN = re.compile(
    rb"(?:\r|"
    + _METHOD
    + rb"(?: (?:[!-~\x80-\xff]+(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?)?)?)?)?"
)
_LONGEST_LINE = 64 << 10
_SOCKS = "it begins SOCKS, and this port speaks HTTP: name it as an HTTP proxy"
_OTHER_PROTOCOLS = {
    b"\x16": "it begins TLS, and this port speaks plain HTTP: ask it with http://",
    b"\x05": _SOCKS,
    b"\x04": _SOCKS,
    b"PRI * HTTP/2": "it begins HTTP/2, and this port speaks HTTP/1.1",
}


class OtherProtocol(http_errors.ParseException):  # type: ignore[misc]
    """The bytes are no HTTP/1.1; the message tells what they are, and quotes nothing."""


def plain_where_tls_is() -> OtherProtocol:
    """The error of a client that speaks plain HTTP where TLS is spoken."""
    return OtherProtocol("it is plain HTTP, and this port speaks TLS: ask it with https://")


def check_protocol(data: bytes) -> None:
    """Raise OtherProtocol if the first bytes of a request begin another protocol than HTTP/1.1."""
    for begin, text in _OTHER_PROTOCOLS.items():
        if data.startswith(begin):
            raise OtherProtocol(text)
    if begins_no_line(data):
        raise OtherProtocol("it begins no request line, and this port speaks HTTP/1.1")


def begins_request(data: bytes) -> bool | None:
    """Whether the first bytes of a connection begin a request in HTTP/1; None if more have to come."""
    line, end, _rest = data.removeprefix(b"\r\n").partition(b"\n")
    if end:
        return _REQUEST.fullmatch(line) is not None
    if len(data) > _LONGEST_LINE or _REQUESTS_BEGIN.fullmatch(line) is None:
        return False
    return None


def begins_no_line(data: bytes) -> bool:
    """Whether the bytes cannot begin a request line, as those of TLS and SOCKS cannot."""
    return _BEGINS_LINE.match(data) is None


def refused_with(error: http_errors.ParseException) -> str:
    """The status and reason phrase of the answer to a request that gunicorn refuses."""
    if isinstance(error, http_errors.UnsupportedTransferCoding):
        return "501 Not Implemented"
    if isinstance(error, http_errors.ExpectationFailed):
        return "417 Expectation Failed"
    return "400 Bad Request"


def refusal(error: http_errors.ParseException) -> str:
    """The reason of the refusal for the client; may quote the request."""
    return without_userinfo(str(error))


def reason_of_refusal(error: http_errors.ParseException) -> str:
    """The reason of the refusal for the log; quotes nothing of the request, which may hold secrets."""
    return str(error) if isinstance(error, OtherProtocol) else type(error).__name__


def as_ours(error: BaseException) -> ProxyError:
    """The error as the matching ProxyError, for Proxy-Status; quotes nothing of the request."""
    if isinstance(error, http_errors.UnsupportedTransferCoding):
        return NotImplementedHere(type(error).__name__)
    if isinstance(error, http_errors.ParseException):
        return BadRequest(reason_of_refusal(error))
    return ProxyError(type(error).__name__)
