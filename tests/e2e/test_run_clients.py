"""Real clients in `pyproxycache run`: HTTPS is intercepted for them, and cached."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from commands import Done
from harness import Proxy, clean_environment
from origin import Origin

BODY = b"what the origin has\n" * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()
RUN = [sys.executable, "-m", "pyproxycache", "run"]
PYTHON = f"{sys.executable} -c"
HASH = "import hashlib; print(hashlib.sha256(body).hexdigest())"
JAVA = """
import java.net.URI; import java.net.http.*; import java.security.MessageDigest; import java.util.HexFormat;
public class Get { public static void main(String[] words) throws Exception {
  var request = HttpRequest.newBuilder(URI.create(words[0])).build();
  var body = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofByteArray()).body();
  System.out.println(HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body)));
} }
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def origin(authority: trustme.CA) -> Iterator[Origin]:
    """An origin that is not on loopback, where Java asks no proxy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # this sends nothing
        except OSError:
            pytest.skip("this machine has loopback addresses alone")
        host = probe.getsockname()[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with Origin(host=host, tls=context) as one:
        one.put("/file", BODY, headers=[("Cache-Control", "max-age=600")])
        yield one


@pytest.fixture
def environment(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """That of a user who trusts the origin's authority."""
    authority.cert_pem.write_to_path(str(tmp_path / "origin.pem"))
    (tmp_path / "Get.java").write_text(JAVA)
    kept = {
        name: value
        for name, value in clean_environment().items()
        if "CERT" not in name and "CA_" not in name
    }
    return {**kept, "HOME": str(tmp_path), "TMPDIR": "/tmp", "SSL_CERT_FILE": str(tmp_path / "origin.pem")}


def run(environment: dict[str, str], *words: str) -> Done:
    done = subprocess.run([*RUN, *words], env=environment, capture_output=True, text=True, timeout=100)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ("curl", "curl -fsS {url} | sha256sum"),
        ("wget", "wget -qO- {url} | sha256sum"),
        ("python3", f"{PYTHON} 'import urllib.request as u; body = u.urlopen(\"{{url}}\").read(); {HASH}'"),
        ("python3", f"{PYTHON} 'import requests; body = requests.get(\"{{url}}\").content; {HASH}'"),
        ("java", "java $HOME/Get.java {url}"),
    ],
    ids=["curl", "wget", "urllib", "requests", "java"],
)
def test_the_second_time_the_cache_answers(
    origin: Origin, environment: dict[str, str], tool: str, line: str
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    script = line.format(url=origin.url("/file"))
    done = run(environment, "--", "sh", "-c", f"{script}; {script}")
    assert (done.status, done.stdout.count(DIGEST)) == (0, 2), done.stderr
    assert origin.count("/file") == 1
    assert f"2 requests, 1 from the cache, {len(BODY) / 1024:.1f} KiB not downloaded" in done.stderr


def test_git(origin: Origin, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    made = tmp_path / "made"
    who = "-c user.name=tests -c user.email=tests@cache.invalid"
    script = (
        f"git init -q {made}; cd {made}; git {who} commit -q --allow-empty -m First; git update-server-info"
    )
    subprocess.run(["sh", "-ec", script], check=True, env=environment, capture_output=True)
    for path in (made / ".git").rglob("*"):  # git's plain protocol wants files alone
        if path.is_file():
            body, lines = path.read_bytes(), [("Cache-Control", "max-age=600")]
            origin.put(f"/made.git/{path.relative_to(made / '.git')}", body, headers=lines)
    origin.put("/made.git/info/refs?service=git-upload-pack", (made / ".git/info/refs").read_bytes())
    done = run(environment, "--", "git", "clone", "-q", origin.url("/made.git"), str(tmp_path / "cloned"))
    assert done.status == 0, done.stderr
    assert (tmp_path / "cloned/.git/HEAD").exists()
    assert "past the cache" not in done.stderr


def test_apt(origin: Origin, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not installed")
    origin.put(
        "/apt/./Packages", b"Package: made\nVersion: 1\nArchitecture: all\nFilename: made.deb\nSize: 1\n\n"
    )
    for part in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d"):
        (tmp_path / part).mkdir(parents=True)
    sources, status = tmp_path / "sources.list", tmp_path / "status"
    sources.write_text(f"deb [trusted=yes] {origin.url('/apt')} ./\n")
    status.touch()
    settings = {"State": "state", "State::status": status, "Cache": "cache", "Etc::sourcelist": sources}
    options = [f"-oDir::{name}={tmp_path / place}" for name, place in settings.items()]
    options += ["-oDir::Etc::sourceparts=-", "-oAPT::Sandbox::User=root"]
    environment["APT_CONFIG"] = str(tmp_path / "mine.conf")
    (tmp_path / "mine.conf").write_text(
        'APT::Made::Before "kept";\nAcquire::https::Proxy "http://127.0.0.1:1";\n'
    )
    done = run(environment, "--", "apt-get", "-q", *options, "update")
    assert done.status == 0, done.stdout + done.stderr
    assert origin.count("/apt/./Packages") == 1
    assert " 0 from the cache" in done.stderr
    shown = run(environment, "--quiet", "--", "apt-config", "dump")
    assert 'APT::Made::Before "kept";' in shown.stdout


def test_hosts_in_tunnels_and_why(origin: Origin, environment: dict[str, str], tmp_path: Path) -> None:
    url, report = origin.url("/file"), tmp_path / "report.json"
    pinned = f"curl -fsS --cacert {environment['SSL_CERT_FILE']} {url} | sha256sum"
    script = f"for i in 1 2 3 4; do {pinned}; done"
    done = run(environment, "--ephemeral", "--report", str(report), "--", "sh", "-c", script)
    assert done.stdout.count(DIGEST) == 1  # once the client has shown that it trusts this authority alone
    end = f"{origin.host}:{origin.port}"
    assert f"past the cache in tunnels: {end} (leaf-refused)" in done.stderr
    (tunnel,) = json.loads(report.read_text())["tunnels"]
    assert (tunnel["host"], tunnel["why"], tunnel["tunnels"]) == (end, "leaf-refused", 1)
    assert tunnel["bytes"] > len(BODY)
    config = tmp_path / "config.yaml"
    config.write_text(f"intercept: {{except: [{origin.host}]}}\n")
    done = run(environment, "-c", str(config), "--", "sh", "-c", pinned)
    assert (done.stdout.count(DIGEST), f"tunnels: {end} (excepted)" in done.stderr) == (1, True)


def test_an_origin_that_nobody_trusts_is_not_believed(origin: Origin, environment: dict[str, str]) -> None:
    del environment["SSL_CERT_FILE"]
    done = run(
        environment, "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", origin.url("/file")
    )
    assert (done.status, done.stdout) == (0, "502")
    assert f"1 failure: {origin.url('/file')} (UpstreamUnreachable)" in done.stderr


def test_a_server_that_runs_shares_what_is_stored(
    origin: Origin, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    environment |= {
        "HOME": str(home),
        "XDG_DATA_HOME": "",
        "XDG_CACHE_HOME": "",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    home.mkdir()
    subprocess.run([*RUN[:-1], "ca", "init"], env=environment, check=True, capture_output=True)
    trust = {"ca_file": environment["SSL_CERT_FILE"]}
    config = {"intercept": {"hosts": ["*"]}, "connect": {"ports": [origin.port]}, "fetch": trust}
    cache = home / ".cache" / "pyproxycache"
    with Proxy(tmp_path / "server", config=config, cache_dir=cache, environment=environment) as server:
        line = ("curl", "-fsS", "-o", "/dev/null", "-w", "%{http_code}", origin.url("/file"))
        done = run(environment, "--", *line)
        assert (done.stdout, done.status) == ("200", 0), done.stderr
        assert "1 request, 0 from the cache" in done.stderr
        named = run(environment, "--server", server.url, "--", *line)
        assert (named.stdout, named.status) == ("200", 0), named.stderr
        assert named.stderr == f"pyproxycache: the requests are in the log of the server at {server.url}\n"
        script = f'eval "$({" ".join(RUN[:-1])} env)"; {" ".join(line)}'
        shell = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, timeout=110)
        assert shell.stdout == b"200", shell.stderr
    assert origin.count("/file") == 1
