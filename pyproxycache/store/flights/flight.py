"""One download as its followers see it: head, growing file, and how it ended."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from pyproxycache.body import FileSlice, Piece
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.overflow import OverflowBuffer
from pyproxycache.store.flights.claims import Claim
from pyproxycache.store.flights.flight_reader import FlightReader, why_broken
from pyproxycache.store.values import End, Orphaned, Progress

_LARGEST_SLICE = 16 << 20


class LocalFlight:
    """A download in progress, led by a thread of this process or mirrored from another one.

    The leader (or the mirror's feed) publishes; any number of threads wait and read. All fields are
    guarded by the Condition `_changed`; descriptors are closed when leader and readers are done.
    `claim` is there once it is known who has it; `token` is that of the claim made for this flight.
    `head_was_known`: another process leads, and had the head before this one followed. `body` is the whole
    of one that never grew.
    """

    def __init__(self, key: FlightKey, token: str, claim_is_current: Callable[[Claim], bool]) -> None:
        """`claim_is_current` tells whether a claim was neither purged nor taken from a silent leader."""
        self._claim_is_current = claim_is_current
        self.key = key
        self.token = token
        self.claim: Claim | None = None
        self.body: bytes | None = None
        self.head_was_known = False
        self._changed = threading.Condition()
        self._progress = Progress()
        self._fds: list[int] = []  # the last is that of the file being written; readers may be in any
        self._holders = 1  # the leader or the feed; each reader adds one
        self._readers: dict[int, int] = {}  # reader number to the offset it has reached
        self._left_behind: set[int] = set()  # readers that were too slow for a body without a file
        self._reader_count = 0
        self._remote_followers = 0  # that there ever were
        self._followers = 0  # of them, those that are there
        self._closed = False  # to readers that have not joined yet
        self._waiting = 0  # threads that wait for the head, or for the file
        self._given = False  # bytes of this body to a reader of this process
        self._tail: OverflowBuffer | None = None
        self._wakers: list[Callable[[], None]] = []  # of readers that wait without a thread
        self._on_change: Callable[[bool], None] | None = None

    # Publishing: the leader's side.

    def tell_of_readers(self, on_change: Callable[[bool], None] | None) -> None:
        """Have this called when the last reader has left, with False, and when there is one again.

        By the thread of who leaves or comes. Others that follow in other processes count as readers.
        """
        with self._changed:
            self._on_change = on_change

    def _note_readers(self, before: int) -> None:
        """Outside of the lock, for what is told may end the flight."""
        with self._changed:
            now, tell = len(self._readers) + self._followers, self._on_change
        if tell is not None and bool(now) is not bool(before):
            tell(bool(now))

    def publish(self, progress: Progress) -> None:
        """Replace what is known and wake everyone who waits."""
        with self._changed:
            self._progress = progress
            self._changed.notify_all()
        self._wake()

    def _wake(self) -> None:
        """Have those look again who wait without a thread."""
        with self._changed:
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def open_file(self, fd: int) -> None:
        """Hand over the descriptor that readers read from; the flight closes it."""
        with self._changed:
            self._fds.append(fd)
            self._changed.notify_all()

    def content(self, size: int) -> bytes | None:
        """So many bytes from the file; None where there is none, or where the disk does not give them."""
        with self._changed, contextlib.suppress(OSError):
            body = os.pread(self._fds[-1], size, 0) if self._fds else b""
            return body if len(body) == size else None
        return None

    def end_whole(self, body: bytes, progress: Progress) -> None:
        """The end of a body that came all at once, and is read from memory."""
        with self._changed:
            self.body = body
        self.publish(progress)

    @property
    def partial(self) -> str:
        """The name of the growing file; empty where there is none."""
        return self.claim.partial if self.claim is not None else ""

    def is_current(self) -> bool:
        """Whether it still runs, or is about to, and was not purged. Raises StoreError."""
        return self.claim is None or self._claim_is_current(self.claim)

    def is_awaited(self) -> bool:
        """Whether anybody waits for the head, here or in another process."""
        with self._changed:
            return bool(self._wakers) or self._waiting > 0 or self._followers > 0

    def is_untouched(self) -> bool:
        """Whether no client can have been given bytes of the body."""
        with self._changed:
            return not self._given and not (self._remote_followers and self._progress.size)

    def begin_anew(self, fd: int, progress: Progress) -> None:
        """Go on with a new body in a new file; those who were given bytes of the old one break off."""
        with self._changed:
            self._fds.append(fd)
            self._progress = progress
            self._changed.notify_all()
        self._wake()

    def append_tail(self, data: bytes, progress: Progress) -> bool:
        """Feed bytes that the file has no room for, at the pace of the fastest reader; false: none is left.

        Those who are too far behind it find the body orphaned where the file ends, or where they are.
        """
        with self._changed:
            tail = self._tail = self._tail or OverflowBuffer(self._progress.size)
            self._changed.wait_for(lambda: not self._readers or self._makes_room(tail))
            if not self._readers:
                tail.close()
                return False
            tail.append(data)
            self._progress = progress
            self._changed.notify_all()
        self._wake()
        return True

    def _makes_room(self, tail: OverflowBuffer) -> bool:
        """Whether there is room; where the fastest reader has all there is, without the slowest."""
        while not tail.has_room(min(self._readers.values())):
            if max(self._readers.values()) < self._progress.size:
                return False
            slowest = min(self._readers, key=self._readers.__getitem__)
            del self._readers[slowest]
            self._left_behind.add(slowest)
        return True

    # Waiting: the followers' side.

    def progress(self) -> Progress:
        with self._changed:
            return self._progress

    def wait_change(self, seen: Progress | None, seconds: float | None = None) -> Progress:
        """What there is now, as soon as it differs from what was `seen`, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._progress is not seen, seconds)
            return self._progress

    def wait_head(self) -> Progress:
        """As soon as the head is known or the flight has ended."""
        return self._wait_for(lambda now: now.tells_head)

    def is_there(self) -> bool:
        """Whether the head is known, or the flight has ended."""
        return self.progress().tells_head

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have this called when there is something new; false where the head is known or the end came."""
        with self._changed:
            if self._progress.tells_head:
                return False
            self._wakers.append(wake)
            return True

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call this any more."""
        with self._changed:
            self._wakers = [one for one in self._wakers if one != wake]

    def wait(self) -> None:
        """Return when the head is known, or the flight has ended."""
        self.wait_head()

    def _wait_for(self, ready: Callable[[Progress], bool]) -> Progress:
        with self._changed:
            self._wait_until(lambda: ready(self._progress))
            return self._progress

    def _wait_until(self, ready: Callable[[], object]) -> None:
        """With the lock held."""
        self._waiting += 1
        try:
            self._changed.wait_for(ready)
        finally:
            self._waiting -= 1

    def wait_file(self, seconds: float) -> bool:
        """Whether within so many seconds there is a file, or the flight has ended."""
        with self._changed:
            return self._changed.wait_for(self._has_file_or_end, seconds)

    def _has_file_or_end(self) -> bool:
        return (bool(self._fds) and not self._closed) or self._progress.end is not None

    def open_again(self) -> tuple[int, int]:
        """Another descriptor for the file being written, and the file's number; waits until there is one.

        Raises Orphaned when the flight is over, with no file or none any more.
        """
        with self._changed:
            self._wait_for_file(0)
            if self.body is not None:
                return _in_memory(self.body), 0
            self._remote_followers += 1
            # Opened anew, not duplicated: each process counts its own reads of the same bytes.
            return os.open(f"/proc/self/fd/{self._fds[-1]}", os.O_RDONLY | os.O_CLOEXEC), len(self._fds) - 1

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """While somebody in another process follows."""
        with self._changed:
            before = len(self._readers) + self._followers
            self._followers += 1
        self._note_readers(before)
        try:
            yield
        finally:
            with self._changed:
                before = len(self._readers) + self._followers
                self._followers -= 1
            self._note_readers(before)

    def close_if_left(self) -> bool:
        """Let nobody read any more if all who did, here or in other processes, have left."""
        with self._changed:
            was_read = self._reader_count or self._remote_followers
            self._closed = bool(was_read) and not self._readers and not self._followers
            return self._closed

    def _wait_for_file(self, start: int) -> None:
        self._wait_until(self._has_file_or_end)
        if self._closed or (not self._fds and self.body is None):
            raise Orphaned(start)

    def read(
        self, answered: Progress, start: int, stop: int | None, *, given: bool = False
    ) -> FlightReader:
        """The body from `start` up to `stop` (or its end) as it arrives.

        `answered` is what the client's head was made of; `given` says that bytes before `start` went to
        the client already. The file is held from this call on. Raises BrokenOff when the body ended
        short or began anew too late for this reader, Orphaned when its leader is gone.
        """
        return FlightReader(self, answered, start, stop, given)

    def add_reader(self, start: int) -> int:
        with self._changed:
            self._wait_for_file(start)
            if self._tail is not None and not self._tail.reaches_back_to(start):
                raise Orphaned(start)
            before = len(self._readers) + self._followers
            self._holders += 1
            self._reader_count += 1
            number = self._reader_count
            self._readers[number] = start
        self._note_readers(before)
        return number

    def next_piece(
        self, reader: FlightReader, wake: Callable[[], None] | None
    ) -> tuple[bool, Piece | None]:
        """Whether there is something, and the piece, None at the end of a whole body.

        With `wake` it waits for nothing: that is called once there may be something.
        """
        with self._changed:
            self._note_place(reader)
            while not self._can_go_on(reader):
                if wake is not None:
                    self._wakers.append(wake)
                    return False, None
                self._changed.wait()
            return True, self._piece_for(reader)

    def _note_place(self, reader: FlightReader) -> None:
        if reader.number in self._left_behind:
            return
        self._readers[reader.number] = reader.offset
        if self._tail is not None:
            self._changed.notify_all()

    def _can_go_on(self, reader: FlightReader) -> bool:
        """Whether there is a piece or an end; a body begun anew is accepted on the way."""
        if not reader.can_go_on(self._progress):
            return False
        if self._progress.generation != reader.answered.generation:
            reader.start_anew(self._progress)
            return reader.can_go_on(self._progress)
        return True

    def _piece_for(self, reader: FlightReader) -> Piece | None:
        """What the reader gets now; None at the end of a whole body."""
        now = self._progress
        if reader.number in self._left_behind and self._tail and reader.offset >= self._tail.file_end:
            raise Orphaned(reader.offset)
        if now.size > reader.offset:
            self._given = reader.given = True
            stop = now.size if reader.stop is None else min(reader.stop, now.size)
            return self._piece(reader.offset, stop)
        if now.end in (End.STORED, End.UNSTORED):
            return None
        if now.end in (End.ORPHANED, End.LOST, End.PASSED):
            raise Orphaned(reader.offset)
        raise why_broken(now, "the origin broke off")

    def _piece(self, offset: int, stop: int) -> Piece:
        if self.body is not None:
            return self.body[offset:stop]
        if self._tail is not None:
            if offset >= self._tail.file_end:
                return self._tail.read(offset, stop)
            stop = min(stop, self._tail.file_end)
        return FileSlice(self._fds[-1], offset, min(stop - offset, _LARGEST_SLICE))

    def leave(self, reader: int | None = None) -> None:
        """The leader (None) or a reader is done with the file."""
        with self._changed:
            before = len(self._readers) + self._followers
            if reader is not None:
                self._readers.pop(reader, None)
                self._left_behind.discard(reader)
                self._changed.notify_all()
            self._holders -= 1
            if self._holders == 0:
                for fd in self._fds:
                    os.close(fd)
                self._fds.clear()
        self._note_readers(before)


def _in_memory(body: bytes) -> int:
    """A descriptor of a file with these bytes that is on no disk."""
    fd = os.memfd_create("body", os.MFD_CLOEXEC)
    os.write(fd, body)
    return fd
