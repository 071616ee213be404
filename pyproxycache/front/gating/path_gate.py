"""What clients get of packages of which only the names and versions in paths are known."""

from __future__ import annotations

from urllib.parse import unquote

from pyproxycache.facts import Facts
from pyproxycache.front.gating.asking import logged
from pyproxycache.front.gating.judgements import Given, Judgement
from pyproxycache.front.gating.release_refusals import refused
from pyproxycache.messages import Request
from pyproxycache.mirrors.cooldown.admission import Admission
from pyproxycache.mirrors.cooldown.by_ecosystem.named_releases import NamedReleases
from pyproxycache.mirrors.cooldown.plain_paths import plain_path
from pyproxycache.steps import Steps


class PathGate:
    """Refuses what is blocked, by paths; documents are given as they are."""

    def __init__(self, admission: Admission, named: NamedReleases) -> None:
        self._admission = admission
        self._named = named

    def judge(self, request: Request, path: str | None, _facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, None: elsewhere."""
        yield from ()
        decoded = unquote(request.url.path if path is None else path)
        for package, version in (*self._named.at(decoded), *self._named.at(plain_path(decoded))):
            if blocked := self._admission.block(package, version):
                return logged(refused(403, blocked))
        return Given()

    def has_file(self, _request: Request, _path: str | None) -> bool:
        """What may be a file: of all paths the same is said."""
        return True
