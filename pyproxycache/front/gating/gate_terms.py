"""What a gate goes by, whatever it reads: who is admitted, at which place, and how strictly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pyproxycache.front.gating.judgements import ReleasePlace
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.mirrors.cooldown.admission import Admission


@dataclass(frozen=True, slots=True)
class GateTerms:
    """The rules for releases of one place, and what documents are asked by.

    `allowed` takes a package, in normal form, and gives its versions that are let through at any age; what
    `allowed_state` gives changes with any of them. Where not `is_strict`, addresses that are those of no
    file and no document are open.
    """

    admission: Admission
    place: ReleasePlace
    cached: CachedAnswers
    allowed: Callable[[str], Iterable[str]]
    allowed_state: Callable[[], str]
    is_strict: bool = True

    def is_allowed(self, package: str, version: str) -> bool:
        """Whether this release is let through at any age."""
        naming = self.admission.naming
        wanted = naming.version(version)
        return any(naming.version(one) == wanted for one in self.allowed(naming.package(package)))


def nothing_is_allowed(_package: str, _version: str) -> bool:
    """In place of GateTerms.is_allowed, for what holds whatever is let through."""
    return False
