"""Which URLs get what clients of a mirror log in with."""

from __future__ import annotations

import pytest

from pyproxycache.front.mirroring.mirror import Mirror
from pyproxycache.mirrors.ecosystems.pypi import PYPI
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.rules.urls import parse_url

OWN, PUBLIC = "https://own.test/pypi/", "https://public.test/"


@pytest.mark.parametrize(
    ("upstreams", "file_hosts", "own_first", "url", "is_trusted"),
    [
        ([OWN], (), False, "https://own.test/pypi/simple/x/", True),
        ([OWN], (), False, "https://own.test/elsewhere", True),
        ([OWN], (), False, "http://own.test/pypi/simple/x/", False),
        ([OWN], (), False, "https://own.test:8443/pypi/simple/x/", False),
        ([OWN], ("*",), False, "https://files.test/x", False),
        ([OWN], ("files.test",), False, "https://files.test/x", True),
        ([OWN], (".test",), False, "https://files.test:8443/x", True),
        # In plain it would be shown to whoever is between, by a link in a document alone.
        ([OWN], ("files.test",), False, "http://files.test/x", False),
        ([OWN], ("own.test",), False, "http://own.test/pypi/simple/x/", False),
        (["http://own.test/"], ("files.test",), False, "http://files.test/x", True),
        ([OWN, "http://public.test/"], ("files.test",), True, "http://files.test/x", False),
        ([OWN, PUBLIC], (), False, "https://public.test/simple/x/", True),
        ([OWN, PUBLIC], (), True, "https://public.test/simple/x/", False),
    ],
)
def test_who_gets_credentials(
    upstreams: list[str], file_hosts: tuple[str, ...], own_first: bool, url: str, is_trusted: bool
) -> None:
    mirror = Mirror(
        "py", PYPI, tuple(map(parse_url, upstreams)), HostPatterns(file_hosts), own_first=own_first
    )
    assert mirror.trusts(parse_url(url)) == is_trusted
