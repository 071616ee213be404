"""One answer from an origin: its head, and its body as it arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyproxycache.body import Body
from pyproxycache.errors import BrokenOff, UpstreamMalformed, UpstreamTimeout
from pyproxycache.http1.framing import framed, may_persist
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.outcome import Outcome
from pyproxycache.upstream.connection import OriginConnection


class Exchange(Body):
    """One answer being received, to be read to its end or closed.

    `length` is the body's (bytes), None where its end will tell; `peer` the origin's address, empty
    where only a parent proxy knows it. What is read counts in the outcome. `keep` gets the connection where
    it may carry another request; None: it must not. Raises UpstreamMalformed.
    """

    def __init__(
        self,
        connection: OriginConnection,
        received: ParsedHead,
        method: str,
        peer: str,
        outcome: Outcome,
        keep: Callable[[OriginConnection], None] | None,
    ) -> None:
        self.head, self._body = framed(received, method, connection.reader)
        self.length = self._body.length
        self.peer = peer
        outcome.peer, outcome.through_parent = connection.peer, connection.route.through_parent
        self._connection = connection
        is_last = connection.spent or not may_persist(received, method, self._body)
        self._keep = None if is_last else keep
        self._outcome = outcome
        self._lock = threading.Lock()
        self._open = True  # changed with the lock: behind that the connection is another's
        self._missing: int | None = None
        if self._body.ended:
            self._finish()

    def expect(self, count: int) -> None:
        """So many more bytes are known to belong to the body, whatever its framing says.

        Where fewer or more come, `read` raises BrokenOff.
        """
        self._missing = count

    def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end of a whole body.

        Raises BrokenOff when the body ends short, UpstreamTimeout after too long a silence.
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
        self._outcome.bytes_received += len(data)
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

    def at_hand(self, limit: int) -> bytes | None:
        """The whole body where it is here already and has at most `limit` bytes; else nothing is read."""
        if not self._open:
            return b""
        body = self._body.at_hand(limit)
        if body is not None:
            self._outcome.bytes_received += len(body)
            self._finish()
        return body

    def __next__(self) -> bytes:
        data = self.read()
        if not data:
            raise StopIteration
        return data

    def count_in(self, outcome: Outcome) -> None:
        """From here on, what is read counts there."""
        self._outcome = outcome

    def break_off(self) -> None:
        """Have the thread that reads it find its end; any other thread may call this."""
        with self._lock:
            if self._open:
                self._connection.break_off()

    def pending(self) -> int:
        """Bytes that have come already and were not read yet, about."""
        return self._connection.reader.pending() if self._open else 0

    def narrow(self) -> None:
        """What is on its way is still wanted, but not much more."""
        if self._open:
            self._keep = None  # it would stay slow
            self._connection.reader.narrow()

    def before_wait(self, call: Callable[[], None]) -> None:
        """Have this called each time before a read waits for the origin."""
        self._connection.reader.before_wait = call

    def _finish(self) -> None:
        """All of it is read: keep the connection if both sides can go on."""
        with self._lock:
            self._open = False
        self._connection.reader.before_wait = None
        is_at_its_end = not (self._missing or self._body.trails or self._connection.reader.ahead())
        if self._keep is not None and is_at_its_end:
            self._connection.rest()
            self._keep(self._connection)
        else:
            self._connection.close()

    def close(self) -> None:
        """Give the answer up; a connection with unread bytes is of no further use."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            self._connection.close()
