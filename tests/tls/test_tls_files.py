"""The files of a listener's TLS: what is wrong with them is said before they are used."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate

from pyproxycache.errors import ConfigError
from pyproxycache.options import TlsOptions
from pyproxycache.tls.tls_files import read_tls_files


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files by what is in them."""
    pairs: dict[str, Certificate] = {}
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        pairs[name] = make_certificate(tmp_path / name, "DNS:localhost")
    found = {f"{name}.pem": pair.certificate for name, pair in pairs.items()}
    found |= {f"{name}.key": pair.key for name, pair in pairs.items()}
    found["missing"] = tmp_path / "missing"
    found["folder"] = tmp_path
    for name, content in (("empty", b""), ("text", b"no PEM at all\n"), ("bytes", bytes(range(256)))):
        found[name] = tmp_path / name
        found[name].write_bytes(content)
    found["chain"] = tmp_path / "chain"
    found["chain"].write_bytes(found["one.pem"].read_bytes() + found["other.pem"].read_bytes())
    found["both"] = tmp_path / "both"
    found["both"].write_bytes(found["one.key"].read_bytes() + found["one.pem"].read_bytes())
    found["locked"] = tmp_path / "locked"
    command = ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", str(pairs["one"].key)]
    subprocess.run([*command, "-out", str(found["locked"])], check=True, capture_output=True)
    return found


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca"),
    [
        ("one.pem", "one.key", None),
        ("chain", "one.key", None),
        ("both", "both", None),
        ("one.pem", "one.key", "other.pem"),
        ("one.pem", "one.key", "chain"),
    ],
)
def test_good_ones(files: dict[str, Path], certificate: str, key: str, client_ca: str | None) -> None:
    options = TlsOptions(
        certificate=files[certificate], key=files[key], client_ca=files[client_ca] if client_ca else None
    )
    assert read_tls_files(options, "tls").certificate == files[certificate].read_bytes()


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "said"),
    [
        ("missing", "one.key", None, ["certificate: {missing} cannot be read: No such file"]),
        ("folder", "one.key", None, ["certificate: {folder} cannot be read: Is a directory"]),
        ("one.pem", "missing", None, ["key: {missing} cannot be read: No such file"]),
        ("missing", "missing", "missing", ["certificate: ", "key: ", "client_ca: "]),
        ("one.pem", "other.key", None, ["key: {other.key} is not the key of the certificate in {one.pem}"]),
        ("empty", "one.key", None, ["certificate: {empty} has no certificate; a file in PEM is accepted"]),
        ("text", "one.key", None, ["certificate: {text} has no certificate"]),
        ("bytes", "one.key", None, ["certificate: {bytes} has no certificate"]),
        ("one.key", "one.key", None, ["certificate: {one.key} has no certificate"]),
        ("one.pem", "text", None, ["key: {text} has no private key; a file in PEM is accepted"]),
        ("one.pem", "empty", None, ["key: {empty} has no private key"]),
        ("one.pem", "one.pem", None, ["key: {one.pem} has no private key"]),
        (
            "one.pem",
            "locked",
            None,
            ["key: {locked} has a passphrase; a file in PEM is accepted whose key"],
        ),
        ("one.pem", "one.key", "empty", ["client_ca: {empty} has no certificate"]),
        ("one.pem", "one.key", "one.key", ["client_ca: {one.key} has no certificate"]),
        ("text", "text", "text", ["certificate: {text} has", "client_ca: {text} has"]),
    ],
)
def test_bad_ones(
    files: dict[str, Path], certificate: str, key: str, client_ca: str | None, said: list[str]
) -> None:
    options = TlsOptions(
        certificate=files[certificate], key=files[key], client_ca=files[client_ca] if client_ca else None
    )
    with pytest.raises(ConfigError) as caught:
        read_tls_files(options, "listen[1].tls")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(said)
    for line, begin in zip(lines, said, strict=True):
        named = re.sub(r"{(.*?)}", lambda found: str(files[found[1]]), begin)
        assert line.startswith(f"listen[1].tls.{named}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads whatever there is")
def test_one_that_may_not_be_read(files: dict[str, Path]) -> None:
    files["one.key"].chmod(0)
    with pytest.raises(ConfigError, match=r"tls\.key: .* cannot be read: Permission denied"):
        read_tls_files(TlsOptions(certificate=files["one.pem"], key=files["one.key"]), "tls")
