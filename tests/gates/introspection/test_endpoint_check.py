"""What an introspection endpoint is asked, and what counts of its answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from introspection_server import PATH, IntrospectionServer
from origin import Resource
from scripted import upstream

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.bounded_asking import Send
from pyproxycache.gates.introspection.endpoint_check import EndpointCheck, EndpointQuestion, ValidityRules
from pyproxycache.gates.introspection.templates import as_it_is, in_url, token_text
from pyproxycache.gates.introspection.token_findings import TokenFindings
from pyproxycache.steps import Asks, finished

ACTIVE = ValidityRules({"active": True})
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


def sender() -> Send:
    client = upstream()
    return lambda request, facts, seconds: client.send(request, facts, patience=seconds)


def question(url: str, **changed: Any) -> EndpointQuestion:
    given: dict[str, Any] = {
        "method": "POST",
        "url": token_text(url, in_url),
        "headers": (),
        "content_type": FORM,
        "body": token_text("token={token}", in_url),
    }
    return EndpointQuestion(**{**given, **changed})


def check(server: IntrospectionServer, rules: ValidityRules = ACTIVE, **options: Any) -> EndpointCheck:
    given: dict[str, Any] = {"seconds": 10.0}
    return EndpointCheck(question(server.url), rules, sender(), **{**given, **options})


def asked(one: EndpointCheck, token: str) -> TokenFindings:
    return finished(one.findings(token))


def test_a_valid_token_has_a_body_and_an_end(server: IntrospectionServer) -> None:
    server.issue("good", sub="me", exp=2000)
    found = asked(check(server), "good")
    assert (found.body, found.ends, found.why_invalid) == (
        {"active": True, "sub": "me", "exp": 2000},
        2000.0,
        "",
    )


def test_a_token_that_is_not_active_is_not_valid(server: IntrospectionServer) -> None:
    assert asked(check(server), "bad").why_invalid


def test_it_is_asked_as_the_template_says(server: IntrospectionServer) -> None:
    token = "a&b=c%+"
    asking = question(
        server.url,
        headers=(("x-key", token_text("k-{token}", as_it_is)), ("accept", token_text("a/b", as_it_is))),
        body=token_text("token={token}&hint=x", in_url),
        authorization="Basic abc",
    )
    finished(EndpointCheck(asking, ACTIVE, sender(), 10.0).findings(token))
    (got,) = server.asked
    assert (got.method, got.body) == ("POST", b"token=a%26b%3Dc%25%2B&hint=x")
    told = {name.lower(): value for name, value in got.headers}
    assert told["content-type"] == FORM
    assert told["x-key"] == f"k-{token}"
    assert (told["accept"], told["authorization"]) == ("a/b", "Basic abc")
    assert server.asked_for == [token]


def test_it_can_be_asked_by_get(server: IntrospectionServer) -> None:
    server.origin.put("/info/a%2Fb", b'{"active": true}')
    asking = question(server.origin.url("/info/{token}"), method="GET", body=None)
    found = finished(EndpointCheck(asking, ACTIVE, sender(), 10.0).findings("a/b"))
    assert found.body == {"active": True}
    (got,) = server.origin.requests
    assert (got.method, got.body, got.get("Content-Type")) == ("GET", b"", None)


@pytest.mark.parametrize(
    ("valid", "answer", "is_valid"),
    [
        ({"active": True}, b'{"active": true}', True),
        ({"active": True}, b'{"active": false}', False),
        ({"active": True, "kind": "access"}, b'{"active": true, "kind": "access"}', True),
        ({"active": True, "kind": "access"}, b'{"active": true, "kind": "id"}', False),
        ({"active": True, "kind": "access"}, b'{"active": true}', False),
        ({"status": "ok"}, b'{"status": "ok"}', True),
        ({"status": "ok"}, b'{"status": "OK"}', False),
        ({"status": "ok"}, b'{"error": "invalid_token"}', False),
        ({"data.level": 3}, b'{"data": {"level": 3}}', True),
        ({"data.level": 3}, b'{"data": {"level": 3.0}}', True),
        ({"data.level": 1}, b'{"data": {"level": true}}', False),
        ({"data.level": 3}, b'{"data": {"level": "3"}}', False),
        ({"data.level": 3}, b'{"data": [3]}', False),
        ({"ok": True}, b'{"ok": 1}', False),
        ({"ok": True}, b'{"ok": "true"}', False),
        ({}, b"{}", True),
        ({}, b'{"exp": 1%b}' % (b"0" * 400), True),
    ],
)
def test_which_answers_are_of_a_valid_token(
    valid: dict[str, Any], answer: bytes, is_valid: bool, server: IntrospectionServer
) -> None:
    server.lie = Resource(answer)
    assert (asked(check(server, ValidityRules(valid)), "t").why_invalid == "") is is_valid


@pytest.mark.parametrize(("status", "fails"), [(401, False), (404, False), (403, True), (500, True)])
def test_a_status_may_say_that_a_token_is_not_valid(
    status: int, fails: bool, server: IntrospectionServer
) -> None:
    server.lie = Resource(b"no", status=status)
    one = check(server, ValidityRules({}, frozenset({401, 404})))
    if fails:
        with pytest.raises(TokenCheckFailed, match=f"status {status}"):
            asked(one, "t")
    else:
        assert asked(one, "t").why_invalid


LIES: dict[str, Resource | bytes] = {
    "text": Resource(b"yes"),
    "empty": Resource(b""),
    "a list": Resource(b'[{"active": true}]'),
    "only true": Resource(b"true"),
    "not UTF-8": Resource(b'{"active": true, "a": "\xff"}'),
    "two objects": Resource(b'{"active": true} {"active": true}'),
    "deep": Resource(b'{"active": true, "a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "NaN": Resource(b'{"active": true, "a": NaN}'),
    "active as text": Resource(b'{"active": "true"}'),
    "active as number": Resource(b'{"active": 1}'),
    "no active": Resource(b'{"sub": "me"}'),
    "huge": Resource(b'{"active": true, "a": "' + b"x" * (1 << 20) + b'"}'),
    "huge in chunks": Resource(b'{"active": true, "a": "' + b"x" * (1 << 20) + b'"}', chunked=True),
    "a redirect": Resource(b'{"active": true}', status=302, headers=[("Location", PATH)]),
    "a redirect that keeps the method": Resource(b"", status=307, headers=[("Location", PATH)]),
    "created": Resource(b'{"active": true}', status=201),
    "no content": Resource(status=204),
    "not found": Resource(b'{"active": true}', status=404),
    "its credentials refused": Resource(b'{"active": true}', status=401),
    "an error": Resource(b'{"active": true}', status=500),
    "compressed unasked": Resource(b"\x1f\x8b\x08", headers=[("Content-Encoding", "gzip")]),
    "cut off": Resource(b'{"active": true}', break_at=5),
    "too short": Resource(b'{"active": true}', lie_length=5),
    "chunks without an end": Resource(b'{"active": true}', last_chunk_missing=True),
    "no HTTP": b"HELLO\r\n\r\n",
    "nothing": b"",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 2\r\n\r\n"
    + b'{"active": true}',
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_endpoint_that_lies_lets_nobody_through(
    lie: Resource | bytes, server: IntrospectionServer
) -> None:
    server.lie = lie
    with pytest.raises(TokenCheckFailed):
        asked(check(server), "t0ken")


def test_an_endpoint_that_is_down_lets_nobody_through(server: IntrospectionServer) -> None:
    server.issue("t")
    server.origin.stop()
    with pytest.raises(TokenCheckFailed, match="cannot be asked"):
        asked(check(server), "t")
    server.origin.start()
    assert asked(check(server), "t").why_invalid == ""


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("held", [None, 5], ids=["no head", "half a body"])
def test_an_endpoint_that_is_slow_lets_nobody_through(
    held: int | None, chunked: bool, server: IntrospectionServer
) -> None:
    server.lie = Resource(b'{"active": true}', chunked=chunked)
    gate = server.origin.gate(PATH, held)
    with pytest.raises(TokenCheckFailed):
        asked(check(server, seconds=0.2), "t")
    gate.open()


def test_an_endpoint_that_drips_ends_in_time(server: IntrospectionServer) -> None:
    server.lie = Resource(b'{"active": true, "a": "' + b"x" * 10_000 + b'"}', rate=100.0)
    with pytest.raises(TokenCheckFailed):
        asked(check(server, seconds=0.5), "t")


def test_concurrent_questions_for_one_token_are_one(server: IntrospectionServer) -> None:
    server.issue("t", sub="me")
    gate = server.origin.gate(PATH)
    one = check(server)
    steps = [one.findings("t") for _ in range(100)]
    waiting = [next(each) for each in steps]
    assert sum(isinstance(each, Asks) for each in waiting) == 1
    found: list[TokenFindings] = []
    threads = [threading.Thread(target=lambda each=each: found.append(finished(each))) for each in steps]
    for thread in threads:
        thread.start()
    gate.wait_reached()
    gate.open()
    for thread in threads:
        thread.join(30)
    assert [each.body["sub"] for each in found] == ["me"] * 100
    assert server.asked_for == ["t"]


def test_without_remembering_each_question_is_asked(server: IntrospectionServer) -> None:
    one = check(server)
    server.issue("t")
    assert asked(one, "t").why_invalid == ""
    server.revoke("t")
    assert asked(one, "t").why_invalid
    assert server.asked_for == ["t", "t"]


class Clocks:
    """Two clocks that tests set."""

    def __init__(self) -> None:
        self.wall, self.steady = 1000.0, 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    @property
    def options(self) -> dict[str, Callable[[], float]]:
        return {"wall": lambda: self.wall, "steady": lambda: self.steady}


def test_what_is_remembered_is_not_asked_again_for_a_while(server: IntrospectionServer) -> None:
    clocks = Clocks()
    one = check(server, remember=5.0, **clocks.options)
    server.issue("t", sub="me")
    for _ in range(3):
        assert asked(one, "t").body["sub"] == "me"
        clocks.pass_by(1.6)
    server.revoke("t")
    assert asked(one, "t").why_invalid == ""
    clocks.pass_by(0.2)
    assert asked(one, "t").why_invalid
    assert server.asked_for == ["t", "t"]


def test_nothing_is_remembered_past_the_end_of_a_token(server: IntrospectionServer) -> None:
    clocks = Clocks()
    one = check(server, remember=60.0, **clocks.options)
    server.issue("t", exp=1002)
    asked(one, "t")
    clocks.pass_by(1.9)
    asked(one, "t")
    assert server.asked_for == ["t"]
    clocks.pass_by(0.1)
    asked(one, "t")
    assert server.asked_for == ["t", "t"]


def test_a_clock_that_is_set_back_prolongs_nothing(server: IntrospectionServer) -> None:
    clocks = Clocks()
    one = check(server, remember=5.0, **clocks.options)
    server.issue("t")
    asked(one, "t")
    clocks.pass_by(5.0)
    clocks.wall -= 3600.0
    asked(one, "t")
    assert server.asked_for == ["t", "t"]


def test_that_a_token_is_not_valid_is_not_remembered(server: IntrospectionServer) -> None:
    one = check(server, remember=60.0, **Clocks().options)
    assert asked(one, "t").why_invalid
    server.issue("t")
    assert asked(one, "t").why_invalid == ""


def test_no_log_and_no_error_has_tokens_or_credentials(
    server: IntrospectionServer, caplog: pytest.LogCaptureFixture
) -> None:
    asking = question(
        server.origin.url("/introspect?t={token}"),
        headers=(("x-key", token_text("s3cret", as_it_is)),),
        authorization="Basic s3cret",
    )
    echo = b"HTTP/1.1 200 OK\r\nX-Echo t0ken s3cret\r\n\r\n"
    one = EndpointCheck(asking, ACTIVE, sender(), 0.5)
    server.origin.put("/introspect?t=t0ken", handler=lambda _asked: server.lie or b"")
    with caplog.at_level(logging.DEBUG):
        for lie in (*LIES.values(), echo, Resource(b"t0ken s3cret"), Resource(status=500, body=b"t0ken")):
            server.lie = lie
            with pytest.raises(TokenCheckFailed) as raised:
                asked(one, "t0ken")
            assert "t0ken" not in f"{raised.value} {raised.value.public}"
        server.origin.stop()
        with pytest.raises(TokenCheckFailed):
            asked(one, "t0ken")
    assert server.origin.url("") in caplog.text
    for secret in ("t0ken", "s3cret"):
        assert secret not in caplog.text
        assert secret not in repr(asking)


def test_what_is_remembered_is_told_from_what_was_asked(server: IntrospectionServer) -> None:
    server.issue("good")
    one, told = check(server, remember=60.0), check(server)
    assert [asked(one, "good").is_remembered for _ in range(3)] == [False, True, True]
    assert [asked(told, "good").is_remembered for _ in range(2)] == [False, False]
