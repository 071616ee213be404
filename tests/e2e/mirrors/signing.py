"""A host that redirects to another one, at addresses that this one answers for a while only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from origin import Asked, Content, Origin, Resource

KEPT = 300
"""Seconds for which an address says that it is good."""


class SigningHost:
    """Files put on `front`, which redirects each request to an address of its own on `blobs`.

    Only the newest address is answered; `outdated` of the addresses given next are none of these.
    """

    def __init__(self, front: Origin, blobs: Origin) -> None:
        self.front = front
        self.blobs = blobs
        self.outdated = 0
        self._newest = 0

    def put(
        self,
        path: str,
        body: bytes | Content,
        *,
        headers: Iterable[tuple[str, str]] = (),
        by: str = "",
        **options: Any,
    ) -> None:
        """Put a file; `headers` are those of the redirect, the options those of the file.

        `by` is another path of the front, to which a redirect leads first.
        """
        file = Resource(body, **options)
        blob = f"/blob{path}"
        self.blobs.put(blob, handler=lambda asked: self._blob(asked, file))
        self.front.put(by or path, handler=lambda _asked: self._redirect(blob, headers))
        if by:
            self.front.put(path, status=302, headers=[("Location", by)])

    def signatures(self, path: str) -> list[str]:
        """The queries by which the blob of a path was asked for."""
        return [asked.local_target.partition("?")[2] for asked in self.blobs.asked(f"/blob{path}")]

    def _redirect(self, blob: str, headers: Iterable[tuple[str, str]]) -> Resource:
        end = int(time.time()) + KEPT
        if self.outdated:
            self.outdated -= 1
            number = "ended"
        else:
            self._newest += 1
            number = str(self._newest)
        location = self.blobs.url(f"{blob}?sig={number}&Expires={end}")
        return Resource(b"see there", status=302, headers=[("Location", location), *headers])

    def _blob(self, asked: Asked, file: Resource) -> Resource:
        if f"sig={self._newest}&" not in asked.target:
            return Resource(b"<Error>AccessDenied</Error>", status=403)
        return file
