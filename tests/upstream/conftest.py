"""What the tests of upstream share: origins with and without TLS."""

from __future__ import annotations

import ssl

import pytest
from certificates import Certificate


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> ssl.SSLContext | None:
    return certificate.server() if request.param else None
