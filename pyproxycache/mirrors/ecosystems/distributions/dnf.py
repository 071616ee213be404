"""RPM packages: repomd.xml names the files of metadata by their digests, and primary.xml the packages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyproxycache.mirrors.documents.document_readers import passed_on
from pyproxycache.mirrors.documents.rpm_metadata import RpmItem, RpmMetadata
from pyproxycache.mirrors.documents.unpacked import Unpacked
from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    NO_PAGE,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    Together,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.relative_names import as_path, is_relative
from pyproxycache.mirrors.stated_digests import stated_digests


def _read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    # Paths are below the folder that has repodata/.
    repository, _, own = reading.url.partition("?")[0].rpartition("repodata/")

    def take(item: RpmItem) -> None:
        digests = stated_digests(own, [(item.algorithm, item.digest)])
        if digests and not item.base and is_relative(item.href):
            url = repository + as_path(item.href, also="%")
            reading.is_shown(NamedFile(url, digests, item.name, item.version))

    return passed_on(pieces, Unpacked(RpmMetadata(take)))


_DIGEST = r"(?:[0-9a-f]{128}|[0-9a-f]{64}|[0-9a-f]{40})"

DNF = Ecosystem(
    "dnf",
    rules=(
        PathRule(re.compile(rf"(?:.*/)?repodata/{_DIGEST}-[^/]+$"), IMMUTABLE),
        PathRule(re.compile(r".*\.d?rpm$"), IMMUTABLE),
        # Asked for anew each time; it is not 0, as what has no validator could not be stored then.
        PathRule(re.compile(r"(?:.*/)?repodata/"), index(5)),
        PathRule(re.compile(r"(?:.*/)?(?:metalink|mirrorlist|\.treeinfo|treeinfo)$"), index(300)),
    ),
    documents=(
        Document(re.compile(r"(?:.*/)?repodata/repomd\.xml$"), NO_PAGE, _read, has_links=False),
        Document(
            re.compile(rf"(?:.*/)?repodata/(?:{_DIGEST}-)?primary\.xml(?:\.(?:gz|xz|bz2|zst))?$"),
            NO_PAGE,
            _read,
            has_links=False,
        ),
    ),
    together=(Together(re.compile(r"(?P<of>(?:.*/)?repodata/repomd\.xml)(?:\.asc)?$"), ("", ".asc")),),
)
