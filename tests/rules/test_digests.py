"""Integrity fields: which digests a head promises, and bodies that keep or break the promise."""

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import head
from structured_text import written

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.digests import ExpectedDigest, IntegrityCheck, expected_digests
from pyproxycache.rules.structured import parse_dictionary

BODY = b"body"
SHA256 = hashlib.sha256(BODY).hexdigest()
SHA512 = hashlib.sha512(BODY).hexdigest()


def member(algorithm: str, body: bytes = BODY) -> str:
    """A member of an integrity field, as the origin of this body sends it."""
    digest = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{b64encode(digest).decode()}:"


CONTENT_256 = ExpectedDigest("Content-Digest", "sha-256", SHA256)
REPR_256 = ExpectedDigest("Repr-Digest", "sha-256", SHA256)
REPR_512 = ExpectedDigest("Repr-Digest", "sha-512", SHA512)


@pytest.mark.parametrize(
    ("lines", "status", "expected"),
    [
        pytest.param([], 200, (), id="none"),
        pytest.param([f"Repr-Digest: {member('sha-256')}"], 200, (REPR_256,), id="representation"),
        pytest.param([f"Content-Digest: {member('sha-256')}"], 200, (CONTENT_256,), id="content"),
        pytest.param(
            [f"repr-digest: {member('sha-256')}", f"Repr-Digest: {member('sha-512')};x"],
            404,
            (REPR_256, REPR_512),
            id="two-lines",
        ),
        pytest.param(
            [f"Repr-Digest: {member('sha-256')}", f"Content-Digest: {member('sha-256')}"],
            206,
            (CONTENT_256,),
            id="part",
        ),
        pytest.param(
            [f"Repr-Digest: {member('md5')}, {member('sha-256')}, unixsum=:AAA=:"],
            200,
            (REPR_256,),
            id="others-are-not-looked-at",
        ),
        pytest.param(["Repr-Digest: sha-256=:AAAA:"], 200, (), id="wrong-length"),
        pytest.param([f'Repr-Digest: sha-256="{SHA256}"'], 200, (), id="wrong-type"),
        pytest.param([f"Repr-Digest: {member('sha-256')},"], 200, (), id="no-dictionary"),
        pytest.param(
            [f"Digest: {member('sha-256')}", f"Content-MD5: {member('md5')}"], 200, (), id="obsolete"
        ),
    ],
)
def test_expected_digests(lines: list[str], status: int, expected: tuple[ExpectedDigest, ...]) -> None:
    assert expected_digests(head(*lines, status=status)) == expected


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([], ""),
        ([f"Repr-Digest: {member('sha-256')}"], ""),
        ([f"Repr-Digest: {member('sha-256', b'other')}"], "Repr-Digest (sha-256)"),
        ([f"Content-Digest: {member('sha-512', b'other')}"], "Content-Digest (sha-512)"),
        ([f"Content-Digest: {member('sha-512')}, {member('sha-256')}"], ""),
        ([f"Content-Digest: {member('sha-256')}, {member('sha-512', b'x')}"], "Content-Digest (sha-512)"),
        (
            [f"Content-Digest: {member('sha-256')}", f"Repr-Digest: {member('sha-256', b'x')}"],
            "Repr-Digest (sha-256)",
        ),
    ],
)
def test_mismatch(lines: list[str], wrong: str) -> None:
    check = IntegrityCheck(head(*lines))
    check.update(BODY[:1])
    check.update(BODY[1:])
    assert check.mismatch(SHA256) == wrong


@pytest.mark.parametrize(("algorithm", "read"), [("sha-256", False), ("sha-512", True)])
def test_only_sha512_takes_a_second_pass(algorithm: str, read: bool) -> None:
    assert IntegrityCheck(head(f"Repr-Digest: {member(algorithm)}")).reads_the_body is read


@given(st.binary(), st.sampled_from(["sha-256", "sha-512"]))
def test_the_field_is_stable(body: bytes, algorithm: str) -> None:
    text = member(algorithm, body)
    members = parse_dictionary(text)
    assert members is not None
    assert written(members) == text
    check = IntegrityCheck(Head(200, "", Headers([("Content-Digest", text)])))
    check.update(body)
    assert check.expected
    assert check.mismatch(hashlib.sha256(body).hexdigest()) == ""


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert expected_digests(Head(200, "", Headers([("Repr-Digest", text)]))) == ()
