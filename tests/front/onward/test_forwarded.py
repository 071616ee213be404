"""What origins are told of clients, as a table."""

import time
from ipaddress import ip_network

import pytest

from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.messages import Headers, Request
from pyproxycache.options import ForwardedOptions
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.urls import parse_url

NAMES = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded")
CLIENT, PROXY = "192.0.2.1", "10.0.0.1"
OWN = (CLIENT, "front:80", "http", f'for={CLIENT};host="front:80";proto=http')
GIVEN = ("1.1.1.1", "site.example", "https", "for=1.1.1.1;proto=https;host=site.example")
ADDED = f'for={PROXY};host="front:80";proto=http'


def told(
    client: str,
    *fields: tuple[str, str],
    send: bool | None = None,
    is_reverse: bool = True,
    trust: str = "10.0.0.0/8",
    scheme: str = "http",
) -> tuple[str | None, ...]:
    options = ForwardedOptions(send=send, trust=(ip_network(trust),) if trust else ())
    headers = Headers((("Host", "front:80"), *fields))
    request = Request("GET", parse_url("http://h/p"), headers, client)
    passed = Forwarding(options, is_reverse=is_reverse).with_fields(request, scheme)
    assert passed.headers.get("host") == "front:80"
    sent = end_to_end(passed.headers)
    return tuple(sent.get(name) for name in NAMES)


ALL = tuple(zip(NAMES, GIVEN, strict=True))


@pytest.mark.parametrize(
    ("client", "fields", "expected"),
    [
        pytest.param(CLIENT, (), OWN, id="said-by-the-cache"),
        pytest.param(CLIENT, ALL, OWN, id="a-client-vouches-for-nothing"),
        pytest.param(
            CLIENT, (("Connection", ", ".join(NAMES)),), OWN, id="nor-has-it-what-is-said-taken-away"
        ),
        pytest.param(
            PROXY,
            (*ALL, ("Connection", "keep-alive, x-forwarded-for"), ("Connection", "Forwarded, close")),
            (PROXY, "site.example", "https", ADDED),
            id="what-was-for-this-proxy-alone",
        ),
        pytest.param(
            PROXY,
            ALL,
            (f"1.1.1.1, {PROXY}", "site.example", "https", f"{GIVEN[3]}, {ADDED}"),
            id="a-trusted-proxys-word-is-kept",
        ),
        pytest.param(
            PROXY,
            (("Forwarded", 'for=_a;Host="x;y:1";PROTO=https, for=b;host=z;proto=http'),),
            (
                PROXY,
                "x;y:1",
                "https",
                f'for=_a;Host="x;y:1";PROTO=https, for=b;host=z;proto=http, {ADDED}',
            ),
            id="the-first-element-counts",
        ),
        pytest.param(
            "2001:db8::1",
            (),
            ("2001:db8::1", "front:80", "http", 'for="[2001:db8::1]";host="front:80";proto=http'),
            id="ipv6",
        ),
    ],
)
def test_reverse_proxy(client: str, fields: tuple[tuple[str, str], ...], expected: object) -> None:
    assert told(client, *fields) == expected
    assert told(client, *fields, send=True, is_reverse=False) == expected


@pytest.mark.parametrize(
    ("client", "fields", "expected"),
    [
        (CLIENT, (), (CLIENT, "front:80", "https", f'for={CLIENT};host="front:80";proto=https')),
        (
            CLIENT,
            (("X-Forwarded-Proto", "http"),),
            (CLIENT, "front:80", "https", f'for={CLIENT};host="front:80";proto=https'),
        ),
        (
            PROXY,
            (("X-Forwarded-Proto", "http"),),  # that proxy came by TLS for a client that did not
            (PROXY, "front:80", "http", f'for={PROXY};host="front:80";proto=https'),
        ),
    ],
)
def test_a_client_that_came_by_tls(
    client: str, fields: tuple[tuple[str, str], ...], expected: object
) -> None:
    assert told(client, *fields, scheme="https") == expected


OF_PROXIES = ("X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Real-IP", "X-Original-URL")
RESPELLED = ("X_Forwarded_For", "x.forwarded.host", "X_Real_IP")


@pytest.mark.parametrize(
    ("client", "is_reverse", "left"),
    [
        pytest.param(CLIENT, True, (), id="a-client-says-nothing-of-itself"),
        pytest.param(PROXY, True, OF_PROXIES, id="a-trusted-proxy-does"),
        pytest.param(CLIENT, False, (*OF_PROXIES, "X_Real_IP"), id="forward-proxies-ask-as-clients"),
    ],
)
def test_what_proxies_alone_may_say(client: str, is_reverse: bool, left: tuple[str, ...]) -> None:
    """Upstreams may read other marks in a name as "-", so a respelled name is as good as its own."""
    fields = [(name, "said") for name in (*OF_PROXIES, *RESPELLED, "X-HTTP-Method-Override", "X_Mine")]
    options = ForwardedOptions(send=True, trust=(ip_network("10.0.0.0/8"),))
    request = Request("GET", parse_url("http://h/p"), Headers(fields), client)
    passed = Forwarding(options, is_reverse=is_reverse).with_fields(request, "http")
    said = [name for name, value in passed.headers if value == "said"]
    assert said == [*left, "X-HTTP-Method-Override", "X_Mine"]


NOTHING = (None,) * 4


@pytest.mark.parametrize(
    ("client", "is_reverse", "expected"),
    [
        pytest.param(CLIENT, True, NOTHING, id="reverse"),
        pytest.param(PROXY, True, GIVEN, id="reverse-behind-a-trusted-proxy"),
        pytest.param(CLIENT, False, GIVEN, id="forward"),
    ],
)
def test_sent_by_none(client: str, is_reverse: bool, expected: object) -> None:
    assert told(client, *ALL, send=False, is_reverse=is_reverse) == expected
    if not is_reverse:
        assert told(client, *ALL, send=None, is_reverse=False) == expected


@pytest.mark.parametrize("text", ["a", "a=", 'a="', ";a", "; ", '";', "host=x;", ","])
def test_no_value_takes_long(text: str) -> None:
    began = time.thread_time()
    told(PROXY, ("Forwarded", text * 20_000))
    assert time.thread_time() - began < 2.0


def test_only_whole_names_count() -> None:
    said = ("Forwarded", "x-host=evil;for=1.1.1.1;ghost=evil;host=site")
    assert told(PROXY, said)[1] == "site"
