"""A Maven repository on an origin, and a project that needs what is in it and no plugin."""

from __future__ import annotations

import hashlib
from typing import Any

from archives import zipped
from language_clients import VALIDATED
from origin import Origin

_POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>
  <packaging>{packaging}</packaging>{more}
</project>
"""

VALIDATE = ["mvn", "-B", "-q", "-C", "-s", "settings.xml", "-Dmaven.repo.local=repository", "validate"]
"""Has Maven check the project, by no plugin, and take no file of another digest."""


def put_repository(origin: Origin, root: str, **options: Any) -> None:
    """Puts a parent of projects, found by its metadata, and an extension of their build below a path."""
    group = f"{root}org/test"
    versions = "<versioning><versions><version>1.2</version></versions></versioning>"
    metadata = f"<metadata><groupId>org.test</groupId><artifactId>parent</artifactId>{versions}</metadata>"
    put(origin, f"{group}/parent/maven-metadata.xml", metadata.encode(), **options)
    put(origin, f"{group}/parent/1.2/parent-1.2.pom", pom("parent", "1.2", "pom"), **options)
    put(origin, f"{group}/ext/1.5/ext-1.5.pom", pom("ext", "1.5", "jar"), **options)
    put(origin, f"{group}/ext/1.5/ext-1.5.jar", jar("1"), **options)
    # What Maven adds to each extension that does not name it.
    added = f"{root}org/codehaus/plexus/plexus-utils/1.1/plexus-utils-1.1"
    put(origin, f"{added}.jar", jar(""), **options)
    put(origin, f"{added}.pom", pom("plexus-utils", "1.1", "jar", group="org.codehaus.plexus"), **options)


def put(origin: Origin, path: str, content: bytes, **options: Any) -> None:
    """A file, and beside it that of its digest; both are to be validated, unless the options say else."""
    digest = hashlib.sha1(content).hexdigest()
    for name, body in ((path, content), (f"{path}.sha1", digest.encode())):
        origin.put(name, body, etag=f'"{digest}"', **{**VALIDATED, **options})


def pom(name: str, version: str, packaging: str, more: str = "", group: str = "org.test") -> bytes:
    return _POM.format(group=group, name=name, version=version, packaging=packaging, more=more).encode()


def jar(text: str) -> bytes:
    return zipped({"text": text})


_PARENT = "<parent><groupId>org.test</groupId><artifactId>parent</artifactId><version>[1,2)</version>"
_EXTENSION = "<groupId>org.test</groupId><artifactId>ext</artifactId><version>1.5</version>"
_NEEDS = (
    f"{_PARENT}<relativePath/></parent><build><extensions><extension>{_EXTENSION}</extension></extensions>"
)
PROJECT = pom("user", "1", "pom", f"{_NEEDS}</build>").decode()
"""The pom.xml of a project that needs both."""
