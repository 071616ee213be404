"""How the documents of an ecosystem tell of releases: the protocol that each such ecosystem has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.cooldown.releases import Releases, ShownReleases
from pyproxycache.mirrors.ecosystem import DocumentReading


@dataclass(frozen=True, slots=True)
class ShownForm:
    """A form in which a document is shown: its media type, and how it is made of the document's bytes.

    `made` leaves out what is not shown; links in it are those of the document.
    """

    media_type: str
    made: Callable[[Iterable[bytes], DocumentReading, ShownReleases], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ReleaseDocument:
    """Documents of one media type; all functions raise DocumentError.

    `releases` reads those of the named package. The first of `forms` is that of clients who have no
    preference; one has this media type itself.
    """

    media_type: re.Pattern[str]
    releases: Callable[[Iterable[bytes], DocumentReading, str], Releases]
    forms: tuple[ShownForm, ...]


@dataclass(frozen=True, slots=True)
class AboutReleases:
    """Documents about one release, or about all with the newest as an example; paths are as below.

    `at` gives the package and what of it a path asks for: a version, a tag, or "" for the newest. `chosen`
    gives the version that it is shown for, and whether that is the one that the upstream has there itself.
    `path_of` takes package and version ("" for what the upstream has), and gives the path of the document
    which `made` makes the one about a version of.
    """

    at: Callable[[str], tuple[str, str] | None]
    chosen: Callable[[Releases, ShownReleases, str], tuple[str, bool] | None]
    path_of: Callable[[str, str], str]
    made: Callable[[Iterable[bytes], DocumentReading, ShownReleases, str], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ReleaseDocuments:
    """What is known of an ecosystem's releases; paths are below an upstream's URL, without %-encoding.

    `accept` asks for documents that tell times. Paths that `open_paths` matches tell nothing of releases,
    and name no files. `package_at` gives the package whose document is at a path, "" for none; `paths_of`
    is its opposite: where the document may be, as it is sent, below the upstream's own path. `packages_of`
    gives the packages that a file may belong to by its path, three at most, and `version_at` the version by
    path and package, "" where the URL has to be one that the document names. What `beside` finds in a path
    is to be taken out of it: such a file is one about another. `newest` chooses the version for a tag whose
    own is not shown. `key` is the path of another document that is needed to read these, as in
    Document.key.
    """

    naming: Naming
    accept: str
    documents: tuple[ReleaseDocument, ...]
    open_paths: re.Pattern[str]
    package_at: Callable[[str], str]
    paths_of: Callable[[str, str], tuple[str, ...]]
    packages_of: Callable[[str], tuple[str, ...]]
    version_at: Callable[[str, str], str]
    beside: re.Pattern[str]
    newest: Callable[[Iterable[str], str], str | None]
    key: str = ""
    about: AboutReleases | None = None

    def document(self, media_type: str) -> ReleaseDocument | None:
        """The documents of this media type; None if releases cannot be read in it."""
        return next((one for one in self.documents if one.media_type.fullmatch(media_type)), None)
