"""What of a package's releases clients see, and whether they get a file of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.mirrors.cooldown.admission import Admission
from pyproxycache.mirrors.cooldown.release_documents import ReleaseDocuments
from pyproxycache.mirrors.cooldown.releases import ReleasedFile, Releases, ShownReleases


@dataclass(frozen=True, slots=True)
class ReleaseRules:
    """The rules of a mirror's releases, and how its ecosystem's documents tell of them."""

    admission: Admission
    documents: ReleaseDocuments

    def shown(
        self, releases: Releases, now: float, is_allowed: Callable[[str, str], bool]
    ) -> ShownReleases:
        """What clients see of the releases now (seconds since the epoch)."""
        naming, hidden = self.admission.naming, hashlib.sha256()
        files: set[str] = set()
        versions: set[str] = set()
        reason = ""
        for file in releases.files:
            refused = self._refusal(releases, file, now, is_allowed)
            if refused is None:
                files.add(file.key)
                versions.add(naming.version(file.version))
            else:
                reason = refused
                hidden.update(f"{file.version} {file.key}\n".encode("utf-8", "surrogateescape"))
        tags = []
        for name, version in releases.tags:
            chosen = version if naming.version(version) in versions else None
            if chosen is None and name == "latest":
                chosen = self.documents.newest(versions, version)
            if chosen is not None:
                tags.append((name, chosen))
        why = "" if files or not reason else f"nothing of {releases.package} is shown: {reason}"
        return ShownReleases(
            releases.package, frozenset(files), frozenset(versions), tuple(tags), hidden.hexdigest(), why
        )

    def file_refusal(
        self,
        releases: Releases,
        key: str,
        version: str,
        now: float,
        is_allowed: Callable[[str, str], bool],
    ) -> str | None:
        """Why clients do not get a file of the package, by its key or, if it is known, its version.

        None if they get it; "" if the document does not name the file.
        """
        named = [
            file for file in releases.files if file.key == key or (version and file.version == version)
        ]
        refusals = [self._refusal(releases, file, now, is_allowed) for file in named]
        # A file that stands twice has to be let through both times.
        return next((refused for refused in refusals if refused is not None), None if named else "")

    def version_refusal(
        self, releases: Releases, version: str, now: float, is_allowed: Callable[[str, str], bool]
    ) -> str | None:
        """Why clients do not get this version of the package; None if they do, or there is none."""
        wanted = self.admission.naming.version(version)
        named = [file for file in releases.files if self.admission.naming.version(file.version) == wanted]
        refusals = (self._refusal(releases, file, now, is_allowed) for file in named)
        return next((refused for refused in refusals if refused is not None), None)

    def _refusal(
        self, releases: Releases, file: ReleasedFile, now: float, is_allowed: Callable[[str, str], bool]
    ) -> str | None:
        if not file.version or not file.key:
            return f"a file that the document of {releases.package} names does not belong to it"
        return self.admission.refusal(releases.package, file.version, file.released, now, is_allowed)
