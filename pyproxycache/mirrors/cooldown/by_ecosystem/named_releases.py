"""Releases that paths tell of, in ecosystems whose documents have no times that are known here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyproxycache.mirrors.cooldown.admission import Naming

Named = tuple[str, str]
"""A package and its version, "" where a path is about all of them."""

_LONGEST_PATH = 2000
_MOST_SPLITS = 20


@dataclass(frozen=True, slots=True)
class NamedReleases:
    """How an ecosystem's paths tell of releases: `at` gives all that a path, without %-encoding, may mean.

    Paths are those below an upstream's URL, or of another host.
    """

    naming: Naming
    at: Callable[[str], Iterator[Named]]


def _by(*patterns: str) -> Callable[[str], Iterator[Named]]:
    """What the first of the patterns that fits a whole path finds: `package`, and perhaps `version`."""
    compiled = [re.compile(one, re.DOTALL) for one in patterns]

    def at(path: str) -> Iterator[Named]:
        found = next((found for one in compiled if (found := one.fullmatch(path))), None)
        if found is not None:
            yield found["package"], found.groupdict().get("version") or ""

    return at


def _gems(path: str) -> Iterator[Named]:
    """A gem's file has name, version and perhaps platform, and each of them may have dashes."""
    if about := re.fullmatch(r"(?:.*/)?info/([^/]+)", path, re.DOTALL):
        yield about[1], ""
    of = re.fullmatch(r"(?:.*/)?([^/]+)\.(?:gem|gemspec\.rz)", path, re.DOTALL)
    parts = of[1].split("-") if of else []
    for count in range(1, min(len(parts), _MOST_SPLITS)):
        if parts[count][:1].isdigit():
            yield "-".join(parts[:count]), parts[count]


def _artifacts(path: str) -> Iterator[Named]:
    """An artefact is behind the folders of its group, of which those of the repository may come first."""
    parts = [part for part in path.split("/") if part]
    *groups, artifact, version, name = parts if len(parts) > 3 else ["", "", "", ""]
    if not name.startswith(f"{artifact}-") or not artifact:
        *groups, artifact, name = parts if len(parts) > 2 else ["", "", ""]
        version = ""
        if not name.startswith("maven-metadata.xml"):
            return
    for start in range(min(len(groups), _MOST_SPLITS)):
        yield f"{'.'.join(groups[start:])}:{artifact}", version


def _of_two_forms(pattern: str) -> Callable[[str], Iterator[Named]]:
    """Packages whose version counts with the release of the package, and without."""
    compiled = re.compile(pattern, re.DOTALL)

    def at(path: str) -> Iterator[Named]:
        if found := compiled.fullmatch(path.rpartition("/")[2]):
            yield found["package"], found["version"]
            yield found["package"], f"{found['version']}-{found['release']}"

    return at


def _bounded(at: Callable[[str], Iterator[Named]]) -> Callable[[str], Iterator[Named]]:
    return lambda path: at(path) if len(path) <= _LONGEST_PATH else iter(())


def _without_epoch(version: str) -> str:
    return version.rpartition(":")[2]


_same: Callable[[str], str] = str
_REPOSITORY = r"(?P<package>[^/]+/[^/]+)"
_PLAIN = Naming(_same, _same)
_FOLDED = Naming(str.lower, _same)

NAMED_RELEASES: dict[str, NamedReleases] = {
    name: NamedReleases(naming, _bounded(at))
    for name, naming, at in (
        ("apk", _PLAIN, _of_two_forms(r"(?P<package>.+)-(?P<version>[^-]+)-(?P<release>r[0-9]+)\.apk")),
        (
            "apt",
            Naming(_same, _without_epoch),
            _by(
                r"(?:.*/)?(?P<package>[^/_]+)_(?P<version>[^/_]+)(?:_[^/_]+)?\.(?:u?deb|dsc|changes|buildinfo)",
                r"(?:.*/)?(?P<package>[^/_]+)_(?P<version>[^/_]+?)\.(?:orig(?:-[^/.]+)?|debian|diff|tar)\..+",
            ),
        ),
        (
            "dnf",
            _PLAIN,
            _of_two_forms(r"(?P<package>.+)-(?P<version>[^-]+)-(?P<release>[^-]+)\.[^.-]+\.d?rpm"),
        ),
        (
            "github",
            _FOLDED,
            _by(
                rf"/*{_REPOSITORY}/releases/(?:download|tag|expanded_assets)/(?P<version>[^/]+)(?:/.*)?",
                rf"/*{_REPOSITORY}/(?:archive|(?:legacy\.)?(?:zip|tar\.gz)|zipball|tarball)/(?:refs/tags/)?"
                r"(?P<version>.+?)(?:\.zip|\.tar\.gz)?",
                rf"/*(?:api/v3/)?repos/{_REPOSITORY}/releases/tags/(?P<version>.+)",
                rf"/*(?:api/v3/)?repos/{_REPOSITORY}/(?:zipball|tarball)/(?:refs/tags/)?(?P<version>.+)",
                rf"/*(?:api/v3/)?repos/{_REPOSITORY}(?:/.*)?",
                rf"/*{_REPOSITORY}(?:/.*)?",
            ),
        ),
        (
            "huggingface",
            _FOLDED,
            _by(
                rf"/*(?:datasets/|spaces/)?{_REPOSITORY}/(?:resolve|raw|blob)/(?P<version>[^/]+)/.*",
                rf"/*api/(?:models|datasets|spaces)/{_REPOSITORY}/(?:revision|tree)/(?P<version>[^/]+)(?:/.*)?",
                rf"/*api/(?:models|datasets|spaces)/{_REPOSITORY}(?:/.*)?",
            ),
        ),
        ("maven", _PLAIN, _artifacts),
        (
            "oci",
            _FOLDED,
            _by(
                r"/*v2/(?P<package>.+)/manifests/(?P<version>[^/]+)",
                r"/*v2/(?P<package>.+)/(?:blobs|tags|referrers)/.*",
            ),
        ),
        ("rubygems", _PLAIN, _gems),
    )
}
"""The ecosystems whose releases are known by names and versions alone."""
