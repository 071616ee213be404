"""The options of mirrors and presets, as those of other components in options.py."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from pyproxycache.options import Age, HostPattern, OriginUrl
from pyproxycache.url import Url

MirrorName = Annotated[str, "mirror name"]
DatabaseName = Annotated[str, "database name"]
CredentialsPlace = Annotated[str, "credentials"]
PackagePattern = Annotated[str, "package pattern"]
BlockedPackage = Annotated[str, "blocked package"]


class MirrorUpstreamOptions(Struct, frozen=True, kw_only=True):
    """A URL that has a mirror's packages, and where the cache's own credentials for it are.

    `credentials` is the path of a file with user:password or a token, env:VARIABLE, or netrc.
    """

    url: OriginUrl
    credentials: CredentialsPlace | None = None


class MirrorOptions(Struct, frozen=True, kw_only=True):
    """A mirror: the ecosystem of its packages, and the URLs of what it mirrors, which are asked in turn.

    With `own_first` the first has packages of its own, which are not taken from others while it fails.
    Files that its documents name on other hosts are fetched from those that fit `file_hosts`. `registries`
    are names by which clients of an image registry mean it, besides the hosts of its upstreams. `verify`
    says what is done with files that have other digests than are stated. `sumdb` has the URLs of databases
    of Go's checksums by their names. Releases younger than `min_age` are given only for packages that fit
    `min_age_except`; those in `block` never.
    """

    ecosystem: Annotated[str, "ecosystem"]
    upstream: tuple[MirrorUpstreamOptions, ...]
    own_first: bool = False
    file_hosts: tuple[HostPattern, ...] = ("*",)
    registries: tuple[str, ...] = ()
    verify: Annotated[str, "verify"] = "strict"
    sumdb: dict[DatabaseName, OriginUrl] = {}
    min_age: Age | None = None
    min_age_except: tuple[PackagePattern, ...] = ()
    block: tuple[BlockedPackage, ...] = ()

    @property
    def urls(self) -> tuple[Url, ...]:
        """The URLs of its upstreams, in their order."""
        return tuple(one.url for one in self.upstream)


class UseOptions(Struct, frozen=True, kw_only=True):
    """An ecosystem whose rules count on these hosts for what clients ask by themselves, below `path`.

    Without hosts they are those that the clients of this machine are configured with. The rest is as in
    MirrorOptions.
    """

    ecosystem: Annotated[str, "ecosystem"]
    hosts: tuple[HostPattern, ...] = ()
    path: Annotated[str, "url path"] = "/"
    min_age: Age | None = None
    min_age_except: tuple[PackagePattern, ...] = ()
    block: tuple[BlockedPackage, ...] = ()
