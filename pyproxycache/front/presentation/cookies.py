"""Cookies, shown to clients that know the origin by another address (RFC 6265 section 4.1.2)."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.messages import Url

Shown = Callable[[str], str | None]
"""A Set-Cookie as the client is to have it; None where it is to have none."""


def behind_prefix(base: Url) -> Shown:
    """Cookies of clients that put the URL `base` behind the cache's address: for its origin alone.

    All origins have the cache's address there: without a path of its own, what one of them sets clients
    would send to each of the others.
    """

    def shown(value: str) -> str:
        pair, attributes = _attributes(value)
        path = _path(attributes) or _default_path(base)
        return "; ".join((pair, *_other_than(attributes, "domain", "path"), f"Path=/{base.origin}{path}"))

    return shown


def below_upstream(upstream: Url) -> Shown:
    """Cookies of a reverse proxy's clients: the upstream's own name and path are the proxy's."""
    base = upstream.target.rstrip("/")

    def shown(value: str) -> str:
        pair, attributes = _attributes(value)
        names = [_value(one).removeprefix(".").lower() for one in attributes if _name(one) == "domain"]
        path = _path(attributes)
        if names and names[-1] == upstream.host:
            attributes = _other_than(attributes, "domain")
        if base and path is not None and f"{path}/".startswith(f"{base}/"):
            attributes = [*_other_than(attributes, "path"), f"Path={path[len(base) :] or '/'}"]
        return "; ".join((pair, *attributes))

    return shown


def none(_value: str) -> None:
    """Of clients that have one path for all origins."""


def _attributes(value: str) -> tuple[str, list[str]]:
    pair, *attributes = value.split(";")
    return pair, [one.strip(" \t") for one in attributes]


def _other_than(attributes: list[str], *names: str) -> list[str]:
    return [one for one in attributes if _name(one) not in names]


def _path(attributes: list[str]) -> str | None:
    """The last one counts, where it is one (RFC 6265 sections 5.2.4 and 5.3)."""
    paths = [_value(one) for one in attributes if _name(one) == "path"]
    return paths[-1] if paths and paths[-1].startswith("/") else None


def _default_path(base: Url) -> str:
    """Up to the last slash (RFC 6265 section 5.1.4), or that before a semicolon, which would end it."""
    return f"{base.path.partition(';')[0].rpartition('/')[0]}/"


def _name(attribute: str) -> str:
    return attribute.partition("=")[0].strip(" \t").lower()


def _value(attribute: str) -> str:
    return attribute.partition("=")[2].strip(" \t")
