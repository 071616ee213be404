"""Real clients accept leaves once they trust the authority, and refuse them before."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import clean_environment
from origin import Origin

from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.client_trust import ways_to_trust
from pyproxycache.tls.leaves import Leaves

NAMES = (
    "localhost",
    "127.0.0.1",
    "www.example.test",
    "my_bucket.example.test",
    "a" * 60 + ".example.test",  # too long to be a common name
    ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]),
)
ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Served:
    """TLS servers that each show a leaf for one name, and the authority as files."""

    ports: dict[str, int]
    pem: Path
    p12: Path

    def url(self, name: str) -> str:
        return f"https://{name}:{self.ports[name]}/"


@pytest.fixture(scope="module", params=[False, True], ids=["any name", "constrained"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With an authority for any name, or for some domains, whose constraints clients check."""
    folder = tmp_path_factory.mktemp("authority")
    permit = ("localhost", "test", "d" * 61) if request.param else ()
    authority = CertificateAuthority.create(folder / "ca", time.time(), permit)
    leaves = Leaves(authority, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    (folder / "ca.p12").write_bytes(authority.p12)
    ports = {}
    with ExitStack() as running:
        for name in NAMES:
            if name == ADDRESS and permit:
                continue
            origin = running.enter_context(Origin(tls=leaves.context_for(name, ADDRESS, time.time())))
            origin.put("/", b"trusted")
            ports[name] = origin.port
        yield Served(ports, folder / "ca" / "ca.pem", folder / "ca.p12")


def ran(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    variables = clean_environment(environment)
    for name in (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        if name not in environment:
            variables.pop(name, None)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables)


def test_curl(served: Served) -> None:
    for name, port in served.ports.items():
        ask = ("curl", "-sS", "--resolve", f"{name}:{port}:{ADDRESS}", served.url(name))
        assert ran(*ask, "--cacert", str(served.pem)).stdout == "trusted"
        assert ran(*ask).returncode == 60


def test_openssl(served: Served) -> None:
    for name, port in served.ports.items():
        kind = "-verify_ip" if name == ADDRESS else "-verify_hostname"
        ask = ["openssl", "s_client", "-connect", f"{ADDRESS}:{port}", kind, name, "-x509_strict"]
        ask += ["-verify_return_error", "-CAfile"]
        assert "Verification: OK" in ran(*ask, str(served.pem)).stdout
        assert ran(*ask, os.devnull).returncode != 0


def test_wget(served: Served) -> None:
    ask = ("wget", "-qO-", served.url("localhost"))
    assert ran(*ask, f"--ca-certificate={served.pem}").stdout == "trusted"
    assert ran(*ask).returncode == 5


def reachable(served: Served) -> list[str]:
    """The names that the system resolves."""
    return [name for name in ("localhost", ADDRESS) if name in served.ports]


def test_node(served: Served) -> None:
    code = (
        "require('https').get(process.argv[1], {agent: false}, answer => answer.pipe(process.stdout))"
        ".on('error', error => { console.error(error.code); process.exit(3) })"
    )
    for name in reachable(served):
        ask = ("node", "-e", code, served.url(name))
        assert ran(*ask, NODE_EXTRA_CA_CERTS=str(served.pem)).stdout == "trusted"
        assert ran(*ask).returncode == 3


def test_python_requests(served: Served) -> None:
    code = "import requests, sys; print(requests.get(sys.argv[1]).text)"
    for name in reachable(served):
        ask = (sys.executable, "-c", code, served.url(name))
        assert ran(*ask, REQUESTS_CA_BUNDLE=str(served.pem)).stdout == "trusted\n"
        assert "CERTIFICATE_VERIFY_FAILED" in ran(*ask).stderr


JAVA = """
import java.net.*; import java.net.http.*;
public class Ask {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            var request = HttpRequest.newBuilder(URI.create(name)).build();
            var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.body());
        }
    }
}
"""


@pytest.mark.parametrize("served", [True], indirect=True, ids=["constrained"])
def test_java(served: Served, tmp_path: Path) -> None:
    """With the store without a password, as it is served."""
    (tmp_path / "Ask.java").write_text(JAVA)
    urls = [served.url(name) for name in reachable(served)]
    trust = f"-Djavax.net.ssl.trustStore={served.p12}"
    done = ran("java", trust, str(tmp_path / "Ask.java"), *urls)
    assert done.stdout == "trusted\n" * len(urls), done.stderr
    refused = ran("java", str(tmp_path / "Ask.java"), urls[0])
    assert (refused.returncode, "PKIX path building failed" in refused.stderr) == (1, True)


@pytest.mark.parametrize("served", [True], indirect=True, ids=["constrained"])
def test_keytool_imports_it(served: Served, tmp_path: Path) -> None:
    store = ["-keystore", str(tmp_path / "store"), "-storepass", "changeit"]
    done = ran(
        "keytool", "-importcert", "-noprompt", *store, "-alias", "pyproxycache", "-file", str(served.pem)
    )
    assert done.returncode == 0, done.stdout


def leaf_files(served: Served, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each name, and its leaf as a file."""
    for number, (name, port) in enumerate(served.ports.items()):
        file = folder / f"leaf-{number}.pem"
        file.write_text(ssl.get_server_certificate((ADDRESS, port)))
        yield name, file


def test_chromium_s_store_takes_it_as_it_is_told(served: Served, tmp_path: Path) -> None:
    """By the line for people; NSS, whose store it is, then accepts the leaves for servers."""
    if shutil.which("certutil") is None:
        pytest.skip("certutil is not installed")
    line = dict(ways_to_trust(str(served.pem)))["Chromium"]
    certutil = ["certutil", "-d", f"sql:{tmp_path}/.pki/nssdb"]
    for name, file in leaf_files(served, tmp_path):
        if name == NAMES[0]:
            assert ran("sh", "-c", line, HOME=str(tmp_path)).returncode == 0
        assert ran(*certutil, "-A", "-t", ",,", "-n", file.stem, "-i", str(file)).returncode == 0
        valid = ran(*certutil, "-V", "-u", "V", "-n", file.stem)
        assert "certificate is valid" in valid.stdout + valid.stderr
    assert ran(*certutil, "-D", "-n", "pyproxycache").returncode == 0
    assert ran(*certutil, "-V", "-u", "V", "-n", "leaf-0").returncode != 0


GO = """
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func read(path string) *x509.Certificate {
	data, _ := os.ReadFile(path)
	block, _ := pem.Decode(data)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	return certificate
}

func main() {
	roots := x509.NewCertPool()
	roots.AddCert(read(os.Args[1]))
	for at := 2; at < len(os.Args); at += 2 {
		_, err := read(os.Args[at]).Verify(x509.VerifyOptions{Roots: roots, DNSName: os.Args[at+1]})
		fmt.Println(err)
	}
}
"""


def test_go(served: Served, tmp_path: Path) -> None:
    (tmp_path / "verify.go").write_text(GO)
    leaves = {name: str(file) for name, file in leaf_files(served, tmp_path)}
    asked = [text for name, file in leaves.items() for text in (file, name)]
    other = [leaves["localhost"], "www.example.test"]
    done = ran("go", "run", str(tmp_path / "verify.go"), str(served.pem), *asked, *other)
    *good, bad = done.stdout.splitlines()
    assert good == ["<nil>"] * len(leaves), done.stderr
    assert "certificate is valid for localhost, not www.example.test" in bad
