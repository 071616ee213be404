"""What a peer does wrong in HTTP/2, by the codes of RFC 9113 section 7."""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Http2Fault(Exception):
    """What the peer has done wrong; `code` is what it is told, the text is for the log."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class ConnectionFault(Http2Fault):
    """A fault after which the connection cannot go on (RFC 9113 section 5.4.1)."""


class StreamFault(Http2Fault):
    """A fault that ends one stream (RFC 9113 section 5.4.2)."""
