"""The commands `ca init`, `ca show`, `ca export` and `ca install`."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import DONE, PROBLEMS, WRONG_USAGE, Done, call
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from harness import clean_environment
from origin import Origin

from pyproxycache.cli.ca.system_store import StoreFailed, SystemStore, find_store
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaves import Leaves

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CertificateAuthority.create(tmp_path / "ca", time.time())
    return tmp_path / "ca"


def read(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_it_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ca"
    done = call("ca", "init", "--folder", str(folder), "--permit", "example.org", "--permit", ".LAN")
    assert (done.status, done.stderr) == (DONE, "")
    own = read((folder / "ca.pem").read_bytes())
    assert own.fingerprint(hashes.SHA256()).hex(":").upper() in done.stdout
    assert "example.org, lan and names below; no address" in done.stdout
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = call("ca", "init", "--folder", str(folder))
    assert (again.status, again.stdout) == (PROBLEMS, "")
    assert again.stderr.startswith(f"pyproxycache: {folder}: there is a certificate authority already")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"HOME": "{0}"}, ".local/share/pyproxycache/ca"),
        ({"HOME": "/nowhere", "XDG_DATA_HOME": "{0}/data"}, "data/pyproxycache/ca"),
        ({"HOME": "{0}", "XDG_DATA_HOME": "relative"}, ".local/share/pyproxycache/ca"),
        ({"HOME": "/nowhere", "STATE_DIRECTORY": "{0}/state:/other"}, "state/ca"),
    ],
)
def test_where_it_is_made_by_default(tmp_path: Path, variables: dict[str, str], where: str) -> None:
    environment = {name: text.format(tmp_path) for name, text in variables.items()}
    if "XDG_DATA_HOME" not in environment:
        environment["XDG_DATA_HOME"] = ""
    assert call("ca", "init", **environment).status == DONE
    assert (tmp_path / where / "ca.key").exists()
    assert call("ca", "show", **environment).stdout.splitlines()[-1].split() == [
        "folder",
        f"{tmp_path / where}",
    ]


@pytest.mark.parametrize("domain", ["*", "192.0.2.1", "exam ple", "", "10.0.0.0/8", "https://example.org"])
def test_only_domains_are_permitted(tmp_path: Path, domain: str) -> None:
    done = call("ca", "init", "--folder", str(tmp_path / "ca"), "--permit", domain)
    assert done.status == WRONG_USAGE
    assert "--permit" in done.stderr
    assert "write it as in example.org" in done.stderr
    assert not (tmp_path / "ca").exists()


def test_a_cache_is_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").touch()
    for folder in (tmp_path, tmp_path / "ca", tmp_path / "below" / "ca"):
        done = call("ca", "init", "--folder", str(folder))
        assert done.status == PROBLEMS
        assert f"is in the cache {tmp_path}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["index.sqlite"]


def test_it_is_shown(folder: Path) -> None:
    authority = CertificateAuthority.load(folder)
    text = call("ca", "show", "--folder", str(folder))
    assert (text.status, text.stderr) == (DONE, "")
    shown = json.loads(call("ca", "show", "--folder", str(folder), "--json").stdout)
    assert authority.fingerprint in text.stdout
    assert "every host name; every address" in text.stdout
    assert shown["sha256"] == authority.fingerprint.replace(":", "").lower()
    assert shown["folder"] == str(folder)
    assert (shown["not_before"], shown["not_after"]) == authority.validity
    assert shown["permitted"] == []


@pytest.mark.parametrize(
    ("days", "status", "told"),
    [(3000, DONE, ""), (3600, DONE, "expires on 20"), (3660, PROBLEMS, "has expired on 20")],
)
def test_its_end_is_told_before(tmp_path: Path, days: int, status: int, told: str) -> None:
    CertificateAuthority.create(tmp_path / "ca", time.time() - days * 86400)
    for form in ((), ("--json",)):
        done = call("ca", "show", "--folder", str(tmp_path / "ca"), *form)
        assert done.status == status
        assert told in done.stderr
        assert bool(done.stderr) is bool(told)


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        (("ca.pem",), "pem"),
        (("ca.CRT",), "pem"),
        (("authority",), "pem"),
        (("ca.cer",), "der"),
        (("ca.der",), "der"),
        (("ca.p12",), "p12"),
        (("ca.pem", "--format", "der"), "der"),
        (("-",), "pem"),
        ((), "pem"),
        (("-", "--format", "p12"), "p12"),
        (("--format", "der"), "der"),
    ],
)
def test_it_is_written_in_the_form_that_is_asked_for(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], form: str
) -> None:
    file = tmp_path / arguments[0] if arguments and arguments[0][0] != "-" else None
    given = [str(file), *arguments[1:]] if file else list(arguments)
    command = ["ca", "export", "--folder", str(folder), *given]
    if file is not None:
        assert call(*command) == Done(DONE, "", "")
        content = file.read_bytes()
    else:
        whole = [sys.executable, "-m", "pyproxycache", *command]
        content = subprocess.run(whole, capture_output=True, check=True, env=clean_environment()).stdout
    own = read((folder / "ca.pem").read_bytes())
    assert b"PRIVATE" not in content
    if form == "p12":
        command = ["openssl", "pkcs12", "-passin", "pass:", "-nodes"]
        content = subprocess.run(command, input=content, capture_output=True, check=True).stdout
        assert b"PRIVATE" not in content
    found = x509.load_der_x509_certificate(content) if form == "der" else read(content)
    assert found == own


def test_what_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    done = call("ca", "export", "--folder", str(folder), str(tmp_path / "none" / "ca.pem"))
    assert done.status == PROBLEMS
    assert (
        done.stderr
        == f"pyproxycache: {tmp_path}/none/ca.pem cannot be written: No such file or directory\n"
    )


@pytest.mark.parametrize("command", ["show", "export", "install"])
def test_without_an_authority_it_is_told_how_one_is_made(tmp_path: Path, command: str) -> None:
    done = call("ca", command, "--folder", str(tmp_path / "ca"))
    assert (done.status, done.stdout) == (PROBLEMS, "")
    assert f"`pyproxycache ca init --folder {tmp_path}/ca`" in done.stderr


@pytest.mark.parametrize("command", ["show", "export", "install"])
def test_a_key_that_others_can_read_is_refused(folder: Path, command: str) -> None:
    (folder / "ca.key").chmod(0o644)
    done = call("ca", command, "--folder", str(folder))
    assert (done.status, done.stdout) == (PROBLEMS, "")
    assert done.stderr.endswith(f"who could read the key: chmod 600 {folder}/ca.key\n")


def as_nobody(*arguments: str) -> Done:
    code = (
        "import os, sys; from pyproxycache.cli import main\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "main(sys.argv[1:], 'pyproxycache')"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean_environment())
    return Done(done.returncode, done.stdout, done.stderr)


@as_root
def test_who_may_not_change_the_system_is_told_what_to_run(tmp_path: Path) -> None:
    if find_store() is None:
        pytest.skip("this system has no store that is known")
    with_access = Path("/tmp") / f"pyproxycache-{os.getpid()}"
    with_access.mkdir()
    try:
        os.chown(with_access, 65534, 65534)
        folder = with_access / "ca"
        assert as_nobody("ca", "init", "--folder", str(folder)).status == DONE
        done = as_nobody("ca", "install", "--folder", str(folder))
        assert (done.status, done.stdout) == (PROBLEMS, "")
        assert done.stderr.endswith(f"; as root: pyproxycache ca install --folder {folder}\n")
        assert "cannot be written: Permission denied" in done.stderr
    finally:
        shutil.rmtree(with_access)


def stand_in(folder: Path, name: str, script: str) -> Path:
    """A program of this name, which stands for one of another distribution."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


PEM = b"-----BEGIN CERTIFICATE-----\n"
PRINT = "AB:" * 31 + "CD"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(("update-ca-trust", "extract"), "extract"), (("trust", "extract-compat"), "extract-compat")],
)
def test_a_store_of_another_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], arguments: str
) -> None:
    anchors, seen = tmp_path / "anchors", tmp_path / "seen"
    stand_in(tmp_path / "bin", command[0], f'echo "$*" $(ls {anchors}) >> {seen}')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    known = [
        SystemStore(("no-such-tool",), tmp_path, ".crt"),
        SystemStore(command, tmp_path / "none", ".crt"),
        SystemStore(command, anchors, ".pem"),
    ]
    assert find_store(known) is None
    anchors.mkdir()
    (anchors / "other.pem").write_text("other")
    store = find_store(known)
    assert store is not None
    assert store.folder == anchors
    for _ in range(2):
        store.install(PRINT, PEM)
        assert store.path_of(PRINT).read_bytes() == PEM
        assert stat.S_IMODE(store.path_of(PRINT).stat().st_mode) == 0o644
    assert store.remove(PRINT)
    assert not store.remove(PRINT)
    name = store.path_of(PRINT).name
    both = f"{arguments} other.pem {name}"
    assert seen.read_text().splitlines() == [both, both, f"{arguments} other.pem"]
    assert [path.name for path in anchors.iterdir()] == ["other.pem"]


def test_a_tool_that_fails_leaves_nothing(tmp_path: Path) -> None:
    failing = stand_in(tmp_path / "bin", "update-ca-trust", "echo one >&2; echo broken store >&2; exit 3")
    silent = stand_in(tmp_path / "bin", "silent", "exit 4")
    anchors = tmp_path / "anchors"
    anchors.mkdir()
    for tool, told in ((failing, "failed: broken store"), (silent, "failed: exit status 4")):
        with pytest.raises(StoreFailed, match=told):
            SystemStore((str(tool),), anchors, ".pem").install(PRINT, PEM)
    with pytest.raises(StoreFailed, match="failed: No such file"):
        SystemStore((str(tmp_path / "gone"),), anchors, ".pem").install(PRINT, PEM)
    with pytest.raises(StoreFailed, match=r"pem cannot be written: No such file or directory"):
        SystemStore((str(silent),), tmp_path / "none", ".pem").install(PRINT, PEM)
    assert list(anchors.iterdir()) == []


def test_where_no_store_is_known_it_is_done_by_hand(folder: Path, tmp_path: Path) -> None:
    if any(
        shutil.which(tool, path="/usr/sbin:/sbin") for tool in ("update-ca-certificates", "update-ca-trust")
    ):
        pytest.skip("this system has a store that is known")
    done = call("ca", "install", "--folder", str(folder), PATH=str(tmp_path))
    assert done.status == PROBLEMS
    assert "do it by hand" in done.stderr
    assert "pyproxycache ca export" in done.stdout


PRIVATE_STORE = """
set -e
mount --make-rprivate /
for folder in /etc/ssl /usr/local/share/ca-certificates; do
    copy=$1$folder; mkdir -p $copy; cp -a $folder/. $copy/; mount --bind $copy $folder
done
shift
exec "$@"
"""


@pytest.fixture
def in_private_store(tmp_path: Path) -> Callable[..., Done]:
    """Runs commands that see, and change, a copy of this system's store."""
    if shutil.which("update-ca-certificates", path="/usr/sbin") is None or shutil.which("unshare") is None:
        pytest.skip("needs update-ca-certificates and unshare")
    (tmp_path / "steps").mkdir()

    def run_there(script: str, **environment: str) -> Done:
        command = ["unshare", "--mount", "sh", "-c", PRIVATE_STORE, "sh", str(tmp_path / "copies")]
        command += ["sh", "-c", script]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=110, env=clean_environment(environment)
        )
        return Done(done.returncode, done.stdout, done.stderr)

    if run_there("true").status != 0:
        pytest.skip("no mount namespace can be made here")
    return run_there


@as_root
def test_programs_of_this_system_trust_it_once_it_is_installed(
    folder: Path, in_private_store: Callable[..., Done]
) -> None:
    """With the system's own tool, in a copy of its store; curl and Python's ssl are its programs."""
    authority = CertificateAuthority.load(folder)
    context = Leaves(authority, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).context_for(
        "localhost", "127.0.0.1", time.time()
    )
    with Origin(tls=context) as origin:
        origin.put("/", b"trusted")
        url = f"https://localhost:{origin.port}/"
        ask = f"curl -sS --noproxy '*' {url}; echo \" $?\""
        code = (
            "import ssl, sys, urllib.request as web\n"
            "trust = ssl.create_default_context(cafile='/etc/ssl/certs/ca-certificates.crt')\n"
            "print(web.urlopen(sys.argv[1], context=trust).read().decode())"
        )
        python = f'{sys.executable} -c "{code}" {url}'
        ca = f"{sys.executable} -m pyproxycache ca install --folder {folder}"
        script = f"{ask}; {ca} && {ca} && {ask} && {python} && {ca} --remove && {ca} --remove; {ask}"
        done = in_private_store(script)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    name = f"pyproxycache-{authority.fingerprint.replace(':', '').lower()[:16]}.crt"
    path = f"/usr/local/share/ca-certificates/{name}"
    installed = f"programs that use the system's store trust it now: {path}"
    others = "programs with a store of their own, and other systems:"
    assert lines == [
        " 60",
        installed,
        others,
        installed,
        others,
        "trusted 0",
        "trusted",
        f"removed {path}",
        f"{path} is not there: nothing to remove",
        " 60",
    ], done.stderr
    assert not Path(path).exists()
