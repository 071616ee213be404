"""The authority and its leaves, by what independent judges say of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from judges import by_cryptography, by_openssl, is_address

from pyproxycache.errors import ConfigError
from pyproxycache.tls.certificate_authority import CertificateAuthority, Leaf

NOW = 1_800_000_000.0
HOUR, DAY = 3600, 86400
KEY = ec.generate_private_key(ec.SECP256R1())
SIXTY_FOUR = "a" * 60 + ".org"
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
NAMES = [
    "example.org",
    "localhost",
    "xn--mnchen-3ya.de",
    "my_bucket.example.org",
    "1.example.org",
    SIXTY_FOUR,
    "a" + SIXTY_FOUR,
    LONGEST,
    "192.0.2.1",
    "2001:db8::1",
    "::ffff:192.0.2.1",
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path_factory.mktemp("authority") / "ca", NOW)


def mint(authority: CertificateAuthority, name: str, now: float = NOW) -> Leaf:
    return authority.mint(name, KEY.public_key(), now)


def read(leaf: Leaf) -> x509.Certificate:
    return x509.load_pem_x509_certificate(leaf.chain)


Kind = TypeVar("Kind", bound=x509.ExtensionType)


def extension(certificate: x509.Certificate, kind: type[Kind]) -> x509.Extension[Kind]:
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("name", NAMES)
def test_judges_accept_a_leaf(tmp_path: Path, authority: CertificateAuthority, name: str) -> None:
    leaf = mint(authority, name)
    assert by_openssl(tmp_path, authority.pem, leaf.chain, name, NOW) == ""
    if "_" not in name:  # which cryptography's verifier does not ask for
        assert by_cryptography(authority.pem, leaf.chain, name, NOW) == ""


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
HOSTS = st.lists(LABELS, min_size=1, max_size=5).map(".".join).filter(lambda name: len(name) < 200)


@given(host=HOSTS.map(lambda name: f"{name}.example") | st.ip_addresses().map(str))
def test_a_judge_accepts_a_leaf_for_any_host(authority: CertificateAuthority, host: str) -> None:
    assert by_cryptography(authority.pem, mint(authority, host).chain, host, NOW) == ""


def test_judges_refuse_what_they_should(tmp_path: Path, authority: CertificateAuthority) -> None:
    leaf, other = mint(authority, "example.org"), CertificateAuthority.create(tmp_path / "other", NOW)
    for root, name, now in (
        (authority.pem, "www.example.org", NOW),
        (authority.pem, "example.org", NOW + 40 * DAY),
        (other.pem, "example.org", NOW),
    ):
        assert by_openssl(tmp_path, root, leaf.chain, name, now) != ""
        assert by_cryptography(root, leaf.chain, name, now) != ""


def general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_leaf_says(authority: CertificateAuthority, name: str) -> None:
    leaf = mint(authority, name)
    found, own = read(leaf), x509.load_pem_x509_certificate(authority.pem)
    names = extension(found, x509.SubjectAlternativeName)
    assert list(names.value) == [general(name)]
    common = [str(one.value) for one in found.subject]
    assert common == ([str(general(name).value)] if len(name) <= 64 else [])
    assert names.critical is (not common)
    assert found.issuer.public_bytes() == own.subject.public_bytes()
    identifier = extension(own, x509.SubjectKeyIdentifier).value.digest
    assert extension(found, x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert extension(found, x509.SubjectKeyIdentifier).value.digest != identifier
    constraints = extension(found, x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca) == (True, False)
    assert list(extension(found, x509.ExtendedKeyUsage).value) == [x509.OID_SERVER_AUTH]
    usage = extension(found, x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    life = found.not_valid_after_utc - found.not_valid_before_utc
    assert timedelta(days=30) < life <= timedelta(days=45)
    assert NOW - 2 * HOUR == found.not_valid_before_utc.timestamp() == leaf.begins
    assert found.not_valid_after_utc.timestamp() == leaf.expires


def test_what_the_authority_says(authority: CertificateAuthority) -> None:
    own = x509.load_pem_x509_certificate(authority.pem)
    constraints = extension(own, x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = extension(own, x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    assert isinstance(own.public_key(), ec.EllipticCurvePublicKey)
    assert all(len(str(one.value)) <= 64 for one in own.subject)
    assert own.not_valid_before_utc.timestamp() == NOW - 2 * HOUR
    assert own.fingerprint(hashes.SHA256()).hex() == authority.fingerprint.replace(":", "").lower()
    assert own.public_bytes(Encoding.DER) == authority.der


def test_authorities_have_different_names(tmp_path: Path) -> None:
    made = [CertificateAuthority.create(tmp_path / name, NOW) for name in "ab"]
    assert made[0].subject != made[1].subject


def test_serials_are_never_those_of_another(authority: CertificateAuthority) -> None:
    serials = [read(mint(authority, "example.org")).serial_number for _ in range(500)]
    assert len(set(serials)) == 500
    assert all(0 < serial < 1 << 159 for serial in serials)
    # Random in all their bits: each of the upper 128 is set in some and not in others.
    upper = [serial >> 31 for serial in serials]
    assert all(0 < sum(one >> bit & 1 for one in upper) < 500 for bit in range(128))


@pytest.mark.parametrize("name", ["*.example.org", "", "exam ple.org", "a..b", "1.2.3", "example.org\n"])
def test_no_leaf_for_what_is_no_name(authority: CertificateAuthority, name: str) -> None:
    with pytest.raises(ValueError, match="can have no certificate"):
        mint(authority, name)


def test_a_leaf_is_due_long_before_it_expires(authority: CertificateAuthority) -> None:
    leaf = mint(authority, "example.org")
    assert not leaf.is_due(NOW)
    assert not leaf.is_due(NOW + 20 * DAY)
    assert leaf.is_due(NOW + 30 * DAY)
    assert leaf.is_due(NOW - DAY)
    assert leaf.is_valid(NOW + 30 * DAY)
    assert not leaf.is_valid(NOW + 45 * DAY)


def test_no_leaf_outlives_its_authority(authority: CertificateAuthority) -> None:
    end = authority.validity.end
    leaf = mint(authority, "example.org", end - DAY)
    assert leaf.expires == end == read(leaf).not_valid_after_utc.timestamp()
    assert not leaf.is_due(end - 1)  # a new one would end then, too
    with pytest.raises(ValueError, match="has expired on 20"):
        mint(authority, "example.org", end + 1)
    warnings = [authority.warning(now) for now in (NOW, end - 10 * DAY, end + 1)]
    assert [text is not None and text.split(" 20")[0] for text in warnings] == [
        False,
        "the certificate authority expires on",
        "the certificate authority has expired on",
    ]


def test_what_is_permitted_alone_is_signed(tmp_path: Path) -> None:
    made = CertificateAuthority.create(tmp_path / "ca", NOW, (".example.org", "LAN", "example.org"))
    loaded = CertificateAuthority.load(tmp_path / "ca")
    assert loaded.names.domains == made.names.domains == ("example.org", "lan")
    for name in ("example.org", "www.example.org", "nas.lan"):
        chain = mint(loaded, name).chain
        assert by_openssl(tmp_path, loaded.pem, chain, name, NOW) == ""
        assert by_cryptography(loaded.pem, chain, name, NOW) == ""
    for name in ("example.com", "notexample.org", "org", "192.0.2.1", "::1"):
        with pytest.raises(ValueError, match=f"may not sign for {name}"):
            mint(loaded, name)


def signing_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def made_like(
    authority: CertificateAuthority,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    without: type[x509.ExtensionType] | None = None,
    instead: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """A certificate that signs itself, with what the authority's says, but for one extension."""
    own = x509.load_pem_x509_certificate(authority.pem)
    builder = x509.CertificateBuilder(
        own.subject, own.subject, key.public_key(), 1, own.not_valid_before_utc, own.not_valid_after_utc
    )
    for one in own.extensions:
        if without is None or not isinstance(one.value, without):
            builder = builder.add_extension(one.value, one.critical)
    if instead is not None:
        builder = builder.add_extension(instead, critical=True)
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    return builder.sign(key, None if is_edwards else hashes.SHA256())


@pytest.mark.parametrize("name", ["example.com", "192.0.2.1", "2001:db8::1"])
def test_clients_refuse_what_is_not_permitted(tmp_path: Path, name: str) -> None:
    """Even from one who has the key, and signs what this program would not."""
    made = CertificateAuthority.create(tmp_path / "ca", NOW, ("example.org",))
    key = signing_key(tmp_path / "ca")
    free = CertificateAuthority(key, [made_like(made, key, without=x509.NameConstraints)])
    chain = mint(free, name).chain
    assert by_openssl(tmp_path, free.pem, chain, name, NOW) == ""
    assert "subtree violation" in by_openssl(tmp_path, made.pem, chain, name, NOW)
    assert by_cryptography(made.pem, chain, name, NOW) != ""


def put(folder: Path, key: bytes | None = None, certificate: bytes | None = None) -> Path:
    """Replace the contents of the folder's files."""
    for name, content in (("ca.key", key), ("ca.pem", certificate)):
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CertificateAuthority.create(tmp_path / "ca", NOW)
    return tmp_path / "ca"


def secret(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_one_that_was_made_is_loaded(tmp_path: Path) -> None:
    made = CertificateAuthority.create(tmp_path / "ca", NOW)
    loaded = CertificateAuthority.load(tmp_path / "ca")
    assert (loaded.pem, loaded.fingerprint) == (made.pem, made.fingerprint)
    assert (tmp_path / "ca" / "ca.pem").read_bytes() == made.pem
    assert by_openssl(tmp_path, made.pem, mint(loaded, "example.org").chain, "example.org", NOW) == ""


def of_another(folder: Path) -> Path:
    return put(folder, key=secret(KEY))


def truncated(folder: Path) -> Path:
    return put(folder, certificate=(folder / "ca.pem").read_bytes()[:-60])


def corrupted(folder: Path) -> Path:
    pem = (folder / "ca.pem").read_bytes()
    return put(folder, certificate=pem[:100] + b"AAAA" + pem[104:])


def key_truncated(folder: Path) -> Path:
    return put(folder, key=(folder / "ca.key").read_bytes()[:-50])


def with_passphrase(folder: Path) -> Path:
    kept = BestAvailableEncryption(b"x")
    return put(folder, key=signing_key(folder).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept))


def edwards(folder: Path) -> Path:
    key = ed25519.Ed25519PrivateKey.generate()
    own = made_like(CertificateAuthority.load(folder), key)
    return put(folder, secret(key), own.public_bytes(Encoding.PEM))


def leaf_as_authority(folder: Path) -> Path:
    leaf = mint(CertificateAuthority.load(folder), "example.org")
    return put(folder, secret(KEY), leaf.chain)


def without_identifier(folder: Path) -> Path:
    made = CertificateAuthority.load(folder)
    own = made_like(made, signing_key(folder), without=x509.SubjectKeyIdentifier)
    return put(folder, certificate=own.public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (of_another, "ca.pem is not the certificate of the key in ca.key"),
        (truncated, "ca.pem has no certificate, or a damaged one"),
        (corrupted, "ca.pem "),
        (lambda folder: put(folder, certificate=b""), "ca.pem has no certificate, or a damaged one"),
        (
            lambda folder: put(folder, certificate=b"\0" * 5000),
            "ca.pem has no certificate, or a damaged one",
        ),
        (key_truncated, "ca.key has no private key in PEM, or a damaged one"),
        (lambda folder: put(folder, key=b""), "ca.key has no private key in PEM, or a damaged one"),
        (with_passphrase, "ca.key has a passphrase"),
        (edwards, "ca.key has a key that is neither RSA nor of an elliptic curve"),
        (leaf_as_authority, "ca.pem is not an authority's: it may not sign certificates"),
        (without_identifier, "ca.pem is not an authority's: No "),
    ],
)
def test_what_cannot_be_used_is_told_with_what_to_do(
    folder: Path, spoil: Callable[[Path], Path], told: str
) -> None:
    spoil(folder)
    with pytest.raises(ConfigError) as refused:
        CertificateAuthority.load(folder)
    text = str(refused.value)
    assert text.startswith(f"{folder}/{told}")
    assert "pyproxycache ca init" in text or "store it without" in text
    assert "PRIVATE" not in text


def test_an_authority_by_another_program_is_accepted(tmp_path: Path, folder: Path) -> None:
    """One of a company, between its root and the leaves: its clients have the root alone."""
    root = CertificateAuthority.load(folder)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    between = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "between")]))
        .issuer_name(x509.load_pem_x509_certificate(root.pem).subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(x509.load_pem_x509_certificate(root.pem).not_valid_before_utc)
        .not_valid_after(x509.load_pem_x509_certificate(root.pem).not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            extension(x509.load_pem_x509_certificate(root.pem), x509.KeyUsage).value, critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier(b"between"), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                extension(x509.load_pem_x509_certificate(root.pem), x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(signing_key(folder), hashes.SHA256())
    )
    # The authority of the tests signs for leaves alone; that of a company does not.
    free = made_like(root, signing_key(folder), x509.BasicConstraints, x509.BasicConstraints(True, None))
    put(folder, secret(key), between.public_bytes(Encoding.PEM))
    chain = mint(CertificateAuthority.load(folder), "example.org").chain
    assert len(x509.load_pem_x509_certificates(chain)) == 2
    top = free.public_bytes(Encoding.PEM)
    assert by_openssl(tmp_path, top, chain, "example.org", NOW) == ""
    assert by_cryptography(top, chain, "example.org", NOW) == ""


@pytest.mark.parametrize("permit", [("*",), ("192.0.2.1",), ("exam ple",), ("example.org", "")])
def test_what_is_no_domain_is_not_permitted(tmp_path: Path, permit: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="a domain is accepted, as in"):
        CertificateAuthority.create(tmp_path / "ca", NOW, permit)
    assert list(tmp_path.iterdir()) == []
