"""Which connections are intercepted, by host and by what the client says."""

from __future__ import annotations

import pytest

from pyproxycache.front.interception.exclusions import Exclusions
from pyproxycache.front.interception.interception_rules import (
    Decision,
    Intercept,
    InterceptionRules,
    PassOn,
)
from pyproxycache.options import InterceptOptions
from pyproxycache.tls.client_hello import ClientHello
from pyproxycache.url import Authority, Url

CLIENT = "192.0.2.7"


def rules(*hosts: str, exceptions: tuple[str, ...] = ()) -> InterceptionRules:
    return InterceptionRules(InterceptOptions(hosts=hosts, exceptions=exceptions), Exclusions())


@pytest.mark.parametrize(
    ("hosts", "host", "decision"),
    [
        (("*",), "a.example", None),
        (("*",), "192.0.2.1", None),
        (("a.example",), "a.example", None),
        (("a.example",), "A.example.", None),
        ((".example",), "a.example", None),
        (("a.example",), "b.example", PassOn("not-listed")),
        (("a.example",), "192.0.2.1", None),  # what the client sends may name it
        (("*",), "b.excepted", PassOn("excepted")),
        ((), "a.example", PassOn("")),
    ],
)
def test_by_the_host_alone(hosts: tuple[str, ...], host: str, decision: Decision | None) -> None:
    decided = rules(*hosts, exceptions=(".excepted",)).before(Authority(host, 443), CLIENT, 0.0)
    assert decided == decision


def intercepted(host: str, port: int = 443) -> Intercept:
    return Intercept(Url("https", host, port, "/"))


@pytest.mark.parametrize(
    ("end", "hello", "decision"),
    [
        ("a.example", ClientHello("a.example"), intercepted("a.example")),
        ("a.example", ClientHello(), intercepted("a.example")),
        ("a.example", ClientHello("", ("h2", "http/1.1")), intercepted("a.example")),
        ("a.example", ClientHello("a.example", ("\x1a\x1a", "http/1.1")), intercepted("a.example")),
        ("a.example", ClientHello("a.example", ("h2",)), PassOn("other-protocol")),
        ("a.example", ClientHello("a.example", ("imap",)), PassOn("other-protocol")),
        # The name that the client verifies is the one that counts.
        ("b.example", ClientHello("a.example"), intercepted("a.example")),
        ("a.example", ClientHello("b.example"), PassOn("not-listed")),
        ("a.example", ClientHello("x.excepted"), PassOn("excepted")),
        ("192.0.2.1", ClientHello("a.example"), intercepted("a.example")),
        ("192.0.2.1", ClientHello(), PassOn("not-listed")),
        ("192.0.2.9", ClientHello(), intercepted("192.0.2.9")),
        ("2001:db8::1", ClientHello(), intercepted("2001:db8::1")),
        # Some clients name an address where only names may be.
        ("a.example", ClientHello("192.0.2.1"), intercepted("a.example")),
        ("a.example", ClientHello("*.example"), PassOn("invalid-name")),
        ("a.example", ClientHello("a..example"), PassOn("invalid-name")),
        ("a.example", ClientHello("a.example/x"), PassOn("invalid-name")),
        ("a.example", ClientHello("a" * 64), PassOn("invalid-name")),
        ("a.example", ClientHello("1.2.3"), PassOn("invalid-name")),
    ],
)
def test_by_what_the_client_says(end: str, hello: ClientHello, decision: Decision) -> None:
    chosen = rules("a.example", ".excepted", "192.0.2.9", "2001:db8::1", exceptions=("x.excepted",))
    assert chosen.by_hello(hello, Authority(end, 443), CLIENT, 0.0) == decision


def test_the_port_is_that_of_the_connection() -> None:
    end = Authority("a.example", 8443)
    assert rules("*").by_hello(ClientHello("b.example"), end, CLIENT, 0.0) == intercepted("b.example", 8443)


PLAIN = Intercept(Url("http", "a.example", 80, "/"))


@pytest.mark.parametrize(
    ("data", "decision"),
    [
        (b"GET / HTTP/1.1\r\n", PLAIN),
        (b"GET /", PLAIN),
        (b"OPTIONS *", PLAIN),
        (b"PROPFIND /", PLAIN),
        (b"GET http://a.example/", PLAIN),
        (b"G", None),
        (b"GET", None),
        (b"GET ", None),
        (b"PROPFIND ", None),
        (b"GET  /", PassOn("other-protocol")),
        (b"get /", PassOn("other-protocol")),
        (b"EHLO me", PassOn("other-protocol")),
        (b"SSH-2.0-client\r\n", PassOn("other-protocol")),
        (b"PRI * HTTP/2.0\r\n", PassOn("other-protocol")),
        (b"CONNECT b.example:443", PassOn("other-protocol")),
        (b"\x05\x01\x00", PassOn("other-protocol")),
        (b"ABCDEFGHIJKL", PassOn("other-protocol")),
    ],
)
def test_by_text(data: bytes, decision: Decision | None) -> None:
    assert rules("*").by_text(data, Authority("a.example", 80), CLIENT, 0.0) == decision


def test_a_text_is_decided_at_its_first_telling_byte() -> None:
    for text in (b"GET / HTTP/1.1\r\n", b"SSH-2.0-client\r\n", b"DELETE /a HTTP/1.1\r\n", b"HELP me\r\n"):
        end, chosen = Authority("a.example", 80), rules("*")
        decisions = [chosen.by_text(text[:count], end, CLIENT, 0.0) for count in range(1, len(text))]
        found = [one for one in decisions if one is not None]
        assert len(set(found)) == 1
        assert decisions[: len(decisions) - len(found)] == [None] * (len(decisions) - len(found))


def test_who_refuses_is_excluded_for_a_while() -> None:
    chosen = rules("*")
    end, hello = Authority("a.example", 443), ClientHello("a.example")
    noted = [chosen.exclusions.refused(CLIENT, "a.example", now) for now in (0.0, 10.0, 20.0)]
    assert noted == [0, 0, 300]
    for now, decision in ((319.0, PassOn("leaf-refused")), (320.0, intercepted("a.example"))):
        assert chosen.by_hello(hello, end, CLIENT, now) == decision
    assert chosen.before(end, CLIENT, 30.0) == PassOn("leaf-refused")
    assert chosen.by_hello(hello, end, "192.0.2.8", 30.0) == intercepted("a.example")
    assert chosen.by_hello(ClientHello("b.example"), end, CLIENT, 30.0) == intercepted("b.example")


def test_who_still_refuses_after_that_is_excluded_for_an_hour_each_time() -> None:
    """The first time may have been somebody trying out, for whom others need not pass for long."""
    exclusions = Exclusions()
    for now in (0.0, 1.0, 2.0):
        exclusions.refused(CLIENT, "h", now)
    # Connections that were under way when it was excluded.
    assert [exclusions.refused(CLIENT, "h", now) for now in (3.0, 301.0)] == [0, 0]
    assert [exclusions.refused(CLIENT, "h", now) for now in (302.0, 303.0, 3902.0)] == [3600, 0, 3600]
    assert exclusions.why(CLIENT, "h", 7501.0) == "leaf-refused"
    assert exclusions.why(CLIENT, "h", 7502.0) == ""
    exclusions.accepted(CLIENT, "h", 7502.0)  # another one of its programs
    assert exclusions.refused(CLIENT, "h", 7503.0) == 3600
    assert exclusions.refused(CLIENT, "h", 7503.0 + 2 * 3600.0) == 0, (
        "an hour without one, and all is forgotten"
    )


def test_refusals_long_ago_or_before_an_acceptance_do_not_count() -> None:
    exclusions = Exclusions()
    assert [exclusions.refused(CLIENT, "h", now) for now in (0.0, 1.0, 3600.0, 3601.0)] == [0] * 4
    exclusions.accepted(CLIENT, "h", 3601.0)
    assert [exclusions.refused(CLIENT, "h", now) for now in (3602.0, 3603.0)] == [0] * 2
    assert exclusions.refused(CLIENT, "h", 3604.0)


def test_who_leaves_without_a_word_is_excluded_unless_it_has_accepted_before() -> None:
    exclusions = Exclusions()
    assert [exclusions.left(CLIENT, "h", now) for now in (0.0, 1.0, 2.0)] == [0, 0, 300]
    exclusions.accepted(CLIENT, "other", 0.0)
    assert not any(exclusions.left(CLIENT, "other", now) for now in (1.0, 2.0, 3.0, 3599.0))
    later = [exclusions.left(CLIENT, "other", now) for now in (3600.0, 3601.0, 3602.0)]
    assert later == [0, 0, 300]


def test_who_asks_for_a_clients_certificate_is_excluded_for_all() -> None:
    chosen = rules("*")
    chosen.exclusions.wants_certificate("a.example", 0.0)
    assert chosen.before(Authority("a.example", 443), CLIENT, 3599.0) == PassOn("client-certificate-wanted")
    assert chosen.before(Authority("a.example", 443), CLIENT, 3600.0) is None


def test_a_host_is_examined_once_an_hour() -> None:
    exclusions = Exclusions()
    examined = [exclusions.is_to_be_examined("h", now) for now in (0.0, 1.0, 3599.0, 3600.0, 3601.0)]
    assert examined == [True, False, False, True, False]
    assert exclusions.is_to_be_examined("other", 1.0)


def test_one_network_of_ipv6_is_one_client() -> None:
    exclusions = Exclusions()
    noted = [exclusions.refused(f"2001:db8:0:1::{number}", "h", 0.0) for number in (1, 2, 3)]
    assert noted == [0, 0, 300]
    assert exclusions.why("2001:db8:0:1:ffff::", "h", 1.0) == "leaf-refused"
    assert exclusions.why("2001:db8:0:2::1", "h", 1.0) == ""


def test_what_is_learned_is_bounded() -> None:
    exclusions = Exclusions()
    for number in range(30_000):
        for _ in range(3):
            exclusions.refused(CLIENT, f"h{number}", 0.0)
        exclusions.wants_certificate(f"h{number}", 0.0)
        exclusions.accepted("192.0.2.8", f"h{number}", 0.0)
    assert [exclusions.left("192.0.2.8", "h0", 1.0) for _ in range(3)] == [0, 0, 300]
    assert not any(exclusions.left("192.0.2.8", "h29999", 1.0) for _ in range(3))
    assert exclusions.why(CLIENT, "h0", 1.0) == ""
    assert exclusions.why(CLIENT, "h29999", 1.0) != ""
