"""Which releases of packages clients get: by their age, and by names and versions that are blocked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pyproxycache.units import format_duration

_EARLIEST = 946_684_800.0  # the year 2000: what is said to be older is a time that nobody has set


@dataclass(frozen=True, slots=True)
class Naming:
    """How names and versions of an ecosystem are written so that equal ones are equal."""

    package: Callable[[str], str]
    version: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of a mirror or preset: how old releases have to be, with exceptions, and what is blocked.

    `name` is that of the mirror, or "use:" and the preset's ecosystem.

    `min_age` is in seconds, None for any age. `excepted` has patterns of names, in which * is any text;
    `blocked` names, alone or with "==" and a version, which count whatever else is allowed. Names and
    versions are compared in the form of `naming`.
    """

    name: str
    naming: Naming
    min_age: float | None = None
    excepted: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    _excepted: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _blocked: frozenset[tuple[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_excepted", _pattern(map(self.naming.package, self.excepted)))
        pairs = (one.partition("==") for one in self.blocked)
        blocked = {(self._caseless(name), self.naming.version(version)) for name, _, version in pairs}
        object.__setattr__(self, "_blocked", frozenset(blocked))

    def refusal(
        self,
        package: str,
        version: str,
        released: float | None,
        now: float,
        is_allowed: Callable[[str, str], bool],
    ) -> str | None:
        """Why clients do not get this release, for them to read; None if they do.

        `released` and `now` are seconds since the epoch, None if it is not known since when it is there.
        `is_allowed` takes package and version, and says whether it is let through at any age.
        """
        if refused := self.block(package, version):
            return refused
        if self.is_of_any_age(package):
            return None
        assert self.min_age is not None
        if released is not None and released >= _EARLIEST and released + self.min_age <= now:
            return None
        if is_allowed(package, version):
            return None
        hint = f"`pyproxycache mirror allow {self.name} {package} {version}` lets it through"
        rule = f"{self.key('min_age')} is {format_duration(self.min_age)}"
        if released is None or released < _EARLIEST:
            return f"the upstream does not tell the age of {package} {version}, and {rule}: {hint}"
        told = f"is {format_duration(max(0.0, now - released))} old"
        return f"{package} {version} {told}, and {rule}: {hint}"

    def is_of_any_age(self, package: str) -> bool:
        """Whether releases of the package are given at any age, if they are not blocked."""
        return self.min_age is None or self._excepted.fullmatch(self.naming.package(package)) is not None

    def key(self, key: str) -> str:
        """What the configuration calls one of these rules."""
        preset, ecosystem = self.name.partition(":")[::2]
        return f"{preset}.{key} of {ecosystem}" if ecosystem else f"mirrors.{self.name}.{key}"

    def block(self, package: str, version: str = "") -> str | None:
        """Why the package, or this version of it, is blocked; None if it is not."""
        name = self._caseless(package)
        if (name, self.naming.version("")) in self._blocked:
            return f"{package} is in {self.key('block')}"
        if version and (name, self.naming.version(version)) in self._blocked:
            return f"{package} {version} is in {self.key('block')}"
        return None

    def _caseless(self, package: str) -> str:
        # Upstreams that ignore case would give a blocked package under another spelling.
        return self.naming.package(package).lower()


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern that the names fit, in which * is any text; nothing fits no names."""
    patterns = [".*".join(map(re.escape, name.split("*"))) for name in names]
    return re.compile("|".join(patterns) or r"(?!)", re.DOTALL)
