"""One exchange with an origin: the head of its answer, and the body as it arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import BrokenOff, UpstreamMalformed, UpstreamTimeout
from pyproxycache.facts import ByteCount, Facts, OriginConnected
from pyproxycache.http1.response_bodies import head_and_body, may_persist
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.upstream.connection import OriginConnection


class Exchange(Body):
    """One answer being received, which has to be read to its end or closed.

    `length` is the body's in bytes, None if it is not known before its end. `peer` is the origin's IP
    address, "" if only the parent knows it. Bytes read are counted in the facts' `received`. `keep` is
    called with the connection if it can carry another request; None: it is closed. Raises
    UpstreamMalformed.
    """

    def __init__(
        self,
        connection: OriginConnection,
        received: ParsedHead,
        method: str,
        peer: str,
        facts: Facts,
        keep: Callable[[OriginConnection], None] | None,
    ) -> None:
        self.head, self._body = head_and_body(received, method, connection.reader)
        self.length = self._body.length
        self.peer = peer
        facts.note(OriginConnected(connection.peer, connection.hop.through_parent))
        self._connection = connection
        is_last = connection.has_sent_content or not may_persist(received, method, self._body)
        self._keep = None if is_last else keep
        self._received = facts.received
        # Reentrant: the garbage collector may close a reader, and this with it, while the lock is held.
        self._lock = threading.RLock()
        self._open = True  # guarded by _lock: once false, the connection may serve another request
        self._missing: int | None = None
        self._at_end: Callable[[], None] | None = None
        if self._body.ended:
            self._finish()

    def expect(self, count: int) -> None:
        """Have read() raise BrokenOff unless exactly `count` more bytes come, whatever the framing says."""
        self._missing = count

    def read(self) -> bytes:
        """The next bytes of the body as soon as there are any; b"" at its end.

        Raises BrokenOff if the body ends early, UpstreamTimeout after too long a silence.
        """
        if not self._open:
            return self._end()
        try:
            data = self._body.read()
        except TimeoutError as error:
            self.close()
            raise UpstreamTimeout("the origin fell silent in the middle of the body") from error
        except (OSError, EOFError, UpstreamMalformed) as error:
            self.close()
            raise BrokenOff(f"the origin broke off: {error or type(error).__name__}") from error
        self._received.add(len(data))
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing < 0:
                self.close()
                raise BrokenOff("the origin sent more than it had announced")
        if self._body.ended:
            self._finish()
        return data or self._end()

    def _end(self) -> bytes:
        if self._missing:
            missing, self._missing = self._missing, None
            raise BrokenOff(f"the origin left out the last {missing} bytes")
        return b""

    def at_hand(self, limit: int, patience: float = 0.0) -> bytes | None:
        """The whole body if it has arrived and has at most `limit` bytes; else None, with nothing read.

        One whose length is known may take `patience` seconds more: many origins send it behind its head.
        """
        if not self._open:
            return b""
        body = self._body.at_hand(limit)
        if body is None and self.length is not None and self.length <= limit:
            until = clock.steady() + patience
            while body is None and self._connection.reader.gets_more(until):
                body = self._body.at_hand(limit)
        if body is not None:
            self._received.add(len(body))
            self._finish()
        return body

    def __next__(self) -> bytes:
        data = self.read()
        if not data:
            raise StopIteration
        return data

    def end_by(self, deadline: float) -> None:
        """Have read() raise UpstreamTimeout from this time of the monotonic clock on (seconds)."""
        if self._open:
            self._connection.reader.deadline = deadline

    def count_in(self, received: ByteCount) -> None:
        """Count the bytes that are read from now on there."""
        self._received = received

    def break_off(self) -> None:
        """Wake the thread that reads the body, which finds its end; any thread may call this."""
        with self._lock:
            if self._open:
                self._connection.break_off()

    def pending(self) -> int:
        """About how many bytes of the body have arrived and were not read yet."""
        return self._connection.reader.pending() if self._open else 0

    def narrow(self) -> None:
        """Have the origin send little beyond what is on its way: no more is wanted."""
        if self._open:
            self._keep = None  # the connection stays slow
            self._connection.reader.narrow()

    def before_wait(self, call: Callable[[], None]) -> None:
        """Have this called each time before read() waits for the origin."""
        self._connection.reader.before_wait = call

    def at_end(self, call: Callable[[], None]) -> None:
        """Have this called once the answer has come to its end or is closed, which it may be already."""
        with self._lock:
            self._at_end = call if self._open else None
        if self._at_end is None:
            call()

    def _tell_of_end(self) -> None:
        call, self._at_end = self._at_end, None
        if call is not None:
            call()

    def _finish(self) -> None:
        """Keep the connection after the end of the body, if it can carry another request."""
        with self._lock:
            self._open = False
        self._tell_of_end()
        reader = self._connection.reader
        reader.before_wait = None
        has_more = self._missing or self._body.awaits_trailers or reader.buffered()
        if self._keep is not None and not has_more:
            self._connection.set_idle()
            self._keep(self._connection)
        else:
            self._connection.close()

    def close(self) -> None:
        """Give up the rest of the answer and close the connection; nothing happens after the end."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._tell_of_end()
            self._connection.close()
