"""Registries of images where container runtimes look for them: at /v2/ of the cache itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from pyproxycache.body import EMPTY, Body, BytesBody
from pyproxycache.errors import NotFound
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local
from pyproxycache.messages import Head, Headers
from pyproxycache.outcome import Result
from pyproxycache.response import Response
from pyproxycache.steps import Steps

_NAMESPACE = "ns"
_GREETING = b"{}"
_GREETING_FIELDS = Headers(
    [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(_GREETING))),
        ("Docker-Distribution-API-Version", "registry/2.0"),
    ]
)


@dataclass(frozen=True, slots=True)
class ImageRegistry:
    """A mirror of registries by its name; `registries` are their names, with which clients mean it."""

    name: str
    registries: frozenset[str]


class ImageRegistries:
    """Answers below /v2/ and /NAME/v2/ for the mirrors of registries, of which there is one at least.

    At /v2/ the mirror is the one whose registry the parameter ns names; without that, the one whose name
    the path begins with; else the first. `mirrors` answers for /NAME/v2/.
    """

    def __init__(self, registries: Iterable[ImageRegistry], mirrors: Handler[Local]) -> None:
        self._registries = tuple(registries)
        self._names = frozenset(one.name for one in self._registries)
        self._mirrors = mirrors
        names = "|".join(re.escape(one.name) for one in self._registries)
        self._paths = re.compile(rf"/(?:(?P<name>{names})/)?v2(?P<path>/.*)?", re.DOTALL)

    @property
    def paths(self) -> re.Pattern[str]:
        """The paths that it answers for."""
        return self._paths

    def answer(self, received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """The mirror's answer; the cache's own to the question whether this is a registry.

        That would ask clients for tokens, which the cache gets itself. Raises ProxyError.
        """
        asked = self._paths.fullmatch(target.path)
        name, path = (asked["name"] or "", asked["path"] or "") if asked else ("", "")
        namespace, query = _without_namespace(target.query)
        if path in ("", "/") and received.method in ("GET", "HEAD"):
            facts.note(Attempted(target.path), ServedAs(Result.LOCAL))
            body: Body = BytesBody(_GREETING) if received.method == "GET" else EMPTY
            return Answered(
                Response(Head(200, "OK", _GREETING_FIELDS), body, len(_GREETING)), is_of_cache=False
            )
        if not name:
            name, path = self._meant(path, namespace)
        return (yield from self._mirrors.answer(received, Local(f"/{name}/v2{path}", query), facts))

    def _meant(self, path: str, namespace: str) -> tuple[str, str]:
        """The name of the mirror that a path behind /v2 means, and the rest of the path."""
        if namespace:
            named = (one.name for one in self._registries if namespace in one.registries)
            name = next(named, None)
            if name is None:
                raise NotFound(f"no mirror is for the registry {namespace}: see mirrors.registries")
            return name, path
        name, slash, rest = path[1:].partition("/")
        if name in self._names:
            return name, slash + rest
        return self._registries[0].name, path


def _without_namespace(query: str) -> tuple[str, str]:
    """The registry that the query's parameter ns names, "" for none, and the query without it."""
    parameters = [one.partition("=") for one in query.split("&")]
    found = next((unquote(value).lower() for name, _, value in parameters if name == _NAMESPACE), "")
    return found, "&".join("".join(one) for one in parameters if one[0] != _NAMESPACE)
