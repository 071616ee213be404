"""Metadata of RPM repositories: what repomd.xml and primary.xml name, and for how long paths are good."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from reading import shown

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystems.distributions.dnf import DNF
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

XML, BASE = "text/xml", "https://index.test/"
SHA1, SHA256, SHA512 = "2b" * 20, "3c" * 32, "4d" * 64
COMMON, RPM = "http://linux.duke.edu/metadata/common", "http://linux.duke.edu/metadata/rpm"

REPOMD = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="{RPM}">
  <revision>1</revision>
  <data type="primary">
    <checksum type="sha256">{SHA256}</checksum>
    <open-checksum type="sha256">{"5e" * 32}</open-checksum>
    <location href="repodata/{SHA256}-primary.xml.gz"/>
  </data>
  <data type="group"><checksum type="sha">{SHA1}</checksum><location href="repodata/comps.xml"/></data>
  <data type="other"><checksum type="sha224">00</checksum><location href="repodata/other"/></data>
  <data type="far"><checksum type="sha256">{SHA256}</checksum><location href="../../x"/></data>
  <data type="away"><checksum type="sha256">{SHA256}</checksum>
    <location xml:base="https://other.test/" href="x"/></data>
</repomd>"""


def primary(count: int) -> bytes:
    packages = "".join(
        f'<package type="rpm"><name>p&amp;{number}</name><arch>noarch</arch>'
        f'<version epoch="{number % 2}" ver="{number}" rel="1.fc40"/>'
        f'<checksum type="sha256" pkgid="YES">{hashlib.sha256(b"%d" % number).hexdigest()}</checksum>'
        f"<summary><![CDATA[<location href='no'/>]]></summary><!-- <location href='no'/> -->"
        f'<location href="Packages/p/p+{number}~b^1.noarch.rpm"/>'
        f'<format><rpm:provides><rpm:entry name="checksum"/></rpm:provides><name>no</name>'
        f"<file>/usr/bin/p</file></format></package>\n"
        for number in range(count)
    )
    root = f'<metadata xmlns="{COMMON}" xmlns:rpm="{RPM}" packages="{count}">\n{packages}</metadata>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()


def digest(document: str, text: str, algorithm: str = "sha-256") -> tuple[ExpectedDigest, ...]:
    return (ExpectedDigest(document, algorithm, text),)


@pytest.mark.parametrize("size", [*range(1, 10), 65536])
def test_repomd(size: int) -> None:
    found = shown(DNF, "fedora/repodata/repomd.xml", XML, REPOMD.encode(), size=size)
    assert found.text == REPOMD.encode()
    assert found.named == [
        NamedFile(f"{BASE}fedora/repodata/{SHA256}-primary.xml.gz", digest("repomd.xml", SHA256)),
        NamedFile(f"{BASE}fedora/repodata/comps.xml", digest("repomd.xml", SHA1, "sha")),
    ]


@pytest.mark.parametrize("size", [*range(1, 10), 65536])
@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)],
    ids=["plain", "gz", "xz"],
)
def test_primary(ending: str, pack: Callable[[bytes], bytes], size: int) -> None:
    plain = primary(300 if size > 9 else 9)
    name = f"{SHA256}-primary.xml{ending}"
    packed = pack(plain)
    found = shown(DNF, f"r/repodata/{name}", XML, packed, size=size)
    assert found.text == packed
    expected = []
    for package in ElementTree.fromstring(plain):
        version, location = package.find(f"{{{COMMON}}}version"), package.find(f"{{{COMMON}}}location")
        assert version is not None
        assert location is not None
        full = f"{version.get('ver')}-{version.get('rel')}"
        expected.append(
            NamedFile(
                f"{BASE}r/{location.get('href')}",
                digest(name, package.findtext(f"{{{COMMON}}}checksum") or ""),
                package.findtext(f"{{{COMMON}}}name") or "",
                full if version.get("epoch") == "0" else f"{version.get('epoch')}:{full}",
            )
        )
    assert found.named == expected


BOMB = "".join(f'<!ENTITY e{n} "&e{n - 1};&e{n - 1};">' for n in range(1, 40))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f'<!DOCTYPE a [<!ENTITY e0 "x">{BOMB}]><metadata>&e39;</metadata>', "declares a document type"),
        ("<a>" * 21, "nested too deeply"),
        ("<metadata><package>", "its XML is invalid"),
        ("<metadata></package>", "its XML is invalid"),
        ("", "its XML is invalid"),
        (f'<metadata><package a="{"x" * (3 << 20)}', "a tag is longer than 1 MB"),
        (f"<metadata><!-- {'x' * (3 << 20)}", "a tag is longer than 1 MB"),
    ],
    ids=["entities", "nested", "ends early", "does not match", "empty", "long tag", "long comment"],
)
def test_hostile_documents_are_bounded(text: str, error: str) -> None:
    with pytest.raises(DocumentError, match=error):
        shown(DNF, "repodata/primary.xml", XML, text.encode(), size=65536)


def test_a_long_text_is_cut() -> None:
    long = "x" * 3_000_000
    text = f"<metadata><package><name>{long}</name><checksum type='sha256'>{SHA256}</checksum>"
    text += "<location href='a.rpm'/></package></metadata>"
    (found,) = shown(DNF, "repodata/primary.xml", XML, text.encode(), size=65536).named
    assert len(found.package) == 1024


@pytest.mark.parametrize(
    ("path", "fresh", "is_immutable"),
    [
        (f"repodata/{SHA256}-primary.xml.zst", None, True),
        (f"r/repodata/{SHA512}-filelists.xml.gz", None, True),
        ("r/repodata/repomd.xml", 5, False),
        ("r/repodata/repomd.xml.asc", 5, False),
        ("r/repodata/primary.xml.gz", 5, False),
        ("r/Packages/a/a-1-1.noarch.rpm", None, True),
        ("r/drpms/a.drpm", None, True),
        ("metalink", 300, False),
        ("r/README", None, None),
    ],
)
def test_how_long_paths_are_good(path: str, fresh: float | None, is_immutable: bool | None) -> None:
    policy = next((rule.policy for rule in DNF.rules if rule.path.match(path)), None)
    told = (None, None) if policy is None else (policy.fresh, policy.immutable)
    assert told == (fresh, is_immutable)
