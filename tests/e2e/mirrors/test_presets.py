"""What is known of an ecosystem counts for clients that ask its hosts by proxy, prefix and interception."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Origin

from pyproxycache.tls.certificate_authority import CertificateAuthority

MakeProxy = Callable[..., Proxy]

FILE = b"archive" * 100
USE = {"use": [{"ecosystem": "npm", "hosts": ["127.0.0.1"], "path": "/npm/"}]}


def stock(origin: Origin) -> None:
    """A registry that says nothing of how long its files and documents are fresh."""
    origin.put("/npm/x/-/x-1.tgz", FILE, etag='"x"', cache_control="max-age=0")
    origin.put("/npm/x", b"{}", etag='"d"', cache_control="max-age=0")
    origin.put("/npm/-/whoami", b"{}", cache_control="max-age=60")
    origin.put("/other/x", b"{}", etag='"d"', cache_control="max-age=0")


@pytest.mark.parametrize("way", ["proxy", "prefix"])
def test_by_proxy_and_prefix(make_proxy: MakeProxy, origin: Origin, way: str) -> None:
    stock(origin)
    cache = make_proxy(config=USE)
    counts = {}
    for path in ("/npm/x/-/x-1.tgz", "/npm/x", "/npm/-/whoami", "/other/x", "/npm/gone"):
        for _ in range(2):
            url = origin.url(path)
            assert cache.get(url if way == "proxy" else f"/{url}").status in (200, 404)
        counts[path] = origin.count(path)
    assert counts == {
        "/npm/x/-/x-1.tgz": 1,
        "/npm/x": 1,
        "/npm/-/whoami": 2,
        "/other/x": 2,
        "/npm/gone": 1,
    }


def test_a_file_by_mirror_and_by_proxy_is_one(make_proxy: MakeProxy, origin: Origin) -> None:
    stock(origin)
    cache = make_proxy(
        config={**USE, "mirrors": {"js": {"ecosystem": "npm", "upstream": origin.url("/npm")}}}
    )
    for url in ("/js/x/-/x-1.tgz", origin.url("/npm/x/-/x-1.tgz"), f"/{origin.url('/npm/x/-/x-1.tgz')}"):
        assert cache.get(url).body == FILE
    assert origin.count("/npm/x/-/x-1.tgz") == 1


def test_by_interception(make_proxy: MakeProxy, certificate: Certificate, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    CertificateAuthority.create(folder, time.time())
    with Origin(tls=certificate.server()) as origin:
        stock(origin)
        cache = make_proxy(
            config={
                **USE,
                "connect": {"ports": [origin.port]},
                "intercept": {"hosts": ["*"], "ca": str(folder)},
                "fetch": {"ca_file": str(certificate.certificate)},
            }
        )
        trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        for _ in range(2):
            client = http.client.HTTPSConnection(*cache.address, timeout=20, context=trusted)
            client.set_tunnel(origin.host, origin.port)
            for path in ("/npm/x/-/x-1.tgz", "/npm/x"):
                client.request("GET", path)
                answer = client.getresponse()
                assert (answer.status, bool(answer.read())) == (200, True)
            client.close()
        assert (origin.count("/npm/x/-/x-1.tgz"), origin.count("/npm/x")) == (1, 1)


def test_the_hosts_of_this_machines_clients(make_proxy: MakeProxy, origin: Origin) -> None:
    stock(origin)
    told = {"npm_config_registry": origin.url("/npm/"), "NPM_CONFIG_USERCONFIG": "", "HOME": "/nonexistent"}
    cache = make_proxy(config={"use": ["npm", "maven"]}, environment=told)
    for _ in range(2):
        assert cache.get(origin.url("/npm/x/-/x-1.tgz")).body == FILE
        cache.get(origin.url("/other/x"))
    assert (origin.count("/npm/x/-/x-1.tgz"), origin.count("/other/x")) == (1, 2)
    assert "use: maven counts nowhere" in cache.log()
