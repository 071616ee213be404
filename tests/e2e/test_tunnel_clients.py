"""Real clients that reach https through tunnels."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate
from harness import Proxy, clean_environment
from origin import Generated, Origin

BODY = Generated(3_000_000, seed=61)
DIGEST = BODY.sha256()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def secured(certificate: Certificate) -> Iterator[Origin]:
    with Origin(tls=certificate.server()) as running:
        running.put("/file", BODY)
        yield running


@pytest.fixture
def proxy(make_proxy: Callable[..., Proxy], secured: Origin) -> Proxy:
    return make_proxy(config={"connect": {"ports": [secured.port]}})


def run(command: list[str], folder: Path, stdin: bytes = b"", **environment: str) -> bytes:
    tool = command[0]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(environment),
        input=stdin,
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_curl(proxy: Proxy, secured: Origin, certificate: Certificate, tmp_path: Path) -> None:
    url = f"https://localhost:{secured.port}/file"
    trust = ["--cacert", str(certificate.certificate)]
    run(["curl", "-fsS", *trust, "-x", proxy.url, "-o", "out", url], tmp_path)
    run(["curl", "-fsS", *trust, "-o", "again", url, "-o", "more", url], tmp_path, https_proxy=proxy.url)
    assert {sha256(tmp_path / name) for name in ("out", "again", "more")} == {DIGEST}
    upload = ["curl", "-fsS", *trust, "-x", proxy.url, "--data-binary", "@out", "-o", "answer", url]
    run(upload, tmp_path)
    assert [asked.method for asked in secured.requests] == ["GET", "GET", "GET", "POST"]
    assert hashlib.sha256(secured.requests[-1].body).hexdigest() == DIGEST
    names = {name.lower() for asked in secured.requests for name, _value in asked.headers}
    assert not names & {"via", "proxy-connection", "x-forwarded-for"}


def test_curl_is_told_why_not(proxy: Proxy, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", "-o", "out", "-w", "%{http_connect}", "-x", proxy.url, "https://localhost:1/"]
    done = subprocess.run(command, cwd=tmp_path, env=clean_environment(), capture_output=True, timeout=100)
    assert (done.returncode, done.stdout) == (56, b"403")


def test_pythons_http_client(proxy: Proxy, secured: Origin, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    client = http.client.HTTPSConnection(*proxy.address, context=context, timeout=30)
    client.set_tunnel("localhost", secured.port)
    for _ in range(2):
        client.request("GET", "/file")
        assert hashlib.sha256(client.getresponse().read()).hexdigest() == DIGEST
    client.close()
    assert secured.accepted == 1


_NODE = """
const [proxyPort, port, ca] = process.argv.slice(2);
const http = require('http'), https = require('https'), crypto = require('crypto');
const asking = http.request({port: proxyPort, method: 'CONNECT', path: `localhost:${port}`});
asking.on('connect', (answer, socket, head) => {
  if (answer.statusCode !== 200 || head.length) process.exit(2);
  const agent = new https.Agent({keepAlive: true});
  const options = {host: 'localhost', path: '/file', socket, agent, ca: require('fs').readFileSync(ca)};
  https.get(options, (response) => {
    const hash = crypto.createHash('sha256');
    response.on('data', (piece) => hash.update(piece));
    response.on('end', () => { console.log(hash.digest('hex')); process.exit(0); });
  });
});
asking.end();
"""


def test_node(proxy: Proxy, secured: Origin, certificate: Certificate, tmp_path: Path) -> None:
    script = tmp_path / "client.js"
    script.write_text(_NODE)
    ports = [str(proxy.address[1]), str(secured.port)]
    said = run(["node", str(script), *ports, str(certificate.certificate)], tmp_path)
    assert said.decode().strip() == DIGEST


def test_openssl(proxy: Proxy, secured: Origin, certificate: Certificate, tmp_path: Path) -> None:
    secured.put("/small", b"the whole of it")
    end = f"localhost:{secured.port}"
    command = ["openssl", "s_client", "-quiet", "-verify_return_error", "-ignore_unexpected_eof"]
    command += ["-proxy", proxy.netloc, "-CAfile", str(certificate.certificate), "-connect", end]
    asked = f"GET /small HTTP/1.1\r\nHost: {end}\r\nConnection: close\r\n\r\n".encode()
    assert run(command, tmp_path, asked).endswith(b"\r\n\r\nthe whole of it")


def test_git(proxy: Proxy, secured: Origin, certificate: Certificate, tmp_path: Path) -> None:
    names = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    who = dict.fromkeys(names, "tests@cache.invalid")
    made = tmp_path / "made"
    made.mkdir()
    (made / "file").write_bytes(BODY.slice(0, 100_000))
    run(["git", "init", "-q"], made)
    run(["git", "add", "file"], made)
    run(["git", "commit", "-q", "-m", "First"], made, **who)
    run(["git", "update-server-info"], made)
    # Git's plain protocol wants files alone.
    folder = made / ".git"
    for path in folder.rglob("*"):
        if path.is_file():
            secured.put(f"/made.git/{path.relative_to(folder)}", path.read_bytes())
    secured.put("/made.git/info/refs?service=git-upload-pack", (folder / "info" / "refs").read_bytes())
    run(
        ["git", "clone", "-q", f"https://localhost:{secured.port}/made.git", "cloned"],
        tmp_path,
        https_proxy=proxy.url,
        GIT_SSL_CAINFO=str(certificate.certificate),
    )
    assert (tmp_path / "cloned" / "file").read_bytes() == BODY.slice(0, 100_000)
