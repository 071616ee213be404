"""Which names a certificate can be for, and which of them an authority may sign."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.tls.subject_names import EVERY_ADDRESS, NameConstraints, domain_name, subject_name

LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("example.org.", "example.org"),
        ("localhost", "localhost"),
        ("a", "a"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("r3---sn-4g5e6nzs.example.org", "r3---sn-4g5e6nzs.example.org"),
        ("my_bucket.s3.example.org", "my_bucket.s3.example.org"),
        ("_dmarc.example.org", "_dmarc.example.org"),
        ("1.example.org", "1.example.org"),
        ("1.2.3.4.example.org", "1.2.3.4.example.org"),
        ("3com", "3com"),
        ("a" * 63 + ".org", "a" * 63 + ".org"),
        (LONGEST, LONGEST),
        (LONGEST + ".", LONGEST),
        ("192.0.2.1", ip_address("192.0.2.1")),
        ("2001:db8::1", ip_address("2001:db8::1")),
        ("2001:DB8:0:0::1", ip_address("2001:db8::1")),
        ("[2001:db8::1]", ip_address("2001:db8::1")),
        ("::ffff:192.0.2.1", ip_address("::ffff:192.0.2.1")),
    ],
)
def test_a_name_is_taken_in_one_form(text: str, name: object) -> None:
    assert subject_name(text) == name
    assert subject_name(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "*",
        "*.example.org",
        "www.*.org",
        "w*.example.org",
        ".example.org",
        "example..org",
        "example.org..",
        "-example.org",
        "example-.org",
        "www.example-",
        "exam ple.org",
        " example.org",
        "example.org\n",
        "example.org\r\nx: y",
        "example.org\0",
        "example.org\0.attacker.example",
        "exämple.org",
        "example。org",
        "example.org:443",
        "https://example.org",
        "example.org/",
        "user@example.org",
        "a" * 64 + ".org",
        LONGEST + "d",
        "a." * 128,
        "a" * 100_000,
        "1",
        "1234567890",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "0x7f.1",
        "example.0x7f",
        "example.42",
        "01.02.03.04",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "[::1",
        "[192.0.2.1",
        ":::1",
        "\udc80.example.org",
    ],
)
def test_what_is_no_name_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="can have no certificate: ") as refused:
        subject_name(text)
    told = str(refused.value)
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 250


WHOLE = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
PIECES = st.sampled_from(
    ["a", "B", "-", "_", ".", "..", "1", "0x", "*", "xn--", ":", "[", "]", "%", "\0", "é", " "]
)


@given(st.text(max_size=300) | st.lists(PIECES, max_size=12).map("".join) | st.ip_addresses().map(str))
def test_whatever_comes_is_refused_or_a_name(text: str) -> None:
    try:
        name = subject_name(text)
    except ValueError:
        return
    assert subject_name(str(name)) == name
    if isinstance(name, str):
        assert WHOLE.fullmatch(name)
        assert len(name) <= 253
        assert text.lower().removesuffix(".") == name
    else:
        assert ip_address(text.strip("[]")) == name


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.org", "example.org"),
        (".Example.ORG", "example.org"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("org", "org"),
    ],
)
def test_a_domain_is_taken_in_one_form(text: str, domain: str) -> None:
    assert domain_name(text) == domain


@pytest.mark.parametrize(
    "text", ["*", "", ".", "192.0.2.1", "::1", "*.example.org", "exam ple", "10.0.0.0/8"]
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not accepted: "):
        domain_name(text)


SOME = NameConstraints(domains=("example.org", "lan"), excluded_domains=("secret.example.org",))
IN_NET = NameConstraints(
    networks=(ip_network("10.0.0.0/8"),), excluded_networks=(ip_network("10.1.0.0/16"),)
)


@pytest.mark.parametrize(
    ("constraints", "name", "permitted"),
    [
        (NameConstraints(), "example.org", True),
        (NameConstraints(), "192.0.2.1", True),
        (SOME, "example.org", True),
        (SOME, "www.example.org", True),
        (SOME, "nas.lan", True),
        (SOME, "badexample.org", False),
        (SOME, "example.com", False),
        (SOME, "org", False),
        (SOME, "secret.example.org", False),
        (SOME, "very.secret.example.org", False),
        (SOME, "192.0.2.1", True),
        (IN_NET, "10.0.0.1", True),
        (IN_NET, "10.1.0.1", False),
        (IN_NET, "192.0.2.1", False),
        (IN_NET, "::1", False),
        (IN_NET, "example.org", True),
        (NameConstraints(domains=("",)), "example.org", True),
    ],
)
def test_who_is_permitted(constraints: NameConstraints, name: str, permitted: bool) -> None:
    assert constraints.permit(subject_name(name)) is permitted


@pytest.mark.parametrize(
    ("constraints", "told"),
    [
        (NameConstraints(), "every host name; every address"),
        (SOME, "example.org, lan and names below except secret.example.org; every address"),
        (IN_NET, "every host name; 10.0.0.0/8 except 10.1.0.0/16"),
        (
            NameConstraints(domains=("lan",), excluded_networks=EVERY_ADDRESS),
            "lan and names below; no address",
        ),
    ],
)
def test_who_is_permitted_is_told(constraints: NameConstraints, told: str) -> None:
    assert str(constraints) == told
