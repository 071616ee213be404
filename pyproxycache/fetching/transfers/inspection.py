"""What is looked at in a body before it is stored: whether it is what is stated, and the files it names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import StoreError, WrongContent
from pyproxycache.fetching.transfers.documents import Documents
from pyproxycache.messages import Entry, Head, Request
from pyproxycache.rules.digests import STRONG, DigestMismatch, ExpectedDigest, IntegrityCheck, Stated
from pyproxycache.rules.digests_in_names import digest_in_name, is_signed_manifest
from pyproxycache.rules.statements import in_force
from pyproxycache.statement import Statement
from pyproxycache.store.ports import StatedDigests
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import Statements
from pyproxycache.url import Url, without_query

log = logging.getLogger("pyproxycache.fetching")

_LONGEST_WAIT = 3.0
_LOOK_SECONDS = 0.05


class Inspection:
    """What is looked at in the body of one URL; of an answer that continues, in the same way.

    Of each item of `stated` the body has to be one; `others` are only compared. `made` are the statements
    that these were made of.
    """

    def __init__(
        self,
        url: Url,
        key: str,
        stated: tuple[tuple[Stated, ...], ...],
        others: tuple[Stated, ...],
        made: tuple[Statement, ...],
        *,
        has_failed: bool,
        store: StatedDigests,
        documents: Documents,
    ) -> None:
        self._url = url
        self._key = key
        self._stated = stated
        self._others = others
        self._made = made
        self._store = store
        self._documents = documents
        self.has_failed = has_failed
        """Whether a body had another digest lately, so that caches on the way are not to be believed."""

    @property
    def is_proving(self) -> bool:
        """Whether there is one safe digest of the file, which bodies have to match."""
        return any(len(item) == 1 and _is_safe(item[0]) for item in self._stated)

    def check(self, head: Head) -> IntegrityCheck:
        """The check of a body with this head."""
        return (
            IntegrityCheck(head)
            if is_signed_manifest(head)
            else IntegrityCheck(head, self._stated, self._others)
        )

    def withholds(self, head: Head, check: IntegrityCheck) -> bool:
        """Whether nobody is to have the body's last byte before it was looked at."""
        return check.is_binding or self._documents.known(self._url, head) is not None

    def refuse(self, wrong: DigestMismatch) -> WrongContent:
        """Note and log that a body is not stored; gives the error that tells of it."""
        log.warning("%s is not stored: the body does not match its %s", without_query(self._key), wrong)
        with logging_store_errors("note the mismatch of", self._key):
            self._store.note_mismatch(self._key)
        return WrongContent(f"the body the origin sent does not match its {wrong}")

    def found(self, entry: Entry, check: IntegrityCheck) -> Entry:
        """The entry of a body that has gone through the check, and is not refused."""
        others = check.mismatches(entry.digest)
        for other in others:
            log.warning("%s does not match its %s", without_query(self._key), other)
        return replace(
            entry,
            is_proven=check.is_proven(entry.digest) and not others,
            is_disputed=check.is_disputed(entry.digest),
        )

    def read(self, entry: Entry, blocks: Callable[[], Iterable[bytes]]) -> bool:
        """Read a document before anyone has its end; True if that is to go on once it is stored."""
        known = self._documents.known(self._url, entry.head)
        return known is not None and not self._documents.read_at_once(known, entry.size, blocks())

    def read_later(self, entry: Entry) -> None:
        """Read a document that is stored now, in the background."""
        if (known := self._documents.known(self._url, entry.head)) is not None:
            self._documents.read_later(known, entry)

    def review(self, entry: Entry) -> None:
        """Hold the body, which is stored now, against what was stated while it arrived."""
        with logging_store_errors("see what is stated of", entry.key):
            if self._store.of(self._key).made != self._made:
                self._store.review(self._key)

    def read_again(self, entry: Entry) -> None:
        """Read a document that was validated, in the background, if it was not read for long."""
        if (known := self._documents.known(self._url, entry.head)) is not None:
            self._documents.read_again(known, entry)


class Inspections:
    """Makes the inspection of each body; `is_binding` says of a URL whether what its name states counts."""

    def __init__(
        self, store: StatedDigests, documents: Documents, is_binding: Callable[[Url], bool | None]
    ) -> None:
        """`is_binding` gives None where nothing is checked."""
        self._store = store
        self._documents = documents
        self._is_binding = is_binding

    def of(self, request: Request, key: str, *, waits: bool = False) -> Inspection:
        """The inspection of the body that the request is answered with.

        `waits`: for documents of its origin that are being read in any process, three seconds at most.
        """
        known, url = Statements(), request.url
        try:
            known = self._store.of(key)
            if waits and known.may_follow and not known.made:
                known = self._awaited(url.origin, key) or known
        except StoreError as error:
            log.warning("what is stated of %s is not known: %s", without_query(key), error)
        items = [in_force(key, known.made, request.repositories)]
        if request.stated is None:
            items.append(in_force(key, known.made))  # others get it, too
        else:
            items = [_of_text(request.stated, items[0])]
        stated = [tuple(map(_expected, item)) for item in dict.fromkeys(items)]
        if (is_binding := self._is_binding(url)) is not None:
            stated.append((tuple(replace(one, is_binding=is_binding) for one in digest_in_name(url.path)),))
        others = () if request.stated is not None else (one for one in known.made if one.is_binding)
        return Inspection(
            url,
            key,
            tuple(item for item in stated if any(item)),
            tuple(map(_expected, others)),
            known.made,
            has_failed=known.has_failed,
            store=self._store,
            documents=self._documents,
        )

    def _awaited(self, origin: str, key: str) -> Statements | None:
        """What is known of the file once the documents of its origin are read; None if nothing more is."""
        until, found, pause = clock.steady() + _LONGEST_WAIT, None, threading.Event()
        with Blocking():
            while clock.steady() < until and self._store.is_being_read(origin):
                pause.wait(_LOOK_SECONDS)
                found = self._store.of(key)
                if found.made:
                    break
        return found


def _expected(one: Statement) -> Stated:
    document = without_query(one.document or one.repository)
    return tuple(
        ExpectedDigest("stated digest", algorithm, digest, document, one.is_binding)
        for algorithm, digest in one.digests
    )


def _of_text(stated: str, made: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statement of these digests: that which was made, or else one that was made when it was asked."""
    known = tuple(one for one in made if one.text == stated)
    pairs = (one.partition(":") for one in stated.split())
    return known[:1] or (Statement("", tuple((algorithm, digest) for algorithm, _, digest in pairs)),)


def _is_safe(stated: Stated) -> bool:
    return any(one.algorithm in STRONG and one.is_binding for one in stated)
