"""What a certificate says of its time, and how it may be damaged."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from certificates import make_certificate

from pyproxycache.tls.tls_files import first_certificate
from pyproxycache.tls.validity import validity_of


@pytest.mark.parametrize("days", [2, 20_000])  # from 2050 on the time is written in another form
def test_validity(tmp_path: Path, days: int) -> None:
    made = make_certificate(tmp_path, "DNS:localhost", days=days)
    command = ["openssl", "x509", "-in", str(made.certificate), "-noout", "-startdate", "-enddate"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    begin, end = (ssl.cert_time_to_seconds(line.partition("=")[2]) for line in told.splitlines())
    assert validity_of(first_certificate(made.certificate.read_bytes())) == (begin, end)


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "DNS:localhost")
    whole = first_certificate(made.certificate.read_bytes())
    begin = whole.index(b"\x17\x0d")
    for stop in range(begin):
        with pytest.raises(ValueError, match=r"the certificate|time data|element"):
            validity_of(whole[:stop])
    with pytest.raises(ValueError, match="has an element"):
        validity_of(b"\x31" + whole[1:])


def test_the_first_certificate_of_several(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (make_certificate(tmp_path / name, "DNS:localhost").certificate for name in "ab")
    pem = b"some words\r\n" + one.read_bytes().replace(b"\n", b"\r\n") + other.read_bytes()
    assert first_certificate(pem) == ssl.PEM_cert_to_DER_cert(one.read_text())
    with pytest.raises(ValueError, match="no certificate"):
        first_certificate(b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
