"""Fifty packages of the machine's own registries by mirror, twice: the second time from the cache alone."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from harness import Proxy, clean_environment

MakeProxy = Callable[..., Proxy]

ROOTS = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or ""
"""What this machine's programs trust, its registries included."""

_PYTHON = """
    anyio attrs blinker bleach cachetools certifi charset-normalizer click colorama constantly decorator
    distlib asn1crypto exceptiongroup filelock h11 httpcore hyperlink idna importlib-metadata
    incremental iniconfig
    itsdangerous jinja2 markdown-it-py mdurl more-itertools packaging platformdirs pluggy pyasn1 pyparsing
    python-dateutil pytz requests rfc3986 rsa six sniffio tabulate termcolor toml tomli
    typing-extensions urllib3 wcwidth webencodings werkzeug wheel zipp
"""
_JAVASCRIPT = """
    ansi-regex argparse array-flatten balanced-match bytes color-name concat-map content-type cookie deep-is
    depd destroy ee-first emoji-regex encodeurl escape-html etag fast-deep-equal fresh has-flag inherits ini
    is-fullwidth-code-point isarray isexe lodash.get lodash.merge merge-descriptors methods ms nanoid p-try
    parseurl path-key path-to-regexp range-parser safe-buffer semver setprototypeof shebang-regex slash
    statuses toidentifier unpipe utils-merge uuid vary wrappy yallist @types/ms
"""
PACKAGES = {"pypi": _PYTHON.split(), "npm": _JAVASCRIPT.split()}

_DEFAULT_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


def asked(*command: str) -> str:
    """What the command says; "" if it fails."""
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def python_index() -> str:
    """The index that pip uses: by its configuration, else its own."""
    pip = (sys.executable, "-m", "pip")
    named = os.environ.get("PIP_INDEX_URL") or asked(*pip, "config", "get", "global.index-url")
    return named or asked(sys.executable, "-c", _DEFAULT_INDEX)


def javascript_registry() -> str:
    return asked("npm", "config", "get", "registry") if shutil.which("npm") else ""


def run(command: list[str], folder: Path, told: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **told}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


def pip_install(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    options = ["--no-cache-dir", "--no-deps", "--no-compile", "--retries=1", "--target", "got"]
    told = {"PIP_INDEX_URL": f"{url}simple/", "PIP_CONFIG_FILE": os.devnull}
    quiet = ["-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    return run([sys.executable, "-m", "pip", "install", *quiet, *options, *PACKAGES["pypi"]], folder, told)


def npm_install(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts", "--fetch-retries=1"]
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "user", "version": "1.0.0", "private": true}')
    return run(["npm", "install", *options, *PACKAGES["npm"]], folder, {"npm_config_registry": url})


@pytest.mark.registry
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ecosystem", ["pypi", "npm"])
def test_fifty_packages(
    ecosystem: str, make_proxy: MakeProxy, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--every-client", default=False):
        pytest.skip("takes minutes of a registry's time: make clients")
    upstream = python_index() if ecosystem == "pypi" else javascript_registry()
    if not upstream.startswith("https://") or "@" in upstream:
        pytest.skip(f"the client for {ecosystem} names no registry that is open to all")
    if not Path(ROOTS).is_file():
        pytest.skip("this machine has no file of authorities")
    upstream = upstream.rstrip("/").removesuffix("/simple")
    config = {
        "mirrors": {"own": {"ecosystem": ecosystem, "upstream": f"{upstream}/"}},
        "fetch": {"ca_file": ROOTS},
    }
    cache = make_proxy(config=config, threads=64)
    first = cache.get("/own/simple/six/" if ecosystem == "pypi" else "/own/ms", timeout=90.0)
    if first.status != 200:
        pytest.skip(f"the registry for {ecosystem} does not answer: {first.status} {first.reason}")
    install = {"pypi": pip_install, "npm": npm_install}[ecosystem]
    assert len(set(PACKAGES[ecosystem])) == 50
    for time in ("first", "second"):
        done = install(tmp_path / time, f"{cache.url}/own/")
        assert done.returncode == 0, f"{time}: {done.stdout[-1000:]}{done.stderr[-3000:]}"
        cache.terminate()
        cache.configure({**config, "fetch": {"offline": True}})
        cache.start()
    assert files(tmp_path / "first") == files(tmp_path / "second") != {}


def files(folder: Path) -> dict[str, int]:
    """Paths and sizes of all that was installed."""
    found = (path for name in ("got", "node_modules") for path in (folder / name).rglob("*"))
    kept = (path for path in found if path.is_file() and path.name not in (".package-lock.json", "RECORD"))
    return {str(path.relative_to(folder)): path.stat().st_size for path in kept}
