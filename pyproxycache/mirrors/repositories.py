"""Where packages are: below the URL of a mirror's upstream, or on hosts that clients ask themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pyproxycache.mirrors.ecosystem import Ecosystem
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.url import Url

TAKEN_NAMES = ("api", "ca", "http", "https", "v2")
"""Names that no mirror can have, as paths of the cache itself begin with them."""


class Verify(Enum):
    """What is done with a body that has another digest than is stated of its file."""

    STRICT = "strict"
    """It is refused."""
    WARN = "warn"
    """It is given and stored, and the log tells of it."""
    OFF = "off"
    """Nothing is compared, and documents are not read for it."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A place with packages of one ecosystem: URLs below the path `base`, which has no slash at its end.

    They are of one `origin` (as in Url.origin), or of `hosts`, whatever scheme and port; None is any.
    """

    ecosystem: Ecosystem
    base: str
    origin: str | None = None
    hosts: HostPatterns | None = None
    verify: Verify = Verify.STRICT

    def has(self, url: Url) -> bool:
        """Whether the URL is one of this place."""
        return (
            (self.origin is None or self.origin == url.origin)
            and (self.hosts is None or self.hosts.fits(url.host))
            and url.target.startswith(f"{self.base}/")
        )

    def address(self, url: Url) -> str:
        """The URL of the place at the origin of this URL, which is one of it; it ends with a slash."""
        return f"{url.origin}{self.base}/"

    def path_below(self, url: Url) -> str:
        """The path of one of its URLs below the base, as path rules match it: no slash before it."""
        return url.path[len(self.base) + 1 :]


def repository_at(ecosystem: Ecosystem, upstream: Url, verify: Verify = Verify.STRICT) -> Repository:
    """The place of packages below this URL."""
    return Repository(ecosystem, base_of(upstream.path), upstream.origin, verify=verify)


def base_of(path: str) -> str:
    """The path without the slashes at its end, as a Repository has it."""
    return path.rstrip("/")


def is_below(url: Url, upstream: Url) -> bool:
    """Whether the URL is one below this."""
    return url.origin == upstream.origin and url.target.startswith(f"{base_of(upstream.path)}/")


def in_order(repositories: Iterable[Repository]) -> tuple[Repository, ...]:
    """The places in the order in which they are looked through: those within others before these.

    Otherwise mirrors and presets keep the order of the configuration.
    """
    return tuple(sorted(repositories, key=lambda one: -len(one.base)))


def repository_of(url: Url, repositories: Iterable[Repository]) -> Repository | None:
    """The first of these places, which are in_order(), that has the URL; None if none has."""
    return next((one for one in repositories if one.has(url)), None)
