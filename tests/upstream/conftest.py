"""What the tests of upstream share: a certificate, and origins with and without TLS."""

from __future__ import annotations

import ssl

import pytest
from certificates import Certificate, make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), "IP:127.0.0.1")


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> ssl.SSLContext | None:
    return certificate.server() if request.param else None
