"""Debian's indexes: what Release, Packages, Sources and pdiffs name, and for how long paths are good."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
from email.parser import BytesParser

import pytest
from reading import shown

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystems.distributions.apt import APT
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

ANY = "application/octet-stream"
BASE = "https://index.test/"
MD5, SHA1, SHA256, SHA512 = "1a" * 16, "2b" * 20, "3c" * 32, "4d" * 64

RELEASE = f"""\
Origin: Test
Suite: stable
Acquire-By-Hash: yes
MD5Sum:
 {MD5}  10 main/binary-amd64/Packages
 {MD5}  7 main/source/Release
SHA256:
 {SHA256}  10 main/binary-amd64/Packages
 {SHA256.upper()}     9 main/i18n/Translation-de.bz2
 {SHA256}  0 ../../outside
 {SHA256}  0 /outside
 {"0" * 63}  0 main/short
Description: x
 {SHA256}  10 main/no
"""


def signed(text: str) -> str:
    escaped = "".join(
        f"- {line}" if line.startswith("-") else line for line in text.splitlines(keepends=True)
    )
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{escaped}"
        f"\n-----BEGIN PGP SIGNATURE-----\n\nSHA256:\n {SHA256} 5 main/forged\n-----END PGP"
    )


def stated(document: str, **digests: str) -> tuple[ExpectedDigest, ...]:
    return tuple(ExpectedDigest(document, one.replace("_", "-"), digest) for one, digest in digests.items())


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["Release", "InRelease"])
def test_a_release(name: str, ending: str, size: int) -> None:
    text = (signed(RELEASE) if name == "InRelease" else RELEASE).replace("\n", ending).encode()
    found = shown(APT, f"debian/dists/stable/{name}", "text/plain", text, size=size)
    assert found.text == text
    folder = f"{BASE}debian/dists/stable/main"
    strong, weak = stated("Release", sha_256=SHA256), stated("Release", md5=MD5)
    assert {(one.url, one.digests) for one in found.named} == {
        (f"{folder}/binary-amd64/Packages", strong),
        (f"{folder}/binary-amd64/by-hash/SHA256/{SHA256}", strong),
        (f"{folder}/source/Release", weak),
        (f"{folder}/i18n/Translation-de.bz2", strong),
        (f"{folder}/i18n/by-hash/SHA256/{SHA256}", strong),
    }


def test_a_release_without_by_hash() -> None:
    text = RELEASE.replace("Acquire-By-Hash: yes\n", "").encode()
    assert not [one for one in shown(APT, "dists/x/Release", ANY, text).named if "by-hash" in one.url]


def test_a_signature_that_is_missing() -> None:
    text = signed(RELEASE).partition("\n-----BEGIN PGP SIGNATURE")[0].encode()
    with pytest.raises(DocumentError, match="signature is missing"):
        shown(APT, "dists/x/InRelease", ANY, text)


def stanzas(count: int) -> bytes:
    found = []
    for number in range(count):
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        found.append(
            f"Package: p{number}\nVersion: 1:{number}-1+b2\nDescription: of {number}\n .\n"
            f" Filename: pool/no.deb\nFilename: pool/main/p/p{number}_{number}-1+b2_all.deb\n"
            f"Size: 7\nSHA256: {digest}\nMD5sum: {MD5}\n"
        )
    return "\n".join(found).encode()


@pytest.mark.parametrize("size", [*range(1, 10), 65536])
@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)],
    ids=["plain", "gz", "xz"],
)
def test_packages(ending: str, pack: type[bytes], size: int) -> None:
    plain = stanzas(400 if size > 9 else 12)
    text = pack(plain)
    found = shown(APT, f"d/dists/s/main/binary-amd64/Packages{ending}", ANY, text, size=size)
    assert found.text == text
    expected = set()
    for one in plain.split(b"\n\n"):
        told = BytesParser().parsebytes(one)
        digests = stated("Packages", sha_256=told["SHA256"])
        for name in (told["Filename"], told["Filename"].replace("+", "%2b")):
            expected.add(NamedFile(f"{BASE}d/{name}", digests, told["Package"], told["Version"]))
    assert set(found.named) == expected


@pytest.mark.parametrize(
    ("path", "name", "url"),
    [
        ("dists/stable/main/binary-amd64/by-hash/SHA256/" + SHA256, "pool/a.deb", "pool/a.deb"),
        ("dists/stable/updates/main/binary-all/Packages", "pool/a.deb", "pool/a.deb"),
        ("dists/stable/main/debian-installer/binary-arm64/Packages", "pool/a.udeb", "pool/a.udeb"),
        ("Packages", "./a.deb", "./a.deb"),
        ("./Packages", "./a.deb", "./a.deb"),
        ("flat/Packages", "a.deb", "flat/a.deb"),
        ("flat/Packages", "flat/a.deb", "flat/a.deb"),
        ("flat/Packages", "sub/a.deb", "flat/sub/a.deb"),
        ("dists/x/binary-all/Packages", "pool/a~b c%d.deb", "pool/a~b%20c%25d.deb"),
        ("dists/x/binary-all/Packages", "pool/a~b c%d.deb", "pool/a%7eb%20c%25d.deb"),
        ("dists/x/binary-all/Packages", "pool/a?b#c.deb", "pool/a%3Fb%23c.deb"),
        ("dists/x/binary-all/Packages", "../a.deb", None),
        ("dists/x/binary-all/Packages", "pool/../a.deb", None),
        ("dists/x/binary-all/Packages", "/a.deb", None),
        ("dists/x/binary-all/Packages", "https://other.test/a.deb", "https://other.test/a.deb"),
    ],
)
def test_where_packages_are(path: str, name: str, url: str | None) -> None:
    """All of them are below the archive: a document names nothing of other hosts."""
    text = f"Package: a\nFilename: {name}\nSHA512: {SHA512}\n".encode()
    found = [one.url for one in shown(APT, path, ANY, text).named]
    assert (BASE + url in found) if url else found == []


def test_a_package_without_digest_is_not_named() -> None:
    assert shown(APT, "dists/x/binary-all/Packages", ANY, b"Package: a\nFilename: pool/a.deb\n").named == []


@pytest.mark.parametrize("size", range(1, 10))
def test_sources(size: int) -> None:
    text = (
        f"Package: a\nVersion: 1\nFiles:\n {MD5} 5 a.dsc\nDirectory: pool/a\nChecksums-Sha256:\n"
        f" {SHA256} 5 a.dsc\n {SHA256} 6 a_1.orig.tar.gz\n\nPackage: b\nDirectory: pool/b\n"
        f"Checksums-Sha1:\n {SHA1} 5 b.dsc\nFiles:\n {MD5} 5 b.dsc\n"
    ).encode()
    found = shown(APT, "dists/x/main/source/Sources", "", text, size=size)
    strong, weak = stated("Sources", sha_256=SHA256), stated("Sources", sha=SHA1)
    assert [one for one in found.named if "%7" not in one.url] == [
        NamedFile(f"{BASE}pool/a/a.dsc", strong, "a", "1"),
        NamedFile(f"{BASE}pool/a/a_1.orig.tar.gz", strong, "a", "1"),
        NamedFile(f"{BASE}pool/b/b.dsc", weak, "b", ""),
    ]


@pytest.mark.parametrize("last", ["Index", f"by-hash/SHA256/{SHA256}"])
def test_pdiffs(last: str) -> None:
    text = (
        f"SHA256-Current: {SHA256} 9\nSHA256-History:\n {SHA256} 9 2026-01-01\n"
        f"SHA256-Patches:\n {SHA256} 3 2026-01-01\nSHA256-Download:\n {'5e' * 32} 3 2026-01-01.gz\n"
    ).encode()
    found = shown(APT, f"dists/x/main/binary-all/Packages.diff/{last}", ANY, text)
    folder = f"{BASE}dists/x/main/binary-all/Packages.diff"
    assert {(one.url, one.digests[0].digest) for one in found.named} == {
        (f"{folder}/2026-01-01", SHA256),
        (f"{folder}/2026-01-01.gz", "5e" * 32),
    }


def test_hostile_documents_are_bounded() -> None:
    endless = b"Package: a\n" * 800_000
    with pytest.raises(DocumentError, match="a stanza is longer than 8 MB"):
        shown(APT, "dists/x/binary-all/Packages", ANY, endless, size=65536)
    with pytest.raises(DocumentError, match="it is longer than 8 MB"):
        shown(APT, "dists/x/Release", ANY, endless, size=65536)
    many = b"MD5Sum:\n" + b"".join(b" %032x 0 %x\n" % (n, n) for n in range(110_000))
    with pytest.raises(DocumentError, match="lists more than 100000 files"):
        shown(APT, "dists/x/Release", ANY, many, size=65536)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_no_index_names_nothing(seed: int) -> None:
    text = random.Random(seed).randbytes(5000)
    for path in ("Packages", "Sources", "Release", "InRelease", "Packages.diff/Index"):
        found = shown(APT, f"dists/x/{path}", ANY, text)
        assert (found.text, found.named) == (text, [])


def test_a_login_page_is_no_index() -> None:
    assert APT.document("dists/x/InRelease", "text/html") is None


@pytest.mark.parametrize(
    ("path", "fresh", "is_immutable"),
    [
        (f"dists/x/main/binary-amd64/by-hash/SHA256/{SHA256}", None, True),
        (f"dists/x/main/i18n/by-hash/SHA512/{SHA512}", None, True),
        (f"dists/x/main/by-hash/MD5Sum/{MD5}", None, True),
        (f"dists/x/main/by-hash/SHA256/{SHA1}", 5, False),
        ("dists/x/InRelease", 5, False),
        ("dists/x/updates/Release.gpg", 5, False),
        ("dists/x/main/binary-amd64/Packages.xz", 5, False),
        ("dists/x/main/binary-amd64/Packages.diff/Index", 5, False),
        ("dists/x/main/Contents-amd64.gz", 5, False),
        ("dists/x/main/dep11/Components-amd64.yml.xz", 5, False),
        ("dists/x/main/cnf/Commands-amd64.xz", 5, False),
        ("dists/x/main/i18n/Translation-en.bz2", 5, False),
        ("./Packages.gz", 5, False),
        ("flat/Release", 5, False),
        ("pool/main/a/a/a_1_all.deb", 86400, False),
        ("pool/main/a/a/a_1.orig.tar.xz", 86400, False),
        ("flat/a_1_all.deb", 86400, False),
        ("README", None, None),
    ],
)
def test_how_long_paths_are_good(path: str, fresh: float | None, is_immutable: bool | None) -> None:
    policy = next((rule.policy for rule in APT.rules if rule.path.match(path)), None)
    told = (None, None) if policy is None else (policy.fresh, policy.immutable)
    assert told == (fresh, is_immutable)
