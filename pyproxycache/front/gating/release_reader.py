"""Reads what documents tell of releases, each once for all clients that ask for it."""

from __future__ import annotations

import logging
from hashlib import sha256

from pyproxycache.errors import UpstreamError
from pyproxycache.front.gating.asking import pieces_of, validator_of
from pyproxycache.front.gating.known_releases import KnownReleases
from pyproxycache.messages import Request
from pyproxycache.mirrors.cooldown.release_documents import ReleaseDocument, ReleaseDocuments
from pyproxycache.mirrors.cooldown.releases import Releases
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import readable_coding
from pyproxycache.mirrors.ecosystem import DocumentReading
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.response import Response
from pyproxycache.rules.grammar import media_type
from pyproxycache.rules.redirection import found_at
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.mirrors")

_MOST_BYTES = 1 << 30


class ReleaseReader:
    """Reads an ecosystem's documents, and remembers what they tell; safe to call from any thread.

    `key` is the content of the document that is needed to read them, as in DocumentReading.
    """

    def __init__(self, documents: ReleaseDocuments, known: KnownReleases) -> None:
        self._documents = documents
        self._known = known

    def document(self, response: Response) -> ReleaseDocument | None:
        """How the document in the response is read; None if it has no form that can be read."""
        headers = response.head.headers
        if readable_coding(headers) is None:
            return None
        return self._documents.document(media_type(headers))

    def known(self, asked: Request, response: Response, key: bytes) -> Releases | None:
        """What the document tells, if it was read and has not changed since; else None."""
        return self._known.of(str(asked.url), validator_with(response, key))

    def read(
        self, response: Response, document: ReleaseDocument, asked: Request, package: str, key: bytes
    ) -> Releases:
        """What the document tells, which is remembered; closes the body, and raises ProxyError."""
        url, validator = str(asked.url), validator_with(response, key)
        reading = DocumentReading(url, str, _no_file, key, found_at(response.head))
        try:
            with self._known.in_turn(url):
                known = self._known.of(url, validator)
                if known is not None:
                    return known
                releases = document.releases(pieces_of(response, _MOST_BYTES), reading, package)
                self._known.keep(url, validator, releases)
                return releases
        except DocumentError as error:
            log.warning("%s cannot be read: %s", without_query(url), error)
            raise UpstreamError(f"the document is not what its ecosystem has: {error}") from error
        finally:
            response.body.close()


def validator_with(response: Response, key: bytes) -> str:
    """What changes when the document does, or what it is read by; "" if nothing tells."""
    validator = validator_of(response.head)
    return f"{validator} {sha256(key).hexdigest()}" if validator and key else validator


def _no_file(_file: NamedFile) -> bool:
    return False
