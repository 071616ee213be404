"""The server's side of TLS handshakes, step by step and without waiting."""

from __future__ import annotations

import re
import ssl

from pyproxycache.errors import reason
from pyproxycache.net.layered_tls import LayeredTls, MakeEnd
from pyproxycache.net.stream import Stream

_READ = 64 << 10
_REFUSALS = {
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_UNKNOWN_CA",
}
"""The alerts, as OpenSSL names them, of clients that do not accept a certificate."""
_NOTHING_IN_COMMON = {
    "NO_SHARED_CIPHER",
    "NO_SHARED_GROUP",
    "NO_SHARED_SIGNATURE_ALGORITHMS",
    "NO_SUITABLE_KEY_SHARE",
    "NO_SUITABLE_SIGNATURE_ALGORITHM",
    "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW",
}
"""What OpenSSL says of clients to whom none of its protocols, ciphers and certificates is known."""

# A record of a handshake begins with 22 (RFC 8446 section 5.1), a request with a letter or an empty line.
_BEGINS_TEXT = re.compile(rb"[A-Za-z\r\n]")


class NoHandshake(Exception):
    """The client has sent text, as HTTP is, where its handshake was to begin."""


class HandshakeFailed(Exception):
    """The handshake cannot be finished; the text says why, for the log.

    `is_refusal`: the client does not accept the certificate, or is too old for it.
    """

    def __init__(self, text: str, *, is_refusal: bool = False) -> None:
        super().__init__(text)
        self.is_refusal = is_refusal


class LeftByClient(HandshakeFailed):
    """The client has gone once it was answered, without a reason."""


class ServerHandshake:
    """The handshake with a client over a stream, which belongs to this and to its `stream`.

    `stream` is the connection as it is at the time: the one below before the client's first byte and after
    a failure, else that in TLS. Its descriptor stays the same. `end` makes the server's end of TLS, when
    the first byte has come. `early` are bytes that were read from the stream before, or for NoHandshake.
    `has_begun`: the client has sent something.
    """

    def __init__(self, below: Stream, end: MakeEnd, early: bytes = b"") -> None:
        self.has_begun = bool(early)
        self.stream: Stream = below
        self.early = early
        self._below = below
        self._make_end = end
        self._secured: LayeredTls | None = None

    @property
    def protocol(self) -> str | None:
        """The protocol that client and server have agreed on (ALPN, RFC 7301); None if on none."""
        return None if self._secured is None else self._secured.protocol

    @property
    def server_name(self) -> str:
        """The name that the client has asked the server for (SNI, RFC 6066); "" for none."""
        return "" if self._secured is None else self._secured.server_name

    @property
    def is_readable(self) -> bool:
        """Whether there may be more to read behind the handshake that no event will report."""
        return self._secured is None or self._secured.is_readable

    def advance(self) -> None:
        """Take the steps that are possible now; returns once the handshake is over.

        Raises BlockingIOError if more has to come, or to be sent, first; NoHandshake; HandshakeFailed;
        ConnectionError if the client has gone before it sent anything.
        """
        try:
            if self._secured is None:
                self._secured = self._begun()
                self.stream = self._secured
            self._secured.shake()
        except (BlockingIOError, NoHandshake):
            raise
        except (OSError, ValueError) as error:
            if not self.has_begun:
                raise ConnectionError(reason(error)) from error
            # As a plain one again, the client can be left to read an alert before its end.
            self.stream = self._below
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> HandshakeFailed:
        if not isinstance(error, ssl.SSLEOFError | ConnectionError):
            is_refusal = getattr(error, "reason", None) in _REFUSALS | _NOTHING_IN_COMMON
            return HandshakeFailed(reason(error), is_refusal=is_refusal)
        was_answered = self._secured is not None and self._secured.has_answered
        return (LeftByClient if was_answered else HandshakeFailed)("the client broke it off")

    def _begun(self) -> LayeredTls:
        """The stream in TLS, once the client has begun with that."""
        if not self.early:
            self.early = self._below.recv(_READ)
            if not self.early:
                raise ConnectionError("it has gone")
        self.has_begun = True
        if _BEGINS_TEXT.match(self.early):
            raise NoHandshake
        early, self.early = self.early, b""
        return LayeredTls(self._below, self._make_end, early)
