"""Errors as one tree: each knows the HTTP status it is answered with and whose fault it is."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Who has to act for the error to go away."""

    CLIENT = "client"
    ORIGIN = "origin"
    CACHE = "cache"


class ProxyError(Exception):
    """Base of all errors that end a request; the text is written for the client who reads it."""

    status = 500
    fault = Fault.CACHE


class BadRequest(ProxyError):
    """The request cannot be understood."""

    status = 400
    fault = Fault.CLIENT


class Forbidden(ProxyError):
    """The client may not ask, or may not reach what it asked for."""

    status = 403
    fault = Fault.CLIENT


class NotFound(ProxyError):
    """An origin-form request that is none of the ways in."""

    status = 404
    fault = Fault.CLIENT


class NotImplementedHere(ProxyError):
    """A method or form this proxy does not speak."""

    status = 501
    fault = Fault.CLIENT


class MethodNotAllowed(ProxyError):
    """A method that this resource of the cache itself does not take."""

    status = 405
    fault = Fault.CLIENT


class LoopDetected(ProxyError):
    """The request would reach this proxy again."""

    status = 508
    fault = Fault.CLIENT


class UpstreamError(ProxyError):
    """The origin (or the parent proxy) failed."""

    status = 502
    fault = Fault.ORIGIN


class UpstreamUnreachable(UpstreamError):
    """No connection: the name does not resolve, or nothing accepts."""


class UpstreamTimeout(UpstreamError):
    """Connected, then silent for longer than allowed."""

    status = 504


class UpstreamMalformed(UpstreamError):
    """The answer is not HTTP as RFC 9112 has it."""


class BrokenOff(UpstreamError):
    """A body ended short and could not be continued; the client's connection has to break."""

    status = 504


class StoreError(ProxyError):
    """The cache folder cannot be used."""

    status = 503


class NoSpace(StoreError):
    """No room to keep a body (ENOSPC, or the reserve is reached): serve it, do not store it."""


class ConfigError(Exception):
    """A configuration that does not parse: names the file, the key, the value and what is accepted."""
