"""Documents that name files, read as they are stored: what they state is known before clients have them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import islice

from pyproxycache import clock
from pyproxycache.body import in_blocks
from pyproxycache.errors import BadRequest, StoreError
from pyproxycache.messages import Entry, Head
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import bounded, plain_pieces, readable_coding
from pyproxycache.mirrors.ecosystem import Document, DocumentReading
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.repositories import Repository, Verify
from pyproxycache.rules.grammar import media_type
from pyproxycache.rules.redirection import found_at
from pyproxycache.rules.urls import parse_url
from pyproxycache.store.ports import Bodies, EntryIndex, StatedDigests
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import BodyGone, StatedFile
from pyproxycache.url import Url, without_query

log = logging.getLogger("pyproxycache.mirrors")

_LARGEST_AT_ONCE = 8 << 20
_SECONDS_AT_ONCE = 5.0
"""What a document may have, and how long clients wait for its last byte, where it is read before that."""
_LARGEST = 1 << 30
_SECONDS = 120.0
"""The same for those that are read in the background; the size is that without a content coding."""
_LARGEST_KEY = 64 << 10
_PIECES_OF_KEY = 16
_MOST_FILES = 300_000
_MOST_WAITING = 100
_WEEK = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document at a URL, and how it is read; `key` is another one that is needed for that.

    `repository` is the URL of the place of packages that it is of, `found_at` is as in DocumentReading.
    """

    url: str
    repository: str
    document: Document
    coding: str
    is_binding: bool
    key: Url | None
    found_at: str


class Documents:
    """Reads documents that have arrived, and notes what they state of files.

    `repository` gives the place of packages that a URL is of, `key` the cache key of a URL. One document is
    read at a time by the threads that store them, and where that takes long, one more in the background.
    """

    def __init__(
        self,
        stated: StatedDigests,
        index: EntryIndex,
        bodies: Bodies,
        repository: Callable[[Url], Repository | None],
        key: Callable[[Url], str],
    ) -> None:
        self._stated = stated
        self._index = index
        self._bodies = bodies
        self._repository = repository
        self._key = key
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._waiting: set[str] = set()  # changed in one step, without a lock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="documents")

    def known(self, url: Url, head: Head) -> KnownDocument | None:
        """What is to be read of an answer of this URL; None if it is no document that names files."""
        if head.status != 200:
            return None
        place = self._repository(url)
        if place is None or place.verify is Verify.OFF:
            return None
        document = place.ecosystem.document(place.path_below(url), media_type(head.headers))
        coding = readable_coding(head.headers)
        if document is None or coding is None:
            return None
        key = replace(url, target=f"{place.base}/{document.key}") if document.key else None
        is_binding = place.verify is Verify.STRICT
        return KnownDocument(
            str(url), place.address(url), document, coding, is_binding, key, found_at(head)
        )

    def read_at_once(self, known: KnownDocument, size: int, blocks: Iterable[bytes]) -> bool:
        """Read a document that nobody has all of yet; False if it has to be read later.

        That is noted then, so that who asks for a file of it meanwhile can wait. Raises nothing.
        """
        until = clock.steady() + _SECONDS_AT_ONCE
        if size <= _LARGEST_AT_ONCE and self._turn.acquire(timeout=_SECONDS_AT_ONCE):
            try:
                if self._read(known, blocks, until):
                    return True
            finally:
                self._turn.release()
        with logging_store_errors("note the reading of", known.url):
            self._stated.begin_reading(known.url)
        return False

    def read_later(self, known: KnownDocument, entry: Entry) -> None:
        """Read a document that is stored, in the background, unless too many wait for that."""
        if known.url in self._waiting or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting.add(known.url)
        try:
            self._pool.submit(self._read_stored, known, entry)
        except RuntimeError:  # shutting down, or no more threads
            self._waiting.discard(known.url)

    def read_again(self, known: KnownDocument, entry: Entry) -> None:
        """Read a document that was validated, in the background, if it was not read for a week.

        What nobody has stated for long is forgotten.
        """
        with logging_store_errors("see when it was read last:", known.url):
            if not self._stated.was_read_since(known.url, clock.wall() - _WEEK):
                self.read_later(known, entry)

    def close(self) -> None:
        """Begin to read nothing more, and leave what is being read to who validates it next."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_stored(self, known: KnownDocument, entry: Entry) -> None:
        try:
            with closing(self._bodies.open(entry.digest, entry.size, 0, entry.size)) as body:
                is_read = self._read(known, in_blocks(body), clock.steady() + _SECONDS)
                if not is_read and not self._stopping.is_set():
                    log.warning("%s is not read to its end: it takes too long", without_query(known.url))
        except (BodyGone, StoreError, OSError) as error:
            log.info("%s cannot be read: %s", without_query(known.url), error)
        except Exception:
            log.exception("reading %s failed inside the cache", without_query(known.url))
        finally:
            self._waiting.discard(known.url)
            if not self._stopping.is_set():
                with logging_store_errors("note the end of the reading of", known.url):
                    self._stated.end_reading(known.url)

    def _read(self, known: KnownDocument, blocks: Iterable[bytes], until: float) -> bool:
        """Note what the document states; False where the time (steady seconds) was over before its end."""
        try:
            files = self._files(known, blocks, until)
            changed = self._stated.state(known.url, known.repository, files, is_binding=known.is_binding)
            self._stated.end_reading(known.url)
        except _TooLongError:
            return False
        except (DocumentError, StoreError, OSError) as error:
            log.warning("what %s states of files is not known: %s", without_query(known.url), error)
            return True
        except Exception:
            log.exception("reading %s failed inside the cache", without_query(known.url))
            return True
        log.debug("%s states something new of %d files", without_query(known.url), changed)
        return True

    def _files(self, known: KnownDocument, blocks: Iterable[bytes], until: float) -> Iterator[StatedFile]:
        """What the document states, as it is read; raises DocumentError and _TooLongError."""
        named: list[NamedFile] = []

        def note(file: NamedFile) -> bool:
            if file.digests and file.url and len(named) < _MOST_FILES:
                named.append(file)
            return True

        reading = DocumentReading(known.url, lambda url: url, note, self._key_of(known), known.found_at)
        count = 0
        for _piece in known.document.read(bounded(plain_pieces(blocks, known.coding), _LARGEST), reading):
            if clock.steady() > until or self._stopping.is_set():
                raise _TooLongError
            for file in named:
                if (stated := self._stated_file(file)) is not None:
                    count += 1
                    yield stated
            named.clear()
            if count > _MOST_FILES:
                log.warning("%s names more files than are noted", without_query(known.url))
                return
        yield from filter(None, map(self._stated_file, named))

    def _key_of(self, known: KnownDocument) -> bytes:
        """The content of the other document that is needed to read this one; empty if it is not stored."""
        if known.key is None:
            return b""
        for entry in self._index.variants(self._key(known.key), 1):
            coding = readable_coding(entry.headers)
            if entry.status != 200 or coding is None or entry.size > _LARGEST_KEY:
                continue
            with suppress(BodyGone):
                return self._content(entry, coding)
        return b""

    def _content(self, entry: Entry, coding: str) -> bytes:
        """The beginning of a stored body, up to 1 MB without its coding; raises BodyGone."""
        with closing(self._bodies.open(entry.digest, entry.size, 0, entry.size)) as body:
            return b"".join(islice(plain_pieces(in_blocks(body), coding), _PIECES_OF_KEY))

    def _stated_file(self, file: NamedFile) -> StatedFile | None:
        """What is stated of the file, by its cache key; None if its URL is none."""
        try:
            key = self._key(parse_url(file.url))
        except BadRequest:
            return None
        return StatedFile(key, tuple((one.algorithm, one.digest) for one in file.digests))


class _TooLongError(Exception):
    """There is no more time to read the document."""
