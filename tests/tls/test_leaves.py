"""The leaves of a server: kept, made anew, limited, and accepted by strict clients."""

from __future__ import annotations

import resource
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness import REPOSITORY, clean_environment
from judges import by_python, handshake

from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaves import Leaves, MintRefused

NOW = 1_800_000_000.0
DAY = 86400
CLIENT = "192.0.2.7"


def make_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("authority") / "ca", NOW)


@pytest.fixture
def leaves(authority: CertificateAuthority) -> Leaves:
    return Leaves(authority, make_context)


def shown(context: ssl.SSLContext) -> x509.Certificate:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    der = handshake(client, context, "example.org").getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize(
    "name",
    [
        "example.org",
        "localhost",
        "xn--mnchen-3ya.de",
        "my_bucket.example.org",
        "a" * 61 + ".org",
        ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]),
        "192.0.2.1",
        "2001:db8::1",
    ],
)
def test_strict_clients_accept_a_leaf(tmp_path: Path, name: str) -> None:
    now = time.time()
    authority = CertificateAuthority.create(tmp_path / "ca", now)
    context = Leaves(authority, make_context).context_for(name, CLIENT, now)
    assert by_python(authority.pem, context, name) == ""
    assert by_python(authority.pem, context, "www.example.com") != ""
    other = CertificateAuthority.create(tmp_path / "other", now)
    assert by_python(other.pem, context, name) != ""


def test_a_leaf_is_made_once(leaves: Leaves) -> None:
    first = leaves.context_for("example.org", CLIENT, NOW)
    for name in ("example.org", "EXAMPLE.org", "example.org."):
        assert leaves.context_for(name, "192.0.2.8", NOW + DAY) is first
    assert leaves.context_for("www.example.org", CLIENT, NOW) is not first
    six = leaves.context_for("2001:db8::1", CLIENT, NOW)
    assert leaves.context_for("[2001:DB8:0::1]", CLIENT, NOW) is six


def test_all_leaves_have_one_key_and_the_server_s_own(authority: CertificateAuthority) -> None:
    one, other = Leaves(authority, make_context), Leaves(authority, make_context)
    keys = [
        shown(leaves.context_for(name, CLIENT, NOW)).public_key()
        for leaves, name in ((one, "example.org"), (one, "www.example.org"), (other, "example.org"))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_for_months_the_leaf_shown_is_valid_and_far_from_its_end(leaves: Leaves) -> None:
    serials = set()
    for day in range(400):
        now = NOW + day * DAY
        leaf = shown(leaves.context_for("example.org", CLIENT, now))
        serials.add(leaf.serial_number)
        assert leaf.not_valid_before_utc.timestamp() < now
        assert leaf.not_valid_after_utc.timestamp() > now + 10 * DAY
    assert 5 < len(serials) < 20


def test_after_the_clock_was_set_back_the_leaf_is_valid(leaves: Leaves) -> None:
    leaves.context_for("example.org", CLIENT, NOW + 300 * DAY)
    leaf = shown(leaves.context_for("example.org", CLIENT, NOW))
    assert leaf.not_valid_before_utc.timestamp() < NOW < leaf.not_valid_after_utc.timestamp()


@pytest.mark.parametrize("name", ["*.example.org", "", "1.2.3", "example.org\0", "a" * 300, "exa mple"])
def test_nonsense_has_no_leaf(leaves: Leaves, name: str) -> None:
    with pytest.raises(MintRefused, match="can have no certificate"):
        leaves.context_for(name, CLIENT, NOW)


def test_what_may_not_be_signed_has_no_leaf(tmp_path: Path) -> None:
    leaves = Leaves(CertificateAuthority.create(tmp_path / "ca", NOW, ("example.org",)), make_context)
    leaves.context_for("www.example.org", CLIENT, NOW)
    with pytest.raises(MintRefused, match=r"may not sign for example\.com"):
        leaves.context_for("example.com", CLIENT, NOW)


def test_what_is_never_signed_takes_nothing_from_what_is(tmp_path: Path) -> None:
    leaves = Leaves(CertificateAuthority.create(tmp_path / "ca", NOW, ("example.org",)), make_context)
    for number in range(200):
        for name in (f"h{number}.example.com", f"*.h{number}.example.org"):
            with pytest.raises(MintRefused):
                leaves.context_for(name, CLIENT, NOW)
    for number in range(100):
        leaves.context_for(f"h{number}.example.org", CLIENT, NOW)


def refused(leaves: Leaves, client: str, names: int, now: float) -> int:
    """How many of so many new names have no leaf for this client."""
    count = 0
    for number in range(names):
        try:
            leaves.context_for(f"h{number}.of-{client.replace(':', '-').strip('-')}.example", client, now)
        except MintRefused as error:
            count += "asks for leaves of too many hosts" in str(error)
    return count


def test_one_client_causes_only_so_many_mints(leaves: Leaves) -> None:
    assert refused(leaves, "192.0.2.1", 150, NOW) == 50
    assert refused(leaves, "192.0.2.2", 20, NOW) == 0
    # What is kept costs nothing, and is shown all the same.
    leaves.context_for("h3.of-192.0.2.2.example", "192.0.2.1", NOW)
    assert refused(leaves, "192.0.2.1", 150, NOW + 2) == 30


def test_addresses_of_one_network_are_one_client(leaves: Leaves) -> None:
    assert sum(refused(leaves, f"2001:db8::{number:x}", 10, NOW) for number in range(1, 16)) == 50
    assert refused(leaves, "2001:db8:1::1", 10, NOW) == 0


def test_who_may_have_no_new_leaf_goes_on_with_the_old_one_while_it_is_valid(leaves: Leaves) -> None:
    old = leaves.context_for("example.org", "192.0.2.2", NOW)
    due, over = NOW + 35 * DAY, NOW + 45 * DAY
    assert refused(leaves, "192.0.2.1", 150, due) == 50
    assert leaves.context_for("example.org", "192.0.2.1", due) is old
    assert leaves.context_for("example.org", "192.0.2.2", due) is not old
    old = leaves.context_for("www.example.org", "192.0.2.2", NOW)
    assert refused(leaves, "192.0.2.1", 250, over) > 0
    with pytest.raises(MintRefused):
        leaves.context_for("www.example.org", "192.0.2.1", over)


def test_only_so_many_are_kept_and_who_is_asked_for_stays(leaves: Leaves) -> None:
    first = leaves.context_for("first.example", CLIENT, NOW)
    second = leaves.context_for("second.example", CLIENT, NOW)
    for number in range(999):
        leaves.context_for(f"h{number}.example", f"192.0.{number % 50}.1", NOW)
        leaves.context_for("first.example", CLIENT, NOW)
    assert leaves.context_for("first.example", CLIENT, NOW) is first
    assert leaves.context_for("second.example", CLIENT, NOW) is not second


def test_without_a_descriptor_there_is_no_leaf_and_later_there_is(leaves: Leaves) -> None:
    kept = leaves.context_for("kept.example", CLIENT, NOW)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        with pytest.raises(MintRefused, match="Too many open files"):
            leaves.context_for("example.org", CLIENT, NOW)
        assert leaves.context_for("kept.example", CLIENT, NOW) is kept
        assert leaves.context_for("kept.example", CLIENT, NOW + 35 * DAY) is kept
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert shown(leaves.context_for("example.org", CLIENT, NOW)).issuer.rfc4514_string()


def test_the_key_is_in_memory_alone(tmp_path: Path) -> None:
    """Nothing is opened by a path for a leaf, to be read or to be written."""
    CertificateAuthority.create(tmp_path / "ca", NOW)
    code = (
        "import ssl, sys; from pathlib import Path\n"
        "from pyproxycache.tls.leaves import CertificateAuthority, Leaves\n"
        "authority = CertificateAuthority.load(Path(sys.argv[1]))\n"
        "def told(event, args):\n"
        "    if event == 'open' and isinstance(args[0], int): return\n"
        "    if event.startswith(('open', 'os.', 'tempfile.')): print(event, args)\n"
        "leaves = Leaves(authority, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))\n"
        "sys.addaudithook(told)\n"
        f"leaves.context_for('example.org', '192.0.2.1', {NOW})\n"
        "open('/dev/null').close()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "ca")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert done.stdout.startswith("open ('/dev/null'")


FORKS = """
import os, ssl, sys
from pathlib import Path
from pyproxycache.tls.leaves import CertificateAuthority, Leaves
from judges import handshake
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
authority = CertificateAuthority.load(Path(sys.argv[1]))
leaves = Leaves(authority, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
leaves.context_for("before.example", "192.0.2.1", 1.8e9)
for worker in range(8):
    if os.fork() == 0:
        for name in ("example.org", "www.example.org"):
            context = leaves.context_for(name, "192.0.2.1", 1.8e9)
            shown = handshake(client, context, name).getpeercert(True)
            os.write(1, ssl.DER_cert_to_PEM_cert(shown).encode())
        os._exit(0)
for worker in range(8):
    os.wait()
"""


def test_forked_workers_share_the_key_and_nothing_random(tmp_path: Path) -> None:
    """Two signatures with one nonce would tell the authority's key; ECDSA's first number is made of it."""
    CertificateAuthority.create(tmp_path / "ca", NOW)
    command = [sys.executable, "-c", FORKS, str(tmp_path / "ca")]
    here = clean_environment({"PYTHONPATH": f"{REPOSITORY}:{Path(__file__).parent}"})
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, env=here)
    leaves = x509.load_pem_x509_certificates(done.stdout)
    assert len(leaves) == 16
    assert len({leaf.serial_number for leaf in leaves}) == 16
    assert len({decode_dss_signature(leaf.signature)[0] for leaf in leaves}) == 16
    keys = {
        leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for leaf in leaves
    }
    assert len(keys) == 1


def test_workers_resume_each_other_s_sessions(authority: CertificateAuthority) -> None:
    """Where a connection begins with one context of before the fork, whose keys are those of tickets."""
    base = make_context()
    workers = [Leaves(authority, make_context) for _ in range(2)]
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode, client.maximum_version = False, ssl.CERT_NONE, version

        def met(worker: Leaves, session: ssl.SSLSession | None) -> ssl.SSLObject:
            def show(server: ssl.SSLObject) -> None:
                server.context = worker.context_for("example.org", CLIENT, NOW)

            return handshake(client, base, "example.org", session, show)  # noqa: B023

        first = met(workers[0], None)
        assert not first.session_reused
        assert met(workers[1], first.session).session_reused
