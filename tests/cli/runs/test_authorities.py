"""Bundles: certificates are found in files of all kinds, merged without losing one, and Java reads them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

from pyproxycache.cli.runs.authorities import (
    authorities_before,
    certificates,
    named_authorities,
    pem_of,
    system_authorities,
    trust_store,
)

ONE, TWO = (trustme.CA().cert_pem.bytes() for _ in range(2))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"", 0),
        (ONE, 1),
        (ONE + TWO, 2),
        (ONE + ONE, 1),
        (b"# a comment\n" + ONE + b"\nsubject=/CN=x\n" + TWO, 2),
        (ONE.replace(b"\n", b"\r\n"), 1),
        (ONE.replace(b"BEGIN C", b"BEGIN X509 C").replace(b"END C", b"END X509 C"), 1),
        (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n" + TWO, 1),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + ONE, 1),
        (ONE[: len(ONE) // 2], 0),
        (ONE[: len(ONE) // 2] + b"\n" + TWO, 0),
    ],
)
def test_certificates_in_text(text: bytes, count: int) -> None:
    found = certificates(text)
    assert len(found) == count
    assert set(found) <= {ssl.PEM_cert_to_DER_cert(one.decode()) for one in (ONE, TWO)}


def test_the_bundle_is_read_by_openssl() -> None:
    context = ssl.create_default_context(
        cadata=pem_of([*certificates(ONE + TWO), *certificates(ONE)]).decode()
    )
    assert len(context.get_ca_certs()) == 2


def test_openssl_s_trusted_form_is_a_certificate() -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = subprocess.run(
        ["openssl", "x509", "-trustout", "-addtrust", "serverAuth"],
        input=ONE,
        capture_output=True,
        check=True,
    )
    assert b"TRUSTED" in made.stdout
    assert certificates(made.stdout) == certificates(ONE)


def test_files_and_folders_that_variables_name(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(ONE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two.pem").write_bytes(TWO)
    (tmp_path / "folder" / "5ed36f99.0").symlink_to("two.pem")
    (tmp_path / "folder" / "dangling.0").symlink_to("nothing")
    (tmp_path / "folder" / "within").mkdir()
    environ = {
        "SSL_CERT_FILE": str(tmp_path / "one.pem"),
        "SSL_CERT_DIR": f"{tmp_path}/folder:{tmp_path}/missing",
        "PIP_CERT": str(tmp_path / "missing.pem"),
        "CONDA_SSL_VERIFY": "true",
        "NODE_EXTRA_CA_CERTS": "/dev/full",
    }
    assert authorities_before(environ) == certificates(ONE + TWO)
    assert named_authorities(environ, ["SSL_CERT_DIR"]) == certificates(TWO)
    assert authorities_before({}) == []


def test_the_system_s_authorities_are_there() -> None:
    found = system_authorities()
    assert len(found) > 20
    assert set(found) == set(certificates(pem_of(found)))


def test_java_reads_the_trust_store(tmp_path: Path) -> None:
    if shutil.which("keytool") is None:
        pytest.skip("keytool is not installed")
    broken = certificates(ONE)[0][:40].replace(b"\x30", b"\x31", 1)
    (tmp_path / "java.p12").write_bytes(trust_store([*certificates(ONE + TWO), broken]))
    listed = subprocess.run(
        ["keytool", "-list", "-keystore", tmp_path / "java.p12", "-storepass", "changeit"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert listed.stdout.count("trustedCertEntry") == 2, listed.stdout + listed.stderr
