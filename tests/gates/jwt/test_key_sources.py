"""When keys are fetched, and what counts while they cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jwt_made import key, key_set, public
from origin import Origin, Resource
from scripted import upstream

from pyproxycache.errors import ConfigError, TokenCheckFailed
from pyproxycache.gates.jwt.key_sources import FetchedKeys, FileKeys, KeySource
from pyproxycache.rules.urls import parse_url
from pyproxycache.steps import Asks, finished

ONE, OTHER = public(key(number=1), kid="one"), public(key(number=2), kid="other")


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps(key_set(*keys)).encode()


def kids(source: KeySource, kid: str | None = "one") -> list[str | None]:
    return [each.kid for each in finished(source.keys(kid)).keys]


class Issuer:
    """An origin with a key set at /jwks, and the clock of who fetches it."""

    def __init__(self, origin: Origin) -> None:
        self.origin, self.now = origin, 1000.0
        self.put(ONE)
        self.client = upstream()
        self.source = FetchedKeys(
            parse_url(origin.url("/jwks")),
            lambda request, facts, seconds: self.client.send(request, facts, patience=seconds),
            seconds=10.0,
            refresh=3600.0,
            steady=lambda: self.now,
        )

    def put(self, *keys: dict[str, Any]) -> None:
        self.origin.put("/jwks", document(*keys))

    @property
    def asked(self) -> int:
        return self.origin.count("/jwks")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Origin() as origin:
        issuer = Issuer(origin)
        yield issuer
        while issuer.client.close_idle():
            pass


def test_keys_are_fetched_once_and_again_after_a_while(issuer: Issuer) -> None:
    assert [kids(issuer.source) for _ in range(5)] == [["one"]] * 5
    assert issuer.asked == 1
    issuer.now += 3599.0
    issuer.put(ONE, OTHER)
    assert kids(issuer.source) == ["one"]
    issuer.now += 1.0
    assert kids(issuer.source) == ["one", "other"]
    assert issuer.asked == 2


def test_keys_that_are_withdrawn_go_at_the_next_refresh(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.put(OTHER)
    issuer.now += 3600.0
    assert kids(issuer.source) == ["other"]


def test_an_unknown_key_is_fetched_at_once_but_not_for_ever(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.now += 11.0
    issuer.put(ONE, OTHER)
    assert kids(issuer.source, "other") == ["one", "other"]
    for number in range(50):
        kids(issuer.source, f"random {number}")
    assert issuer.asked == 2
    issuer.now += 10.0
    kids(issuer.source, "random")
    assert issuer.asked == 3


def newer(source: KeySource) -> tuple[bool, list[str | None]]:
    """Whether others come than those that are known, and the names of what comes."""
    known = finished(source.keys(None))
    found = finished(source.newer(known))
    return found is not known, [each.kid for each in found.keys]


def test_keys_that_have_not_signed_a_token_are_fetched_again_but_not_for_ever(issuer: Issuer) -> None:
    """Some issuers give their keys no names, and some keep the name for a new key."""
    assert newer(issuer.source) == (False, ["one"])  # they came just now
    issuer.now += 11.0
    issuer.put(OTHER)
    assert newer(issuer.source) == (True, ["other"])
    for _ in range(50):
        assert newer(issuer.source) == (False, ["other"])
    assert issuer.asked == 2


def test_who_has_seen_older_keys_gets_those_that_have_come_meanwhile(issuer: Issuer) -> None:
    older = finished(issuer.source.keys(None))
    issuer.now += 11.0
    issuer.put(OTHER)
    for _ in range(2):
        assert [each.kid for each in finished(issuer.source.newer(older)).keys] == ["other"]
    assert issuer.asked == 2


def test_there_are_no_newer_keys_while_the_issuer_is_down(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.now += 11.0
    issuer.origin.stop()
    assert newer(issuer.source) == (False, ["one"])


def test_nobody_waits_for_who_waits_for_a_turn_at_the_issuer(issuer: Issuer) -> None:
    held_up = issuer.source.keys("one")
    assert isinstance(next(held_up), Asks)
    assert kids(issuer.source) == ["one"]
    with pytest.raises(StopIteration):
        next(held_up)
    assert issuer.asked == 1
    known, issuer.now = finished(issuer.source.keys(None)), issuer.now + 11.0
    issuer.put(OTHER)
    held_up = issuer.source.newer(known)
    assert isinstance(next(held_up), Asks)
    assert newer(issuer.source) == (True, ["other"])
    with pytest.raises(StopIteration):
        next(held_up)
    assert issuer.asked == 2


def test_keys_count_on_while_the_issuer_is_down(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.origin.stop()
    issuer.now += 3600.0
    assert kids(issuer.source) == ["one"]
    assert kids(issuer.source) == ["one"]  # without asking again at once
    issuer.now += 86399.0
    assert kids(issuer.source) == ["one"]
    issuer.now += 1.0
    with pytest.raises(TokenCheckFailed):
        kids(issuer.source)


def test_an_unknown_key_cannot_be_judged_while_the_issuer_is_down(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.origin.stop()
    issuer.now += 11.0
    for _ in range(2):
        with pytest.raises(TokenCheckFailed):
            kids(issuer.source, "other")
    assert kids(issuer.source) == ["one"]
    issuer.origin.start()
    issuer.put(ONE, OTHER)
    issuer.now += 10.0
    assert kids(issuer.source, "other") == ["one", "other"]


def test_without_any_keys_nothing_can_be_judged(issuer: Issuer) -> None:
    issuer.origin.stop()
    with pytest.raises(TokenCheckFailed):
        kids(issuer.source)
    issuer.origin.start()
    assert kids(issuer.source) == ["one"]


@pytest.mark.parametrize(
    "lie",
    [
        Resource(b"no keys"),
        Resource(b"{}"),
        Resource(document()),
        Resource(document(ONE), status=404),
        Resource(document(ONE), status=302, headers=[("Location", "/other")]),
        Resource(document(*[ONE] * 2000)),
        Resource(document(ONE), break_at=10),
    ],
    ids=["text", "no list", "an empty list", "not found", "a redirect", "huge", "cut off"],
)
def test_what_is_no_key_set_is_not_believed(lie: Resource, issuer: Issuer) -> None:
    issuer.origin.put("/other", document(ONE))
    issuer.origin.put("/jwks", handler=lambda _asked: lie)
    with pytest.raises(TokenCheckFailed):
        kids(issuer.source)


def test_who_knows_the_key_does_not_wait_while_keys_are_fetched(issuer: Issuer) -> None:
    kids(issuer.source)
    issuer.now += 11.0
    leading, joining = issuer.source.keys("other"), issuer.source.keys("third")
    assert isinstance(next(leading), Asks)
    assert isinstance(next(leading), Asks)
    assert kids(issuer.source) == ["one"]
    assert isinstance(next(joining), Asks)
    assert not isinstance(next(joining), Asks)
    assert [each.kid for each in finished(leading).keys] == ["one"]
    assert [each.kid for each in finished(joining).keys] == ["one"]
    assert issuer.asked == 2


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(document(ONE))
    source = FileKeys(path, "x.jwks")
    assert kids(source) == ["one"]
    path.write_bytes(document(ONE, OTHER))
    assert kids(source) == ["one", "other"]
    for broken in (b"{", b"{}", None):
        path.write_bytes(broken) if broken is not None else path.unlink()
        assert kids(source) == ["one", "other"]
    path.write_bytes(document(OTHER))
    assert kids(source) == ["other"]


@pytest.mark.parametrize(
    ("data", "why"), [(None, "No such file"), (b"{", "no list of keys"), (document(), "no public key")]
)
def test_a_file_without_keys_is_refused_at_the_start(data: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=rf"x\.jwks: {path}: .*{why}"):
        FileKeys(path, "x.jwks")
