"""Independent judges of chains: OpenSSL's command, Python's strictest, and cryptography's verifier."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError


def is_address(name: str) -> bool:
    with suppress(ValueError):
        ip_address(name)
        return True
    return False


def by_openssl(folder: Path, root: bytes, chain: bytes, name: str, now: float) -> str:
    """What `openssl verify -x509_strict` says against the chain; empty if nothing."""
    (folder / "root.pem").write_bytes(root)
    (folder / "leaf.pem").write_bytes(chain)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(now))]
    command += ["-CAfile", str(folder / "root.pem"), "-untrusted", str(folder / "leaf.pem")]
    command += ["-verify_ip" if is_address(name) else "-verify_hostname", name]
    done = subprocess.run([*command, str(folder / "leaf.pem")], capture_output=True, text=True, timeout=30)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def by_cryptography(root: bytes, chain: bytes, name: str, now: float) -> str:
    """What the verifier of cryptography says against the chain; empty if nothing."""
    leaf, *between = x509.load_pem_x509_certificates(chain)
    builder = PolicyBuilder().store(Store(x509.load_pem_x509_certificates(root)))
    builder = builder.time(datetime.fromtimestamp(now, UTC))
    subject = x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)
    try:
        builder.build_server_verifier(subject).verify(leaf, between)
    except VerificationError as error:
        return str(error)
    return ""


def by_python(root: bytes, server: ssl.SSLContext, name: str) -> str:
    """What a handshake says against it, at the present time, with all the strictness that Python has."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_verify_locations(cadata=root.decode())
    try:
        handshake(client, server, name)
    except ssl.SSLCertVerificationError as error:
        return str(error)
    return ""


def handshake(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    name: str,
    session: ssl.SSLSession | None = None,
    enter: Callable[[ssl.SSLObject], None] = lambda _server: None,
) -> ssl.SSLObject:
    """The client's end after its handshake; raises ssl.SSLError. `enter` gets the server's end before."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(incoming, outgoing, server_side=True)
    enter(there)
    here = client.wrap_bio(outgoing, incoming, server_hostname=name, session=session)
    for _ in range(5):
        for end in (here, there):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    there.write(b"x")
    assert here.read(1) == b"x"
    return here
