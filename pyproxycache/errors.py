"""All errors as one tree; each has the HTTP status it is answered with, and says whose fault it is."""

from __future__ import annotations

import re
from enum import Enum
from typing import Self

_LIBRARY_NOISE = re.compile(r"^\[[A-Z]+: \w+\] | \(_ssl\.c:\d+\)$")


def reason(error: Exception) -> str:
    """What went wrong, for people: without error numbers and places in libraries."""
    told = error.strerror if isinstance(error, OSError) else None
    return _LIBRARY_NOISE.sub("", told or str(error)) or type(error).__name__


class Fault(Enum):
    """Who has to act for the error to go away."""

    CLIENT = "client"
    ORIGIN = "origin"
    CACHE = "cache"


class ProxyError(Exception):
    """Base of all errors that end a request; the text is written for the client.

    `proxy_error` is the type in Proxy-Status (RFC 9209 section 2.3), by default that of the class; empty if
    this server is the origin of the answer. `headers` are the fields that the answer has because of the
    error, as Allow or Retry-After.
    """

    status = 500
    fault = Fault.CACHE
    proxy_error = "proxy_internal_error"

    def __init__(
        self,
        text: str = "",
        proxy_error: str | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(text)
        self.headers = headers
        if proxy_error is not None:
            self.proxy_error = proxy_error

    @property
    def public(self) -> str:
        """The text that a client may see."""
        return str(self)

    def another(self) -> Self:
        """A copy to raise in another thread, with a traceback of its own."""
        return type(self)(str(self), self.proxy_error, headers=self.headers)


class BadRequest(ProxyError):
    """The request cannot be understood."""

    status = 400
    fault = Fault.CLIENT
    proxy_error = "http_request_error"


class ContentTooLarge(ProxyError):
    """A request has more content than its route takes."""

    status = 413
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class Forbidden(ProxyError):
    """The client may not use this cache, or may not reach what it asked for."""

    status = 403
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class ClientNotAllowed(Forbidden):
    """The client is in none of the networks that may use this cache."""


class PortNotAllowed(Forbidden):
    """The client asks for a tunnel to a port to which there are none."""


class InwardAddress(Forbidden):
    """The client asks for what is inside the cache's own machine or network, and is elsewhere."""

    proxy_error = "destination_ip_prohibited"


class UserChanged(Forbidden):
    """The user who has logged in for the whole connection is none any more, or has another password."""


class AuthenticationRequired(ProxyError):
    """The client has to send the name and password of a user of this proxy; `headers` has the challenge."""

    status = 407
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class TokenRefused(ProxyError):
    """The client has to send a valid token for what it asks for; `headers` has the challenge (RFC 6750)."""

    status = 401
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class TooManyTries(ProxyError):
    """Too many wrong passwords came from the client; `headers` has Retry-After."""

    status = 429
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class Misdirected(ProxyError):
    """The request is for another origin than the one that its connection was made to."""

    status = 421
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class ClientGone(ProxyError):
    """The client closed its connection before there was an answer, and nobody else waits for that."""

    status = 504
    fault = Fault.CLIENT
    proxy_error = ""


class NotFound(ProxyError):
    """The cache itself has no such resource: the request target is a path that means nothing here."""

    status = 404
    fault = Fault.CLIENT
    proxy_error = ""


class NotImplementedHere(ProxyError):
    """A method or form of request that this proxy does not implement."""

    status = 501
    fault = Fault.CLIENT
    proxy_error = "http_request_denied"


class MethodNotAllowed(ProxyError):
    """A method that a resource of the cache itself does not allow; `headers` has Allow."""

    status = 405
    fault = Fault.CLIENT
    proxy_error = ""


class LoopDetected(ProxyError):
    """The request would reach this proxy again, or has been through it."""

    status = 508
    fault = Fault.CLIENT
    proxy_error = "proxy_loop_detected"


class UpstreamError(ProxyError):
    """The origin (or the parent proxy) failed."""

    status = 502
    fault = Fault.ORIGIN
    proxy_error = "http_protocol_error"


class UpstreamBusy(UpstreamError):
    """The origin takes no more requests for a while; `headers` may have Retry-After."""

    status = 429
    proxy_error = "http_request_denied"


class UpstreamUnreachable(UpstreamError):
    """There is no connection: the name does not resolve, or no address accepts one."""

    proxy_error = "destination_unavailable"


class NoMemberLeft(UpstreamUnreachable):
    """All members of a pool are out for now; `headers` has Retry-After."""

    status = 503


class ClientCertificateWanted(UpstreamUnreachable):
    """The origin serves only clients that show a certificate in TLS: a tunnel alone leads there."""

    proxy_error = "tls_alert_received"


class Offline(UpstreamUnreachable):
    """This cache is offline, and has not stored what was asked for."""

    status = 504


class RefusedByParent(UpstreamUnreachable):
    """The parent proxy may be asked, and does not let this proxy reach what it asked for."""

    status = 403
    proxy_error = "http_request_denied"


class UpstreamTimeout(UpstreamError):
    """The origin was silent for longer than allowed."""

    status = 504
    proxy_error = "connection_read_timeout"


class TokenCheckFailed(ProxyError):
    """Whether a token is valid cannot be found out: who knows it fails; the text is for the log only."""

    status = 503
    fault = Fault.ORIGIN
    proxy_error = "destination_unavailable"

    @property
    def public(self) -> str:
        return "whether your token is valid cannot be found out now: try again later"


class UpstreamMalformed(UpstreamError):
    """The answer is not valid HTTP/1.1 (RFC 9112)."""


class WrongContent(UpstreamError):
    """A body has another digest than is stated of it."""


class BrokenOff(UpstreamError):
    """A body ended early and could not be continued; the client's connection has to be broken off."""

    status = 504
    proxy_error = "http_response_incomplete"


class StoreError(ProxyError):
    """The store cannot be used; the text names its files and is for the log only."""

    status = 503

    @property
    def public(self) -> str:
        return "the cache cannot use its store now; its log says why"


class NoSpace(StoreError):
    """There is no room to store a body (ENOSPC, or the reserve is reached): it is served, not stored."""


def error_named(name: str) -> type[ProxyError]:
    """The error class of this name, as another process sent it; ProxyError if there is none."""
    kinds = [ProxyError]
    for kind in kinds:  # the list grows by subclasses, up to the whole tree
        if kind.__name__ == name:
            return kind
        kinds += kind.__subclasses__()
    return ProxyError


class ConfigError(Exception):
    """The configuration is wrong; each line names the file, the key, the value and what is accepted."""
