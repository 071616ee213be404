"""Set-Cookie rewritten for clients that know the origin by the cache's address (RFC 6265 section 4.1.2)."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.url import Url

Shown = Callable[[str], str | None]
"""Takes a Set-Cookie's value; gives the one for the client, None if it is to get none."""


def behind_prefix(base: Url) -> Shown:
    """Cookies for clients that put the URL `base` behind the cache's address, limited to its origin.

    As all origins have the cache's address there, clients would send a cookie to the others too, if it had
    no path that begins with its origin.
    """

    def shown(value: str) -> str:
        pair, attributes = _attributes(value)
        path = _path(attributes) or _default_path(base)
        return "; ".join((pair, *_other_than(attributes, "domain", "path"), f"Path=/{base.origin}{path}"))

    return shown


def below_upstream(upstream: Url, prefix: str = "", others: frozenset[str] = frozenset()) -> Shown:
    """Cookies for a reverse proxy's clients: without the upstream's domain, and with the proxy's paths.

    These are the upstream's behind the `prefix`. `others` are the hosts of further upstreams, whose paths
    are the same ones.
    """
    base, hosts = upstream.target.rstrip("/"), others | {upstream.host}

    def shown(value: str) -> str:
        pair, attributes = _attributes(value)
        names = [_value(one).removeprefix(".").lower() for one in attributes if _name(one) == "domain"]
        path = _path(attributes)
        if names and names[-1] in hosts:
            attributes = _other_than(attributes, "domain")
        if (base or prefix) and path is not None and f"{path}/".startswith(f"{base}/"):
            attributes = [*_other_than(attributes, "path"), f"Path={prefix}{path[len(base) :] or '/'}"]
        return "; ".join((pair, *attributes))

    return shown


def none(_value: str) -> None:
    """No cookies: for clients whose requests have one path for all origins."""


def _attributes(value: str) -> tuple[str, list[str]]:
    pair, *attributes = value.split(";")
    return pair, [one.strip(" \t") for one in attributes]


def _other_than(attributes: list[str], *names: str) -> list[str]:
    return [one for one in attributes if _name(one) not in names]


def _path(attributes: list[str]) -> str | None:
    """The value of the last Path attribute if it begins with "/" (RFC 6265 sections 5.2.4 and 5.3)."""
    paths = [_value(one) for one in attributes if _name(one) == "path"]
    return paths[-1] if paths and paths[-1].startswith("/") else None


def _default_path(base: Url) -> str:
    """The URL's path up to its last slash (RFC 6265 section 5.1.4), or the last one before a semicolon."""
    return f"{base.path.partition(';')[0].rpartition('/')[0]}/"


def _name(attribute: str) -> str:
    return attribute.partition("=")[0].strip(" \t").lower()


def _value(attribute: str) -> str:
    return attribute.partition("=")[2].strip(" \t")
