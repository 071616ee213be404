"""Whether an origin asks for a client's certificate, found out by a handshake of its own."""

from __future__ import annotations

import select
import ssl
from functools import partial

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.net.layered_tls import LayeredTls
from pyproxycache.net.stream import Stream

_FROM_SERVER = "read"
_HANDSHAKE, _CERTIFICATE_REQUEST = 22, 13
_SECONDS = 5.0


def requests_certificate(stream: Stream, host: str) -> bool:
    """Whether the server at the stream's other end asks for a certificate (RFC 8446 section 4.3.2).

    Nothing is sent but a handshake, in which the server is not verified; the stream is of no use then.
    """
    requested = False

    def note(*message: object) -> None:
        nonlocal requested
        _connection, direction, _version, content, kind, _data = message
        if direction == _FROM_SERVER and content == _HANDSHAKE and kind == _CERTIFICATE_REQUEST:
            requested = True

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # The only way in which Python tells of it. Too costly for connections that carry answers.
    context._msg_callback = note  # type: ignore[attr-defined]
    secured = LayeredTls(stream, partial(context.wrap_bio, server_hostname=host.removesuffix(".")))
    deadline = clock.steady() + _SECONDS
    with Blocking():
        while True:
            try:
                secured.shake()
            except BlockingIOError:
                left = deadline - clock.steady()
                if left > 0 and secured.wait(select.POLLIN, left):
                    continue
            except (OSError, ValueError):
                pass
            return requested
