"""What a package ecosystem is made of: rules for its paths, and documents that name its files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.policy import Policy

DAY = 86400.0
STALE_IF_ERROR = 7 * DAY
"""How stale an index may be to stand in for an upstream that fails, in seconds."""

ABSENT = frozenset({404, 410, 451})
"""The statuses by which a place says that it does not have a file."""

IMMUTABLE = Policy(immutable=True, stale_if_error=30 * DAY)
"""The policy of files whose content never changes."""

PASSED = Policy(no_store=True)
"""The policy of interfaces that are for one client at a time, such as a search."""


def index(fresh: float) -> Policy:
    """The policy of an index that is validated after so many seconds."""
    return Policy(fresh=fresh, stale_if_error=STALE_IF_ERROR)


def public(policy: Policy) -> Policy:
    """The policy where all who send no credentials get the same, whatever Cache-Control says of it."""
    return replace(policy, ignore=frozenset({"cache-control", "set-cookie"}), public=True)


def negotiated(policy: Policy) -> Policy:
    """The policy where upstreams choose the form by Accept, which not all of them say in Vary."""
    return replace(policy, varies=frozenset({"accept"}))


@dataclass(frozen=True, slots=True)
class PathRule:
    """The policy of paths; `path` has to match the beginning of what is below the upstream's URL.

    It begins without a slash: "simple/". A pattern for whole paths ends with $. With `heads_by_get` the
    upstream is asked by GET where a client sends HEAD, as that answer can be stored and given to others.
    With `shows_redirects` clients get redirects themselves, as their addresses tell something, and the
    policy is for these, too.
    """

    path: re.Pattern[str]
    policy: Policy
    heads_by_get: bool = False
    shows_redirects: bool = False


@dataclass(frozen=True, slots=True)
class DocumentReading:
    """What a document is read with: its own URL, and what is done with the files that it names.

    `link` takes a file's absolute URL, and gives the reference to be shown to the client. `is_shown` takes
    each file that is named, and says whether clients are to see it. Where a document is only read, and not
    shown, links stay as they are. `key` is the content of the document's `Document.key`, b"" where that is
    not known; then files may be named without a URL. `found_at` is where redirects led to the document, ""
    where none did.
    """

    url: str
    link: Callable[[str], str]
    is_shown: Callable[[NamedFile], bool]
    key: bytes = b""
    found_at: str = ""

    def absolute(self, reference: str, base: str = "") -> str:
        """The absolute URL that a reference in the document means; what is none stays as it is.

        `base` is the reference that the document says others count from, "" where it says none.
        """
        if reference.startswith(("https://", "http://")) and "/." not in reference:
            return reference  # most are so, by the hundred thousand
        try:
            return urljoin(urljoin(self.found_at or self.url, base), reference)
        except ValueError:  # one such link is no reason to give nobody the others
            return reference


ANY_TYPE = re.compile(r".*", re.DOTALL)
"""The media types of documents for which servers have many."""

NO_PAGE = re.compile(r"(?!text/html).*", re.DOTALL)
"""The same without that of pages for people, such as one to log in."""

Read = Callable[[Iterable[bytes], DocumentReading], Iterator[bytes]]
"""Gives the bytes of a document, in pieces of any size, as they are shown; raises DocumentError."""


@dataclass(frozen=True, slots=True)
class Document:
    """A kind of document that names files; `path` is as in PathRule, `media_type` matches as a whole.

    One without `has_links` is read for what it names, and given to clients as the upstream sent it: with
    its length, ranges and digests.
    """

    path: re.Pattern[str]
    media_type: re.Pattern[str]
    read: Read
    has_links: bool = True
    key: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """How upstreams are asked for paths (as in PathRule), where that is not left to the client.

    `accept` replaces its Accept.
    """

    path: re.Pattern[str]
    accept: str


@dataclass(frozen=True, slots=True)
class ByDigest:
    """Files at some paths that are also there under a name that has their digest; `path` is as in PathRule.

    `renamed` takes a path, and the digests (hex) that are stated of the file, by their algorithms; it gives
    the path of the same content, which counts where a document names it; None if there can be none.
    """

    path: re.Pattern[str]
    renamed: Callable[[str, Mapping[str, str]], str | None]


@dataclass(frozen=True, slots=True)
class Together:
    """Documents that change together, as metadata and the file of its digest; `path` is as in PathRule.

    It matches each of them, and its group `of` is what their paths begin with; `endings` are the rests.
    """

    path: re.Pattern[str]
    endings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ecosystem:
    """A package ecosystem; of `rules`, `documents`, `asking` and `together` the first that fits counts.

    `absent` are the statuses by which its clients know that something is not there, and look elsewhere.
    `token_space` is there where upstreams may ask for a token: it takes a path, and gives what one token is
    good for, as a repository. `hidden` are fields of answers, in lower case, that clients do not get.
    `document_at` takes a package's name, and gives the path of the document that names its files.
    `accepted` has what each of its clients accepts of that: an answer to one may be none to another.
    """

    name: str
    rules: tuple[PathRule, ...]
    documents: tuple[Document, ...] = ()
    absent: frozenset[int] = ABSENT
    token_space: Callable[[str], str] | None = None
    asking: tuple[Asking, ...] = ()
    by_digest: ByDigest | None = None
    hidden: frozenset[str] = frozenset()
    document_at: Callable[[str], str] | None = None
    accepted: tuple[str, ...] = ("*/*",)
    together: tuple[Together, ...] = ()

    def beside(self, path: str) -> tuple[str, ...]:
        """The paths of the documents that change together with the one at this path."""
        for one in self.together:
            if found := one.path.match(path):
                paths = (found["of"] + ending for ending in one.endings)
                return tuple(other for other in paths if other != path)
        return ()

    def document_path(self, package: str) -> str | None:
        """The path of the document that names the package's files; None if none is found by its name."""
        return self.document_at(package) if package and self.document_at is not None else None

    def keys_of(self, path: str) -> frozenset[str]:
        """The paths of the documents that are needed to read the one at this path."""
        return frozenset(one.key for one in self.documents if one.key and one.path.match(path))

    def document(self, path: str, media_type: str) -> Document | None:
        """The kind of document of this path and media type; None if it is none that names files."""
        fitting = (
            one for one in self.documents if one.path.match(path) and one.media_type.fullmatch(media_type)
        )
        return next(fitting, None)

    def heads_by_get(self, path: str) -> bool:
        """Whether the upstream is asked by GET where clients send HEAD for this path."""
        rule = next((one for one in self.rules if one.path.match(path)), None)
        return rule is not None and rule.heads_by_get

    def is_index(self, path: str) -> bool:
        """Whether clients get a document at this path as it is, or an index that one names."""
        by_digest = self.by_digest is not None and self.by_digest.path.match(path) is not None
        return by_digest or any(not one.has_links and one.path.match(path) for one in self.documents)

    def may_have_links(self, path: str) -> bool:
        """Whether there are documents at this path whose links are changed."""
        return any(one.has_links and one.path.match(path) for one in self.documents)

    def asked(self, path: str) -> Asking | None:
        """How upstreams are asked for this path; None: as the client asks."""
        return next((one for one in self.asking if one.path.match(path)), None)

    def shows_redirects(self, path: str) -> bool:
        """Whether clients get redirects from this path themselves."""
        return next((one.shows_redirects for one in self.rules if one.path.match(path)), False)
