"""Files that documents name, with the digests that these state."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.rules.digests import ExpectedDigest


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that a document names by its absolute URL ("" where it does not tell that), with its digests.

    `package` and `version` say what the file belongs to, "" where the document does not.
    """

    url: str
    digests: tuple[ExpectedDigest, ...] = ()
    package: str = ""
    version: str = ""
