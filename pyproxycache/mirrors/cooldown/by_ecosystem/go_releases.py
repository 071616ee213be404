"""Releases of Go modules: a time for each version in its own file (`.info`), and lists of versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.cooldown.by_ecosystem.semantic_versions import Order, order_of
from pyproxycache.mirrors.cooldown.releases import released_at
from pyproxycache.mirrors.ecosystems.go import as_go_asks, with_capitals, without_capitals

_OF_VERSION = re.compile(r"(?P<module>.+)/@v/(?P<version>[^/]+)\.(?P<part>info|mod|zip|ziphash)", re.DOTALL)
_OF_ALL = re.compile(r"(?P<module>.+)/(?:@v/(?P<list>list)|@latest)", re.DOTALL)
_CANONICAL = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+incompatible)?")
LIST, LATEST = "list", "latest"

OPEN = re.compile(r"sumdb/.*|/?", re.DOTALL)
"""Paths that name no module: those of checksum databases, which a proxy of modules may have, too."""

NAMING = Naming(str, lambda text: text if text.startswith("v") or not text else f"v{text}")
"""Names are as in go.mod; the v before a version may be left out."""


@dataclass(frozen=True, slots=True)
class ModuleAddress:
    """What a path of a module proxy is about; `place` is the path up to the module's end, as it was sent.

    `asks` is the version with what comes behind it, or `LIST` or `LATEST`; then `version` is "". Both names
    are without the escapes that such paths have.
    """

    place: str
    module: str
    version: str
    asks: str

    @property
    def is_canonical(self) -> bool:
        """Whether it is of a version, which never changes; other names, as of branches, move on."""
        return _CANONICAL.fullmatch(self.version) is not None

    def info_of(self, version: str) -> str:
        """The path of the file that tells of this version, as go asks for it."""
        return f"{self.place}/@v/{as_go_asks(without_capitals(version))}.info"

    @property
    def list(self) -> str:
        """The path of the list of versions."""
        return f"{self.place}/@v/list"


@dataclass(frozen=True, slots=True)
class ToldVersion:
    """A version, its time (seconds since the epoch, None if not told), and the file that says so."""

    version: str
    released: float | None = None
    content: bytes = b""


class _Info(msgspec.Struct):
    """What a module proxy says of one version."""

    version: str = msgspec.field(name="Version")
    time: str | None = msgspec.field(name="Time", default=None)


def address_of(path: str) -> ModuleAddress | None:
    """What the path, as it was sent, is about; None if it is of no module."""
    decoded = unquote(path)
    if found := _OF_ALL.fullmatch(decoded):
        asks, parts = (LIST, 2) if found["list"] else (LATEST, 1)
        return ModuleAddress(_place(path, parts), _name(found["module"]), "", asks)
    if found := _OF_VERSION.fullmatch(decoded):
        version = with_capitals(found["version"])
        return ModuleAddress(_place(path, 2), _name(found["module"]), version, found["part"])
    return None


def _place(path: str, parts: int) -> str:
    """The path without its last parts: where slashes are encoded, as go sends it."""
    place = path
    for _ in range(parts):
        place = place.rpartition("/")[0]
    decoded = unquote(path)
    for _ in range(parts):
        decoded = decoded.rpartition("/")[0]
    return place if unquote(place) == decoded else as_go_asks(decoded)


def _name(module: str) -> str:
    """The module's name; origins may read several slashes as one."""
    return re.sub("/{2,}", "/", with_capitals(module)).strip("/")


def told_by(content: bytes) -> ToldVersion | None:
    """What the file about a version says; None if it is none."""
    try:
        info = msgspec.json.decode(content, type=_Info)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return ToldVersion(info.version, released_at(info.time), content)


def minor_versions(lines: Iterable[str]) -> list[list[str]]:
    """The versions that the lines of a list name, in one list for each minor version, the newest first."""
    found: dict[tuple[int, int], list[tuple[Order, str]]] = {}
    for line in lines:
        version = line.split(" ", 1)[0].strip()
        order = order_of(version[1:]) if _CANONICAL.fullmatch(version) else None
        if order is not None:
            found.setdefault(order[:2], []).append((order, version))
    return [[version for _, version in sorted(line, reverse=True)] for line in found.values()]
