"""Errors as one tree: each knows the HTTP status it is answered with and whose fault it is."""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

_LIBRARY_NOISE = re.compile(r"^\[[A-Z]+: \w+\] | \(_ssl\.c:\d+\)$")


def reason(error: Exception) -> str:
    """What went wrong, as one reads it: without numbers of errors and places in libraries."""
    told = error.strerror if isinstance(error, OSError) else None
    return _LIBRARY_NOISE.sub("", told or str(error)) or type(error).__name__


class Fault(Enum):
    """Who has to act for the error to go away."""

    CLIENT = "client"
    ORIGIN = "origin"
    CACHE = "cache"


class ProxyError(Exception):
    """Base of all errors that end a request; the text is written for the client who reads it.

    `proxy_error` is its type in Proxy-Status (RFC 9209 section 2.3), of the class where none is given;
    empty where this server is the origin of the answer.
    """

    status = 500
    fault = Fault.CACHE
    proxy_error = "proxy_internal_error"

    def __init__(self, text: str = "", proxy_error: str | None = None) -> None:
        super().__init__(text)
        if proxy_error is not None:
            self.proxy_error = proxy_error

    @property
    def public(self) -> str:
        """What a client may read of it."""
        return str(self)

    def another(self) -> Self:
        """An equal error to raise in another thread, for a traceback is one thread's own."""
        return type(self)(str(self), self.proxy_error)


class BadRequest(ProxyError):
    """The request cannot be understood."""

    status = 400
    fault = Fault.CLIENT
    proxy_error = "http_request_error"


class Forbidden(ProxyError):
    """The client may not ask, or may not reach what it asked for."""

    status = 403
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class ClientGone(ProxyError):
    """The client went away before there was an answer; nobody else waits for it."""

    status = 504
    fault = Fault.CLIENT
    proxy_error = ""


class NotFound(ProxyError):
    """An origin-form request that is none of the ways in."""

    status = 404
    fault = Fault.CLIENT
    proxy_error = ""


class NotImplementedHere(ProxyError):
    """A method or form this proxy does not speak."""

    status = 501
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class MethodNotAllowed(ProxyError):
    """A method that this resource of the cache itself does not take."""

    status = 405
    fault = Fault.CLIENT
    proxy_error = ""


class LoopDetected(ProxyError):
    """The request would reach this proxy again."""

    status = 508
    fault = Fault.CLIENT
    proxy_error = "proxy_loop_detected"


class UpstreamError(ProxyError):
    """The origin (or the parent proxy) failed."""

    status = 502
    fault = Fault.ORIGIN
    proxy_error = "http_protocol_error"


class UpstreamUnreachable(UpstreamError):
    """No connection: the name does not resolve, or nothing accepts."""

    proxy_error = "destination_unavailable"


class UpstreamTimeout(UpstreamError):
    """Connected, then silent for longer than allowed."""

    status = 504
    proxy_error = "connection_read_timeout"


class UpstreamMalformed(UpstreamError):
    """The answer is not HTTP as RFC 9112 has it."""


class BrokenOff(UpstreamError):
    """A body ended short and could not be continued; the client's connection has to break."""

    status = 504
    proxy_error = "http_response_incomplete"


class StoreError(ProxyError):
    """The cache folder cannot be used; the text names its files, and is for the log."""

    status = 503

    @property
    def public(self) -> str:
        return "the cache cannot use its store now; its log says why"


class NoSpace(StoreError):
    """No room to keep a body (ENOSPC, or the reserve is reached): serve it, do not store it."""


def error_named(name: str) -> type[ProxyError]:
    """The class of this name, as another process told it; ProxyError where there is none."""
    kinds = [ProxyError]
    for kind in kinds:  # which grows meanwhile: the whole tree
        if kind.__name__ == name:
            return kind
        kinds += kind.__subclasses__()
    return ProxyError


class ConfigError(Exception):
    """A configuration that does not parse: names the file, the key, the value and what is accepted."""
