"""Brings a body into the store, across connections that break off."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain

from pyproxycache import clock
from pyproxycache.body import in_blocks
from pyproxycache.errors import BrokenOff, NoSpace, ProxyError, StoreError, UpstreamError, WrongContent
from pyproxycache.fetching.transfers.giving_up import give_up, is_resumable
from pyproxycache.fetching.transfers.inspection import Inspection
from pyproxycache.fetching.transfers.meeting_point import MeetingPoint
from pyproxycache.fetching.transfers.source import Source
from pyproxycache.options import FetchOptions
from pyproxycache.rules.digests import IntegrityCheck
from pyproxycache.rules.extents import shortened
from pyproxycache.store.ports import DownloadWriter, Room
from pyproxycache.store.values import End, Orphaned
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")

_UNPUBLISHED_BYTES = 1 << 20
_UNPUBLISHED_SECONDS = 0.005
_FRUITLESS = 3
"""Answers in a row that bring nothing new; after them the origin is taken to have no more."""
_PROGRESS = 64 << 10
"""New bytes for which the tries are counted anew: fewer could be had for ever."""
_FINISHED = 1 << 20
"""Bytes for which a download that nobody reads any more is not broken off."""


class Transfer:
    """Brings one body in and ends its flight.

    `again` gives another source, or None when it has ended the flight; it raises ProxyError. The
    `meeting_point` is there where others may bring in bytes of the same representation, which are left to
    them.
    """

    def __init__(
        self,
        options: FetchOptions,
        room: Room,
        stopping: threading.Event,
        writer: DownloadWriter,
        source: Source,
        again: Callable[[], Source | None],
        meeting_point: MeetingPoint | None,
        inspection: Inspection,
    ) -> None:
        self._options = options
        self._room = room
        self._stopping = stopping
        self._writer = writer
        self._source: Source | None = source
        self._again = again
        self._meeting_point = meeting_point
        self._inspection = inspection
        self._what = without_query(writer.key.cache_key)
        self._tried = 1
        self._fruitless = 0
        self._furthest = writer.size
        self._published = clock.steady()
        self._unpublished = 0  # bytes that followers have not been told of
        self._allowed = 0  # bytes that the file may have
        self._left = threading.Event()
        self._ebbs = False  # nobody reads it any more, and what is on its way is all that is taken

    def end(self) -> None:
        """Leave the rest to the next who asks: nobody waits for it. Any thread may call this."""
        self._left.set()
        if (source := self._source) is not None:
            source.exchange.break_off()

    def run(self) -> None:
        """Read to the end, with new tries where the origin breaks off; raises nothing."""
        try:
            while (source := self._source) is not None:
                try:
                    if self._bring_in(source):
                        return
                    self._source = self._another()
                except UpstreamError as error:
                    source.exchange.close()
                    self._note_gain()
                    self._source = self._next_source(error)
        except Exception:
            log.exception("the download of %s failed inside the cache", self._what)
            if not self._writer.ended:
                self._writer.finish(End.BROKEN, error=BrokenOff("the cache failed"))
        finally:
            if self._source is not None:
                self._source.exchange.close()

    def _bring_in(self, source: Source) -> bool:
        """Read to the end, or past what others have; whether it is over.

        Raises UpstreamError when the body ends short.
        """
        writer = self._writer
        check = self._integrity_check()
        source.exchange.before_wait(self._publish)
        if source.end is not None:
            source.exchange.expect(source.end - writer.size)
        for received in source.exchange:
            stop = self._stop(check)
            data = received if stop is None else received[: stop - writer.size]
            if why_not_storable := self._append(data):
                self._spill(source.exchange, received, why_not_storable, check)
                return True
            check.update(data)
            self._unpublished += len(data)
            if writer.size == source.end:
                break  # the last bytes go out with the end, so that who has them all finds them stored
            if not self._ebbs and self._is_left(check):
                self._ebbs = True
                source.exchange.narrow()
            run_dry = self._ebbs and not source.exchange.pending()
            if self._meeting_point is not None and (writer.size == stop or run_dry):
                source.exchange.close()
                return self._leave_to_others(self._meeting_point, check)
            late = clock.steady() - self._published > _UNPUBLISHED_SECONDS
            if late or self._unpublished > _UNPUBLISHED_BYTES:
                self._publish()
        self._store(check)
        return True

    def _stop(self, check: IntegrityCheck) -> int | None:
        """The offset in the body from which others have what follows; None if nobody has."""
        entry = self._writer.entry
        if self._meeting_point is None or entry is None or not self._may_end_early(check):
            return None
        found = self._meeting_point.before(entry.first_byte + self._writer.size)
        return None if found is None else found - entry.first_byte

    def _is_left(self, check: IntegrityCheck) -> bool:
        """Whether it is a part that nobody reads any more, nor can from here on, far from its end."""
        writer = self._writer
        part = writer.entry.part if writer.entry is not None else None
        if part is None or part.length - writer.size <= _FINISHED or not self._may_end_early(check):
            return False
        return writer.flight.close_if_left()

    def _may_end_early(self, check: IntegrityCheck) -> bool:
        """Whether the download may end before the body does: of a whole, or a part without a digest."""
        entry = self._writer.entry
        return entry is not None and (entry.part is None or not check.expected)

    def _leave_to_others(self, meeting_point: MeetingPoint, check: IntegrityCheck) -> bool:
        """A part ends here; a whole goes on behind what others have. Gives whether it is over."""
        writer = self._writer
        assert writer.entry is not None, "a body follows a head"
        self._publish()
        if writer.entry.part is None:
            self._take_over(meeting_point, check)
            if writer.size != meeting_point.total:
                return False
        elif writer.size:
            writer.end_here(shortened(writer.entry, writer.size))
        else:
            writer.finish(End.LOST)
            return True
        self._store(check)
        return True

    def _take_over(self, meeting_point: MeetingPoint, check: IntegrityCheck) -> None:
        """Copy what others have, or are bringing in, up to where that ends."""
        writer = self._writer
        before = -1
        while writer.size > before and (pieces := meeting_point.pieces(writer.size)) is not None:
            before = writer.size
            with closing(pieces), suppress(Orphaned, ProxyError, OSError):
                for data in in_blocks(pieces):
                    if self._append(data):
                        return  # the origin's next bytes meet the same obstacle, and are passed on
                    check.update(data)
                    if writer.size != meeting_point.total:
                        writer.publish_size()

    def _publish(self) -> None:
        """Tell the followers of new bytes, if there are any."""
        if self._unpublished:
            self._writer.publish_size()
        self._published, self._unpublished = clock.steady(), 0

    def _integrity_check(self) -> IntegrityCheck:
        """The check of the body, which has gone through what is there of it already."""
        writer = self._writer
        assert writer.entry is not None, "a body follows a head"
        check = self._inspection.check(writer.entry.head)
        writer.withheld = 1 if self._inspection.withholds(writer.entry.head, check) else 0
        if check.reads_the_body:
            for block in writer.file.blocks():
                check.update(block)
        return check

    def _append(self, data: bytes) -> str:
        """Write to the file, for which room is made; gives the error's text if that fails, else ""."""
        file = self._writer.file
        try:
            if file.size + len(data) > self._allowed:
                self._allowed = self._room.allow(file.size, len(data))
            try:
                file.write(data)
            except NoSpace:
                self._room.make_room(len(data))
                file.write(data)
        except (StoreError, OSError) as error:
            return str(error)
        return ""

    def _store(self, check: IntegrityCheck) -> None:
        writer = self._writer
        assert writer.entry is not None, "a body follows a head"
        digest = writer.file.digest()
        if wrong := check.mismatch(digest):
            # Clients have most of it, and what is fetched anew may be something else: the next one asks.
            writer.finish(End.BROKEN, error=_broken_off(self._inspection.refuse(wrong)))
            return
        found = replace(writer.entry, digest=digest, size=writer.size)
        entry = self._inspection.found(found, check)
        try:
            is_unread = self._inspection.read(entry, writer.file.blocks)
            writer.store(entry)
            self._inspection.review(entry)
            if is_unread:
                self._inspection.read_later(entry)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", self._what, error)
            writer.finish(End.UNSTORED)

    def _spill(
        self, exchange: Exchange, first: bytes, why_not_storable: str, check: IntegrityCheck
    ) -> None:
        """Go on without the file: its readers get the rest through memory, at the pace of the fastest."""
        writer = self._writer
        log.warning("%s is served but not stored: %s", self._what, why_not_storable)
        writer.withheld = 0  # more bytes follow
        writer.publish_size()
        self._unpublished = 0
        writer.unlist(clock.wall() + self._options.not_storable_for)
        total = writer.size
        rest: Iterable[bytes] = chain((first,), exchange)
        if check.expected:
            rest = self._checked(rest, check, writer.file.sha256())
        try:
            for data in rest:
                total += len(data)
                if not writer.feed_without_file(data, total):
                    break
            writer.finish(End.UNSTORED, total=total)
        except UpstreamError as error:
            writer.finish(End.BROKEN, error=error, total=total)

    def _checked(
        self, body: Iterable[bytes], check: IntegrityCheck, sha256: hashlib._Hash
    ) -> Iterator[bytes]:
        """The body, its last byte once the whole was checked; raises BrokenOff where it does not match.

        `sha256` is that of what came before.
        """
        last = b""
        for data in body:
            check.update(data)
            sha256.update(data)
            known = last + data
            last = known[-1:]
            if len(known) > 1:
                yield known[:-1]
        if wrong := check.mismatch(sha256.hexdigest()):
            raise _broken_off(self._inspection.refuse(wrong))
        yield last

    def _note_gain(self) -> None:
        """Count the try that broke off as fruitless if it brought nothing; count tries anew if much."""
        gained = self._writer.size - self._furthest
        self._furthest = max(self._furthest, self._writer.size)
        self._fruitless = 0 if gained > 0 else self._fruitless + 1
        if gained >= _PROGRESS:
            self._tried = 1

    def _next_source(self, error: ProxyError) -> Source | None:
        """Another answer to read from, after growing pauses; None when the flight has ended."""
        options, writer = self._options, self._writer
        if self._left.is_set():
            self._leave()
            return None
        if is_resumable(writer):  # else those who are given nothing more can begin anew
            writer.publish_size()
        while self._tried < options.tries and self._fruitless < _FRUITLESS:
            pause = min(options.pause * 2 ** min(self._tried - 1, 30), options.max_pause)
            if self._stopping.wait(pause):
                break
            self._tried += 1
            log.info("%s broke off at %d bytes (%s), try %d", self._what, writer.size, error, self._tried)
            try:
                return self._another()
            except ProxyError as next_error:
                error = next_error
        give_up(writer, End.BROKEN, error)
        return None

    def _another(self) -> Source | None:
        """Another source, unless the last reader has left; None when the flight has ended."""
        # Kept before that is looked at: whoever leaves from then on breaks this one off.
        source = self._source = self._again()
        if source is None or not self._left.is_set():
            return source
        source.exchange.close()
        self._leave()
        return None

    def _leave(self) -> None:
        """End the flight, which nobody reads, and keep what there is of it for the next request."""
        log.info("%s is left at %d bytes: no client waits for it", self._what, self._writer.size)
        entry = self._writer.entry
        if self._meeting_point is not None and entry is not None and entry.part is not None:
            check = self._integrity_check()
            if self._may_end_early(check):
                self._leave_to_others(self._meeting_point, check)
                return
        give_up(self._writer, End.LOST, None)


def _broken_off(wrong: WrongContent) -> BrokenOff:
    """The same for clients that have the head, and bytes."""
    return BrokenOff(str(wrong))
