"""A mirror: which URLs its paths stand for, and by which references clients reach files through it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyproxycache.errors import BadRequest, NotFound
from pyproxycache.front.requests.target import Wanted, wanted_url, with_colons
from pyproxycache.messages import OwnAccess
from pyproxycache.mirrors.ecosystem import Ecosystem
from pyproxycache.mirrors.repositories import base_of, is_below
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.url import Url, leads_upward

_ELSEWHERE = re.compile(r"~/(https?)/([^/?]+)(/.*)", re.DOTALL)
# A database of Go's checksums, and what is asked of it.
_DATABASE = re.compile(r"sumdb/([^/?]+)/(.*)", re.DOTALL)


@dataclass(frozen=True)
class Mirror:
    """A mirror as its clients know it: at /NAME/ of the cache, and files of other hosts at /NAME/~/.

    For the upstreams in `opened` the cache has credentials of its own. `databases` are those of checksums
    by their names, which are at /NAME/sumdb/; None where the ecosystem has no such. `own_first` is as in
    MirrorOptions.
    """

    name: str
    ecosystem: Ecosystem
    upstreams: tuple[Url, ...]
    file_hosts: HostPatterns
    opened: frozenset[Url] = frozenset()
    databases: Mapping[str, Url] | None = None
    own_first: bool = False

    def wanted(self, target: str) -> tuple[Wanted, ...]:
        """The URLs that answer a target below /NAME/, in the order in which they are asked.

        Raises BadRequest, and NotFound for a host that the mirror fetches no files from.
        """
        # Whatever host it is of: rules of paths, and of who gets which releases, count by the path.
        if leads_upward(f"/{target.partition('?')[0]}"):
            raise BadRequest("the path leads out of the mirror")
        elsewhere = _ELSEWHERE.fullmatch(target)
        if elsewhere:
            scheme, authority, rest = elsewhere.groups()
            wanted = wanted_url(f"{scheme}://{with_colons(authority)}{rest}")
            if self._upstream_of(str(wanted.url)) is None and not self.file_hosts.fits(wanted.url.host):
                raise NotFound(f"mirrors.{self.name}.file_hosts does not have {wanted.url.host}")
            return (wanted,)
        if self.databases is not None and (database := _DATABASE.fullmatch(target)):
            return (Wanted(_below(self._database(database[1]), database[2])),)
        return tuple(Wanted(_below(one, target)) for one in self.upstreams)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The URLs below which the packages of its upstreams are, in the order in which they are asked."""
        return tuple(f"{one.origin}{base_of(one.path)}/" for one in self.upstreams)

    def offers(self, path: str) -> bool:
        """Whether the path asks if a database of checksums is here, and it is; raises NotFound."""
        asked = _DATABASE.fullmatch(path) if self.databases is not None else None
        return asked is not None and asked[2] == "supported" and bool(self._database(asked[1]))

    def _database(self, name: str) -> Url:
        """The URL of a database of checksums; raises NotFound, which has clients ask it themselves."""
        found = (self.databases or {}).get(name)
        if found is None:
            raise NotFound(f"mirrors.{self.name}.sumdb does not have {name}")
        return found

    def path_below(self, url: Url) -> str | None:
        """The path of a URL below its upstream's, without the slash before it; None if it is elsewhere."""
        upstream = self._upstream_of(str(url))
        return None if upstream is None else url.path[len(base_of(upstream.path)) + 1 :]

    def access(self, url: Url) -> OwnAccess | None:
        """What of the cache's own credentials a request to read the URL is sent with; None for nothing."""
        fitting = [one for one in self.upstreams if OwnAccess(one).covers(url)]
        if not fitting:
            return None
        upstream = max(fitting, key=lambda one: len(base_of(one.path)))
        space_of = self.ecosystem.token_space
        if space_of is not None:
            return OwnAccess(upstream, space_of(url.path[len(base_of(upstream.path)) + 1 :]))
        return OwnAccess(upstream) if upstream in self.opened else None

    def trusts(self, url: Url) -> bool:
        """Whether clients' credentials and cookies go to this URL: those of the mirror are for it, too.

        That is at its upstreams, of which only the first may be somebody's own, and on hosts that are named
        as those of its files, in TLS if the upstreams are. Others are named by documents alone.
        """
        own = self.upstreams[:1] if self.own_first else self.upstreams
        if any(one.origin == url.origin for one in own):
            return True
        is_as_safe = url.scheme == "https" or any(one.scheme == "http" for one in own)
        return is_as_safe and self.file_hosts.names(url.host)

    def upstreams_for(self, url: Url) -> tuple[Url, ...]:
        """The upstreams whose documents may name the file at this URL: its own, else all of them."""
        return tuple(one for one in self.upstreams if is_below(url, one)) or self.upstreams

    def reference(self, base: str, url: str) -> str:
        """The reference to a URL for clients that know the cache as `base` ("http://cache:3128")."""
        upstream = self._upstream_of(url)
        if upstream is not None:
            return f"{base}/{self.name}/{url[len(upstream.origin) + len(base_of(upstream.path)) + 1 :]}"
        scheme, mark, rest = url.partition("://")
        return f"{base}/{self.name}/~/{scheme}/{rest}" if mark and scheme in ("http", "https") else url

    def _upstream_of(self, url: str) -> Url | None:
        fitting = (one for one in self.upstreams if url.startswith(f"{one.origin}{base_of(one.path)}/"))
        return next(fitting, None)


def _below(base: Url, target: str) -> Url:
    return Url(base.scheme, base.host, base.port, f"{base_of(base.path)}/{target}")
