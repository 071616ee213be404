"""A client of HTTP/2 by the library h2, which is strict with what it gets, and frames of any kind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

Fields = list[tuple[str, str]]


@dataclass
class Answered:
    """What a client got on one stream: heads, content, and how it ended: whole, or reset by a code."""

    fields: list[dict[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False
    reset: int | None = None

    @property
    def status(self) -> str:
        return self.fields[-1][":status"]

    @property
    def is_over(self) -> bool:
        return self.is_whole or self.reset is not None


class StrictClient:
    """Says what a client has to send, and notes what it gets; what must not be sent to it is an exception.

    While it does not `reads`, it opens no window.
    """

    def __init__(self, *, window: int = 65535) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        if window != 65535:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.answers: dict[int, Answered] = {}
        self.goaway: int | None = None
        self.reads = True
        self._uploads: dict[int, bytes] = {}

    def begin(self, fields: Fields, content: bytes | None = None) -> int:
        """Begin a request; returns its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.answers[stream] = Answered()
        self.h2.send_headers(stream, fields, end_stream=content is None)
        if content is not None:
            self._uploads[stream] = content
            self._upload()
        return stream

    def receive(self, data: bytes) -> bytes:
        """Take what has come; returns what is to be sent because of it."""
        for event in self.h2.receive_data(data):
            answered = self.answers.get(getattr(event, "stream_id", None) or -1, Answered())
            match event:
                case h2.events.ResponseReceived() | h2.events.InformationalResponseReceived():
                    answered.fields.append(dict(event.headers))  # type: ignore[arg-type]
                case h2.events.DataReceived():
                    answered.body += event.data or b""
                    if self.reads:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    answered.is_whole = True
                case h2.events.StreamReset():
                    answered.reset = int(event.error_code)
                    self._uploads.pop(event.stream_id, None)
                case h2.events.ConnectionTerminated():
                    self.goaway = int(event.error_code or 0)
        with suppress(h2.exceptions.ProtocolError):  # it has been told that the connection ends
            self._upload()
        return self.h2.data_to_send()

    def _upload(self) -> None:
        for stream, left in list(self._uploads.items()):
            rest = left
            while rest:
                count = min(
                    len(rest), self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size
                )
                if count <= 0:  # the server may have made it smaller meanwhile
                    break
                self.h2.send_data(stream, rest[:count])
                rest = rest[count:]
            self._uploads[stream] = rest
            if not rest:
                self.h2.end_stream(stream)
                del self._uploads[stream]


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    return len(payload).to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload
