"""The authority of a running server: served to clients, in force, replaced by a reload, and refused."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate
from commands import DONE, WRONG_USAGE, call, reload, run
from harness import Proxy, clean_environment
from origin import Origin
from waiting import until

from pyproxycache.tls.certificate_authority import CertificateAuthority

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CertificateAuthority.create(tmp_path / "ca", time.time())
    return tmp_path / "ca"


@pytest.fixture
def origin(certificate: Certificate) -> Iterator[Origin]:
    with Origin(tls=certificate.server()) as running:
        running.put("/", b"content")
        yield running


def configured(folder: Path, origin: Origin, certificate: Certificate) -> dict[str, Any]:
    return {
        "connect": {"ports": [origin.port]},
        "intercept": {"hosts": ["*"], "ca": str(folder)},
        "fetch": {"ca_file": str(certificate.certificate)},
    }


def curl(proxy: Proxy, origin: Origin, trusted: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Ask for the origin's page through the proxy, trusting what these bytes in PEM are of."""
    (folder / "trusted.pem").write_bytes(trusted)
    command = ["curl", "-sS", "--proxy", proxy.url, "--cacert", str(folder / "trusted.pem")]
    command += [f"https://127.0.0.1:{origin.port}/"]
    return subprocess.run(command, capture_output=True, timeout=30, env=clean_environment())


def test_another_authority_comes_into_force_by_a_reload(
    make_proxy: MakeProxy, folder: Path, origin: Origin, certificate: Certificate, tmp_path: Path
) -> None:
    config = configured(folder, origin, certificate)
    proxy = make_proxy(config=config, workers=2)
    first = proxy.get("/ca.pem").body
    for _ in range(4):
        assert curl(proxy, origin, first, tmp_path).stdout == b"content"
    folder.rename(tmp_path / "before")
    # Without an authority the reload is refused, and the old one goes on.
    proxy.reload()
    until(lambda: f"there is no certificate authority in {folder}" in proxy.log())
    assert proxy.get("/ca.pem").body == first
    assert curl(proxy, origin, first, tmp_path).stdout == b"content"
    assert call("ca", "init", "-c", str(proxy.config_file)).status == DONE
    assert proxy.get("/ca.pem").body == first
    reload(proxy, config)
    second = proxy.get("/ca.pem").body
    assert second == (folder / "ca.pem").read_bytes() != first
    for _ in range(4):
        assert curl(proxy, origin, second, tmp_path).stdout == b"content"
    assert curl(proxy, origin, first, tmp_path).returncode == 60
    shown = call("ca", "show", "-c", str(proxy.config_file))
    assert str(folder) in shown.stdout
    assert shown.stdout.split("sha256")[1].split()[0] in proxy.get("/ca").body.decode()


def test_its_end_is_in_the_log(
    make_proxy: MakeProxy, tmp_path: Path, origin: Origin, certificate: Certificate
) -> None:
    CertificateAuthority.create(tmp_path / "ca", time.time() - 3600 * 86400)
    proxy = make_proxy(config=configured(tmp_path / "ca", origin, certificate))
    until(lambda: "intercept.ca: the certificate authority expires on 20" in proxy.log())


def test_an_authority_that_has_expired_signs_nothing_and_is_in_the_log(
    make_proxy: MakeProxy, tmp_path: Path, origin: Origin, certificate: Certificate
) -> None:
    CertificateAuthority.create(tmp_path / "ca", time.time() - 3660 * 86400)
    proxy = make_proxy(config=configured(tmp_path / "ca", origin, certificate))
    until(lambda: "intercept.ca: the certificate authority has expired on 20" in proxy.log())
    # The client has a tunnel, and so the origin's own certificate.
    assert curl(proxy, origin, certificate.certificate.read_bytes(), tmp_path).stdout == b"content"


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        (["example.org", ".example.org", "a.example.org", ".org", "*"], ""),
        (
            ["example.net", "a.example.org", ".example.net", "192.0.2.1"],
            "example.net, .example.net, 192.0.2.1",
        ),
        (["org", "badexample.org"], "org, badexample.org"),
    ],
)
def test_hosts_that_it_may_not_sign_for_are_in_the_log(
    make_proxy: MakeProxy, tmp_path: Path, hosts: list[str], told: str
) -> None:
    CertificateAuthority.create(tmp_path / "ca", time.time(), ("example.org",))
    proxy = make_proxy(config={"intercept": {"hosts": hosts, "ca": str(tmp_path / "ca")}})
    log = proxy.log()
    if told:
        assert f"intercept.hosts: {told}: passed on in tunnels" in log
        assert "example.org and names below; no address" in log
    else:
        assert "intercept.hosts" not in log


def lost(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def open_to_others(folder: Path) -> None:
    (folder / "ca.key").chmod(0o640)


def of_two(folder: Path) -> None:
    CertificateAuthority.create(folder.with_name("other"), time.time())
    (folder.with_name("other") / "ca.pem").replace(folder / "ca.pem")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lost,
            "there is no certificate authority in {0}: make one with `pyproxycache ca init --folder {0}`",
        ),
        (
            open_to_others,
            "{0}/ca.key is open to others (mode 640), who could read the key: chmod 600 {0}/ca.key",
        ),
        (of_two, "{0}/ca.pem is not the certificate of the key in ca.key; move the folder away, and make"),
    ],
)
def test_a_server_does_not_start_without_one_that_can_be_used(
    tmp_path: Path, folder: Path, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(folder)
    file = tmp_path / "proxy.yaml"
    file.write_text(f"intercept: {{hosts: '*', ca: {folder}}}\nlog: {{access: {tmp_path}/none/log}}")
    done = run("serve", "-c", str(file), "--cache-dir", str(tmp_path / "cache"))
    assert done.status == WRONG_USAGE
    lines = done.stderr.splitlines()
    assert any(line.startswith("pyproxycache: intercept.ca: " + told.format(folder)) for line in lines), (
        lines
    )
    assert any("log.access" in line for line in lines)  # all that is wrong is told at once


def test_the_key_is_in_no_log(
    make_proxy: MakeProxy, folder: Path, origin: Origin, certificate: Certificate, tmp_path: Path
) -> None:
    config = configured(folder, origin, certificate) | {"log": {"level": "debug", "access": "-"}}
    proxy = make_proxy(config=config)
    assert curl(proxy, origin, (folder / "ca.pem").read_bytes(), tmp_path).stdout == b"content"
    proxy.get("/ca")
    (folder / "ca.key").chmod(0o644)
    proxy.reload()
    until(lambda: "ca.key is open to others" in proxy.log())
    lines = (folder / "ca.key").read_text().splitlines()
    shown = call("config", "show", "-c", str(proxy.config_file)).stdout
    assert not any(line in text for line in lines for text in (proxy.log(), shown))
