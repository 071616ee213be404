"""What upstreams of mirrors are shown."""

from __future__ import annotations

import logging
from base64 import b64encode
from pathlib import Path

import pytest

from pyproxycache.errors import ConfigError
from pyproxycache.mirror_options import MirrorOptions, MirrorUpstreamOptions
from pyproxycache.url import Url
from pyproxycache.wiring.credentials import upstream_credentials

URL = Url("https", "index.test", 443, "/simple")


def told(place: str | None, **environ: str) -> str | None:
    upstream = (MirrorUpstreamOptions(url=URL, credentials=place),)
    found = upstream_credentials({"py": MirrorOptions(ecosystem="pypi", upstream=upstream)}, environ)
    assert "s3cret" not in repr(found)
    return found[URL].authorization if found else None


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


def written(folder: Path, data: bytes, mode: int = 0o600) -> str:
    path = folder / "credentials"
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"me:s3cret\n", basic("me:s3cret")),
        ("mé:a:b@c%40\r\n".encode(), basic("mé:a:b@c%40")),
        (b"t0ken-s3cret._~+/=\n", "Bearer t0ken-s3cret._~+/="),
    ],
)
def test_a_file(tmp_path: Path, data: bytes, shown: str) -> None:
    assert told(written(tmp_path, data)) == shown
    assert told("env:MINE", MINE=data.decode()) == shown


def test_none() -> None:
    assert told(None) is None


@pytest.mark.parametrize(
    "data", [b"", b"two s3cret", b"a\ns3cret", b"me:s3cret\nyou:s3cret", b"me:\xff", b":s3cret\0"]
)
def test_what_is_none_is_not_quoted(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"mirrors\.py\.upstream\[0\]\.credentials: ") as refused:
        told(written(tmp_path, data))
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(refused.value.__cause__)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        told(str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="MINE is not set"):
        told("env:MINE")
    with pytest.raises(ConfigError, match="No such file"):
        told("netrc", NETRC=str(tmp_path / "missing"))


def test_netrc(tmp_path: Path) -> None:
    path = written(
        tmp_path, b"machine other.test login a password b\nmachine index.test login me password s3cret\n"
    )
    assert told("netrc", NETRC=path) == basic("me:s3cret")
    with pytest.raises(ConfigError, match=r"no login and password for index\.test"):
        told("netrc", NETRC=written(tmp_path, b"machine other.test login a password s3cret\n"))
    either = b"default login any password s3cret\n"
    assert told("netrc", NETRC=written(tmp_path, either)) == basic("any:s3cret")
    named = b"machine index.test login me password s3cret\n"
    assert told("netrc", NETRC=written(tmp_path, named + either)) == basic("me:s3cret")
    with pytest.raises(ConfigError, match="line 1 is not what netrc files have") as refused:
        told("netrc", NETRC=written(tmp_path, b"machin s3cret\n"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_what_everybody_can_read_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    with caplog.at_level(logging.WARNING):
        told(written(tmp_path, b"me:s3cret", mode))
    assert ("everybody" in caplog.text, "s3cret" in caplog.text) == (warned, False)


def test_one_url_has_one_set_of_credentials(tmp_path: Path) -> None:
    place = written(tmp_path, b"me:s3cret")
    items = [MirrorUpstreamOptions(url=URL, credentials=one) for one in (place, "env:MINE")]
    mirrors = {str(n): MirrorOptions(ecosystem="pypi", upstream=(one,)) for n, one in enumerate(items)}
    assert len(upstream_credentials(mirrors, {"MINE": "me:s3cret"})) == 1
    with pytest.raises(ConfigError, match="another mirror has other credentials"):
        upstream_credentials(mirrors, {"MINE": "you:s3cret"})
