"""Which credentials and challenges log in a connection: nobody else's request goes over it."""

from __future__ import annotations

import pytest
from scripted import OK, Scripted, get, upstream

from pyproxycache.facts import Facts

CHALLENGE = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n%b: %b\r\n\r\n"


@pytest.mark.parametrize(
    ("credentials", "shared"),
    [
        ("NTLM TlRMTVNTUAAB", False),
        ("ntlm TlRMTVNTUAAB", False),
        ("Negotiate YIIabc==", False),
        ("Negotiate", False),
        ("Kerberos YIIabc==", False),
        ("Nego2 YIIabc==", False),
        ("Basic dXNlcjpwdw==", True),
        ("Bearer NTLM", True),
        ("NTLMish abc", True),
    ],
)
def test_a_connection_that_was_logged_in_carries_nothing_else(credentials: str, shared: bool) -> None:
    with Scripted([OK, OK], [OK]) as origin:
        client = upstream()
        login = get(origin.url(), "GET", None, f"Authorization: {credentials}")
        for request in (login, get(origin.url())):
            assert b"".join(client.send(request, Facts())) == b"right"
        assert origin.accepted == (1 if shared else 2)


@pytest.mark.parametrize("field", [b"WWW-Authenticate", b"Proxy-Authenticate"])
@pytest.mark.parametrize(
    ("challenge", "shared"),
    [
        (b"NTLM", False),
        (b"NTLM TlRMTVNTUAAC", False),
        (b"Negotiate, NTLM", False),
        (b'Basic realm="x", Negotiate', False),
        (b'Basic realm="x"', True),
        (b"Bearer", True),
    ],
)
def test_a_step_of_a_login_ends_the_connection(field: bytes, challenge: bytes, shared: bool) -> None:
    answer = CHALLENGE % (field, challenge)
    with Scripted([answer, OK] if shared else [answer], [OK]) as origin:
        client = upstream()
        assert b"".join(client.send(get(origin.url()), Facts())) == b""
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
        assert origin.accepted == (1 if shared else 2)
