"""Whatever memory knows, nobody gets an answer but users, and only while they are such."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import Front
from origin import Origin
from raw import Conversation, request

from pyproxycache.options import ProxyAuthOptions

PASSWORDS = {"ann": "s3cret", "bob": "b0bs"}
HASHES = {name: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)) for name, word in PASSWORDS.items()}
HARMLESS = ((), ("X-Harmless: 1",), ("Accept: */*", "User-Agent: x"))


def credentials(name: str, password: str) -> str:
    return f"Proxy-Authorization: Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


def entries(names: frozenset[str]) -> dict[bytes, bytes]:
    return {name.encode(): HASHES[name] for name in names}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        for path in ("/a", "/b"):
            running.put(path, b"page", cache_control="max-age=3600", etag='"1"')
        yield running


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_bytes(b"".join(name.encode() + b":" + hashed + b"\n" for name, hashed in HASHES.items()))
    return path


def front_for(folder: Path, users: Path) -> Front:
    return Front(folder, proxy_auth=ProxyAuthOptions(users=users))


def test_memory_answers_users_and_nobody_else(origin: Origin, users: Path, tmp_path: Path) -> None:
    line = f"GET {origin.url('/a')}"
    ann, bob = (credentials(*user) for user in PASSWORDS.items())
    with front_for(tmp_path / "cache", users) as front, Conversation(front.address) as client:

        def ask(*fields: str) -> int:
            return client.send(request(line, *fields)).reply().status

        assert [ask(ann) for _ in range(4)] == [200] * 4
        front.told(0, 4)
        known = front.repeated
        assert known >= 2
        assert [ask(ann), ask(ann, "X-Harmless: 1"), ask(ann)] == [200] * 3
        front.told(4, 3)
        assert front.repeated == known + 3
        assert [ask(), ask(credentials("ann", "x")), ask(ann, ann), ask("X-Harmless: 1")] == [407] * 4
        assert [ask(bob) for _ in range(3)] == [200] * 3
        users_told = [outcome.user for outcome in front.told(7, 7)]
        assert sorted(users_told) == ["", "", "", "", "bob", "bob", "bob"]
        authentication = front.parts.sessions.authentication
        assert authentication is not None
        authentication.adopt(entries(frozenset({"bob"})))
        known = front.repeated
        assert [ask(ann), ask(ann, "X-Harmless: 1"), ask(ann)] == [407] * 3
        assert [ask(bob), ask(bob)] == [200] * 2
        front.told(14, 5)
        assert front.repeated == known + 2


ASKED = st.tuples(
    st.sampled_from(("/a", "/b")),
    st.sampled_from((*PASSWORDS.items(), ("ann", "b0bs"), None)),
    st.sampled_from(HARMLESS),
)
CHANGED = st.frozensets(st.sampled_from(sorted(PASSWORDS)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(ASKED | ASKED | ASKED | CHANGED, min_size=4, max_size=25))
def test_any_order_of_requests_and_changes(
    events: list[object],
    origin: Origin,
    users: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    valid = frozenset(PASSWORDS)
    with (
        front_for(tmp_path_factory.mktemp("cache"), users) as front,
        Conversation(front.address) as client,
    ):
        authentication = front.parts.sessions.authentication
        assert authentication is not None
        for event in events:
            if isinstance(event, frozenset):
                valid = event
                authentication.adopt(entries(valid))
                continue
            assert isinstance(event, tuple)
            path, user, harmless = event
            fields = harmless if user is None else (credentials(*user), *harmless)
            is_user = user is not None and user[0] in valid and PASSWORDS[user[0]] == user[1]
            for _ in range(3):  # then memory knows what may be known
                status = client.send(request(f"GET {origin.url(path)}", *fields)).reply().status
                # Who has failed ten times is refused even with the right password, unless that is known.
                assert status in ((200, 429) if is_user else (407, 429))
