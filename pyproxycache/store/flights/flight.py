"""One download as its followers see it: head, growing file, and how it ended."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from pyproxycache.body import FileSlice, Piece
from pyproxycache.net.closing import close_file
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.overflow import OverflowBuffer
from pyproxycache.store.files.writing import write_all
from pyproxycache.store.flights.flight_reader import FlightReader, why_broken
from pyproxycache.store.flights.flight_rows import Claim
from pyproxycache.store.flights.readers import Readers
from pyproxycache.store.values import End, Orphaned, Progress

_LARGEST_SLICE = 16 << 20


class LocalFlight:
    """A flight as this process has it: led by one of its threads, or followed from another process.

    The leader, or the RemoteFlightReader, publishes; any number of threads wait and read. All fields are
    guarded by the Condition `_changed`; descriptors are closed when the leader and all readers have left.
    `claim` is set once it is known who leads; `token` is that of the claim made for this flight.
    `head_was_known`: another process leads, and had the head before this one began to follow. `body` is the
    whole body where it came with its head.
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
        self._holders = 1  # of the descriptors: who publishes, and each reader
        self._readers = Readers()
        self._waiting = 0  # threads that wait for the head, or for the file
        self._overflow: OverflowBuffer | None = None
        self._wakers: list[Callable[[], None]] = []  # of readers that wait without a thread
        self._on_change: Callable[[bool], None] | None = None

    # Publishing: the leader's side.

    def tell_of_readers(self, on_change: Callable[[bool], None] | None) -> None:
        """Have `on_change` called with False when the last reader leaves, with True when one comes again.

        The thread that leaves or comes calls it. Followers in other processes count as readers.
        """
        with self._changed:
            self._on_change = on_change

    def _tell_of_readers(self, were_there: bool) -> None:
        """Call `on_change` if the last reader has left or a first one has come.

        Without the lock, because the leader may end the flight in it.
        """
        with self._changed:
            are_there, tell = self._readers.are_there, self._on_change
        if tell is not None and are_there is not were_there:
            tell(are_there)

    def publish(self, progress: Progress) -> None:
        """Replace the progress, and wake everyone who waits."""
        with self._changed:
            self._progress = progress
            self._changed.notify_all()
        self._wake()

    def _wake(self) -> None:
        """Call the `wake` of everyone who waits without a thread; without the lock."""
        with self._changed:
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def open_file(self, fd: int) -> None:
        """Hand over the descriptor of the growing file; the flight closes it."""
        with self._changed:
            self._fds.append(fd)
            self._changed.notify_all()

    def content(self, size: int) -> bytes | None:
        """The first `size` bytes of the file; None where the disk does not give them."""
        with self._changed, contextlib.suppress(OSError):
            body = os.pread(self._fds[-1], size, 0) if self._fds else b""
            return body if len(body) == size else None
        return None

    def end_whole(self, body: bytes, progress: Progress) -> None:
        """Publish the end of the flight; from here on its readers read the whole `body` from memory."""
        with self._changed:
            self.body = body
        self.publish(progress)

    @property
    def partial(self) -> str:
        """The name of the growing file; empty where there is none."""
        return self.claim.partial if self.claim is not None else ""

    def is_current(self) -> bool:
        """Whether new followers may join: not purged, nor lost by its leader. Raises StoreError."""
        return self.claim is None or self._claim_is_current(self.claim)

    def is_awaited(self) -> bool:
        """Whether anybody waits for the head, here or in another process."""
        with self._changed:
            return bool(self._wakers) or self._waiting > 0 or self._readers.follow_elsewhere

    def is_untouched(self) -> bool:
        """Whether no client can have bytes of the body."""
        with self._changed:
            return not self._readers.may_have_bytes(self._progress.size)

    def begin_anew(self, fd: int, progress: Progress) -> None:
        """Continue with a new body in a new file; readers with bytes of the old one break off."""
        with self._changed:
            self._fds.append(fd)
            self._progress = progress
            self._changed.notify_all()
        self._wake()

    def append_overflow(self, data: bytes, progress: Progress) -> bool:
        """Pass on bytes that the file has no room for; False when no reader is left.

        Waits for the fastest reader. Those too far behind it find the body orphaned where the file ends.
        """
        with self._changed:
            overflow = self._overflow = self._overflow or OverflowBuffer(self._progress.size)
            self._changed.wait_for(lambda: not self._readers.are_here or self._makes_room(overflow))
            if not self._readers.are_here:
                overflow.close()
                return False
            overflow.append(data)
            self._progress = progress
            self._changed.notify_all()
        self._wake()
        return True

    def _makes_room(self, overflow: OverflowBuffer) -> bool:
        return self._readers.make_room(overflow, self._progress.size)

    # Waiting: the followers' side.

    def progress(self) -> Progress:
        """What is known now."""
        with self._changed:
            return self._progress

    def wait_change(self, seen: Progress | None, seconds: float | None = None) -> Progress:
        """What is known as soon as it is another value than `seen`, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._progress is not seen, seconds)
            return self._progress

    def wait_head(self) -> Progress:
        """What is known as soon as the head is, or the flight has ended."""
        with self._changed:
            self._wait_until(lambda: self._progress.tells_head)
            return self._progress

    def is_there(self) -> bool:
        """Whether the head is known, or the flight has ended."""
        return self.progress().tells_head

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called once when the progress changes; False if `is_there` holds already."""
        with self._changed:
            if self._progress.tells_head:
                return False
            self._wakers.append(wake)
            return True

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call `wake` any more."""
        with self._changed:
            self._wakers = [one for one in self._wakers if one != wake]

    def wait(self) -> None:
        """Return when the head is known, or the flight has ended."""
        self.wait_head()

    def _wait_until(self, ready: Callable[[], object]) -> None:
        """Wait until `ready`, counted among those who wait; the caller holds the lock."""
        self._waiting += 1
        try:
            self._changed.wait_for(ready)
        finally:
            self._waiting -= 1

    def wait_file(self, seconds: float) -> bool:
        """Wait for a file or the end, `seconds` at most; gives whether there is one of them."""
        with self._changed:
            return self._changed.wait_for(self._has_file_or_end, seconds)

    def _has_file_or_end(self) -> bool:
        return (bool(self._fds) and not self._readers.is_closed) or self._progress.end is not None

    def open_again(self) -> tuple[int, int]:
        """Open the growing file for another process; gives the descriptor and the file's number.

        Waits for the file. Raises Orphaned if the flight is over and has none, OSError if it cannot be
        opened.
        """
        with self._changed:
            self._wait_for_file(0)
            if self.body is not None:
                return _in_memory(self.body), 0
            self._readers.note_opened_elsewhere()
            # Opened anew, not duplicated: each process counts its own reads of the same bytes.
            return os.open(f"/proc/self/fd/{self._fds[-1]}", os.O_RDONLY | os.O_CLOEXEC), len(self._fds) - 1

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Count another process as a follower for the length of the block."""
        with self._changed:
            before = self._readers.are_there
            self._readers.follow(1)
        self._tell_of_readers(before)
        try:
            yield
        finally:
            with self._changed:
                before = self._readers.are_there
                self._readers.follow(-1)
            self._tell_of_readers(before)

    def close_if_left(self) -> bool:
        """Admit no more readers if all there were have left, in other processes too; gives whether so."""
        with self._changed:
            return self._readers.close_if_left()

    def _wait_for_file(self, start: int) -> None:
        self._wait_until(self._has_file_or_end)
        if self._readers.is_closed or (not self._fds and self.body is None):
            raise Orphaned(start)

    def read(
        self, answered: Progress, start: int, stop: int | None, *, given: bool = False
    ) -> FlightReader:
        """The body from `start` up to `stop` (None: its end) as it arrives.

        `answered` is the progress that the client's head was made of; `given`: the client has bytes before
        `start`. The file is held from this call on. Raises Orphaned where the flight is over and has no
        file; the reader raises it when the leader has died, and BrokenOff when the body ended short, or
        began anew too late for its client.
        """
        return FlightReader(self, answered, start, stop, given)

    def add_reader(self, start: int) -> int:
        """Hold the file for one more reader, from `start` on; gives its number. Raises Orphaned."""
        with self._changed:
            self._wait_for_file(start)
            if self._overflow is not None and not self._overflow.reaches_back_to(start):
                raise Orphaned(start)
            before = self._readers.are_there
            self._holders += 1
            number = self._readers.add(start)
        self._tell_of_readers(before)
        return number

    def next_piece(
        self, reader: FlightReader, wake: Callable[[], None] | None
    ) -> tuple[bool, Piece | None]:
        """Whether the reader can go on, and its next piece: None at the end of a whole body.

        Without `wake` it waits; with it, it gives False instead of waiting, and `wake` is called once when
        there may be something.
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
        self._readers.move(reader.number, reader.offset)
        if self._overflow is not None:
            self._changed.notify_all()

    def _can_go_on(self, reader: FlightReader) -> bool:
        """Whether there is a piece or the end for the reader, which accepts a body begun anew if it can."""
        if not reader.can_go_on(self._progress):
            return False
        if self._progress.generation != reader.answered.generation:
            reader.start_anew(self._progress)
            return reader.can_go_on(self._progress)
        return True

    def _piece_for(self, reader: FlightReader) -> Piece | None:
        """The reader's next piece; None at the end of a whole body."""
        now = self._progress
        if (
            self._overflow
            and self._readers.is_left_behind(reader.number)
            and reader.offset >= self._overflow.file_end
        ):
            raise Orphaned(reader.offset)
        if now.size > reader.offset:
            self._readers.given = reader.given = True
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
        if self._overflow is not None:
            if offset >= self._overflow.file_end:
                return self._overflow.read(offset, stop)
            stop = min(stop, self._overflow.file_end)
        return FileSlice(self._fds[-1], offset, min(stop - offset, _LARGEST_SLICE))

    def leave(self, reader: int | None = None) -> None:
        """Let go of the file, for the leader's side (None) or for the reader with this number."""
        unused: list[int] = []
        with self._changed:
            before = self._readers.are_there
            if reader is not None:
                self._readers.remove(reader)
                self._changed.notify_all()
            self._holders -= 1
            if self._holders == 0:
                unused, self._fds = self._fds, unused
        for fd in unused:
            close_file(fd)
        self._tell_of_readers(before)


def _in_memory(body: bytes) -> int:
    """A descriptor of a file in memory with these bytes; raises OSError."""
    fd = os.memfd_create("body", os.MFD_CLOEXEC)
    try:
        write_all(fd, body, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd
