"""The machine's own registries, through a tunnel and by interception, where they answer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from authorities import make_authority
from harness import Proxy, clean_environment

MakeProxy = Callable[..., Proxy]

ROOTS = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or ""
"""What this machine's programs trust, its registries included."""


def pip(folder: Path) -> list[str]:
    """The command that downloads a small package from the index that pip is configured with."""
    options = ["--no-cache-dir", "--disable-pip-version-check", "--no-deps", "-q", "-d", str(folder)]
    return [sys.executable, "-m", "pip", "download", *options, "--no-binary", ":none:", "six==1.16.0"]


def npm(folder: Path) -> list[str]:
    return [
        "npm",
        "pack",
        "--silent",
        "--pack-destination",
        str(folder),
        "--cache",
        f"{folder}-npm",
        "isarray@2.0.5",
    ]


COMMANDS = {"pip": (pip, "six-1.16.0"), "npm": (npm, "isarray-2.0.5")}


def environment(**told: str) -> dict[str, str]:
    """This machine's own, without what pip may take from folders instead."""
    return clean_environment(
        {"PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_CONSTRAINT": "", **told}
    )


def telling(proxy: Proxy, bundle: Path) -> dict[str, str]:
    trust = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "npm_config_cafile", "NODE_EXTRA_CA_CERTS")
    return {"https_proxy": proxy.url, "http_proxy": proxy.url, **dict.fromkeys(trust, str(bundle))}


def digest_of(name: str, folder: Path, told: Mapping[str, str]) -> str:
    command, file = COMMANDS[name]
    folder.mkdir()
    done = subprocess.run(
        command(folder), env=environment(**told), cwd=folder, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = folder.glob(f"{file}*")
    return hashlib.sha256(found.read_bytes()).hexdigest()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every-client", default=False)
    metafunc.parametrize("tool", COMMANDS if every else ["pip"], indirect=True)


@pytest.fixture
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A client, and the digest of what it gets without the cache; skips without an answer."""
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    if not Path(ROOTS).is_file():
        pytest.skip("this machine has no file of authorities")
    try:
        return name, digest_of(name, tmp_path / "direct", {})
    except (AssertionError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"the registry of {name} does not answer: {str(error)[:200]}")


def logged(proxy: Proxy, log: Path) -> list[dict[str, Any]]:
    proxy.terminate()
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.registry
@pytest.mark.timeout(500)
def test_through_a_tunnel(tool: tuple[str, str], make_proxy: MakeProxy, tmp_path: Path) -> None:
    name, digest = tool
    log = tmp_path / "access.log"
    proxy = make_proxy(config={"log": {"access": str(log), "format": "json"}})
    assert digest_of(name, tmp_path / "through", telling(proxy, Path(ROOTS))) == digest
    assert {line["result"] for line in logged(proxy, log)} == {"tunnelled"}


@pytest.mark.registry
@pytest.mark.timeout(500)
def test_by_interception(tool: tuple[str, str], make_proxy: MakeProxy, tmp_path: Path) -> None:
    """Twice: the second time the package comes from the cache."""
    name, digest = tool
    log, bundle = tmp_path / "access.log", tmp_path / "bundle.pem"
    ca = make_authority(tmp_path / "authority")
    bundle.write_bytes(Path(ROOTS).read_bytes() + b"\n" + ca.read_bytes())
    proxy = make_proxy(
        config={
            "intercept": {"hosts": ["*"], "ca": str(ca.parent)},
            "fetch": {"ca_file": ROOTS},
            "log": {"access": str(log), "format": "json"},
        }
    )
    for time in ("first", "second"):
        assert digest_of(name, tmp_path / time, telling(proxy, bundle)) == digest
    lines = logged(proxy, log)
    assert {line["result"] for line in lines if line["method"] == "CONNECT"} == {"intercepted"}
    file = COMMANDS[name][1]
    assert [line["result"] for line in lines if file in line["url"] and line["method"] == "GET"][
        -1
    ] == "hit"
