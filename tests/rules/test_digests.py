"""Integrity fields: which digests a head promises, and bodies that keep or break the promise."""

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import head
from structured_text import written

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.digests import ExpectedDigest, IntegrityCheck, Stated, expected_digests
from pyproxycache.rules.structured import parse_dictionary

BODY = b"body"
SHA256 = hashlib.sha256(BODY).hexdigest()
SHA512 = hashlib.sha512(BODY).hexdigest()
SHA1, MD5 = hashlib.sha1(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()


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
        pytest.param(
            [f'X-Linked-Etag: "{SHA256}"'],
            200,
            (ExpectedDigest("X-Linked-Etag", "sha-256", SHA256),),
            id="linked",
        ),
        pytest.param([f'X-Linked-Etag: "{SHA256}"'], 302, (), id="linking"),
        pytest.param(
            [f"X-Checksum-Md5: {MD5}", f"x-checksum-sha1: {SHA1.upper()}"],
            200,
            (ExpectedDigest("X-Checksum-Sha1", "sha", SHA1),),
            id="of-an-artefact",
        ),
        pytest.param(
            [f"X-Checksum-Sha1: {SHA1}", f"X-Checksum-Sha256: {SHA256}"],
            200,
            (ExpectedDigest("X-Checksum-Sha256", "sha-256", SHA256),),
            id="the-safest-of-an-artefact",
        ),
        pytest.param(
            [f"X-Checksum-Sha1: {SHA1[1:]}", f"X-Checksum-Md5: {'x' * 32}"], 200, (), id="no-checksums"
        ),
        pytest.param([f"X-Checksum-Sha1: {SHA1}"], 404, (), id="of-no-artefact"),
        pytest.param(
            [f"X-Checksum-Sha1: {SHA1}", "Content-Encoding: gzip"], 200, (), id="of-a-coded-artefact"
        ),
        pytest.param(
            [f"Docker-Content-Digest: sha256:{SHA256}"],
            200,
            (ExpectedDigest("Docker-Content-Digest", "sha-256", SHA256),),
            id="of-an-image",
        ),
        pytest.param([f"Docker-Content-Digest: sha256:{SHA256}"], 404, (), id="of-no-image"),
        pytest.param([f"Docker-Content-Digest: sha256:{SHA256[1:]}"], 200, (), id="no-digest-of-an-image"),
        pytest.param(
            [
                f"Docker-Content-Digest: sha256:{SHA256}",
                "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws",
            ],
            200,
            (),
            id="of-a-signed-manifest",
        ),
        pytest.param([f'X-Linked-Etag: "{SHA256[:40]}"'], 200, (), id="linked-by-another"),
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
    found = check.mismatch(SHA256)
    assert (str(found.expected) if found else "") == wrong


@pytest.mark.parametrize(("algorithm", "read"), [("sha-256", False), ("sha-512", True)])
def test_only_sha512_takes_a_second_pass(algorithm: str, read: bool) -> None:
    assert IntegrityCheck(head(f"Repr-Digest: {member(algorithm)}")).reads_the_body is read


def stated(algorithm: str, body: bytes = BODY, *, is_binding: bool = True) -> ExpectedDigest:
    """What a document states of this body."""
    name = {"sha": "sha1"}.get(algorithm, algorithm.replace("-", ""))
    return ExpectedDigest("page", algorithm, hashlib.new(name, body).hexdigest(), "http://h/p", is_binding)


@pytest.mark.parametrize(
    ("told", "lines", "status", "wrong", "is_proven"),
    [
        pytest.param([stated("sha-256")], [], 200, False, True, id="sha-256"),
        pytest.param([stated("sha-256", b"x")], [], 200, True, False, id="other-sha-256"),
        pytest.param([stated("sha-512", b"x")], [], 200, True, False, id="other-sha-512"),
        pytest.param([stated("sha")], [], 200, False, False, id="sha-1"),
        pytest.param([stated("sha", b"x")], [], 200, True, False, id="other-sha-1"),
        pytest.param([stated("md5", b"x")], [], 200, True, False, id="other-md5"),
        pytest.param([stated("sha-256"), stated("md5", b"x")], [], 200, False, True, id="weak-beside"),
        pytest.param([stated("sha"), stated("md5", b"x")], [], 200, False, False, id="weakest-beside"),
        pytest.param([stated("sha-256"), stated("sha-512", b"x")], [], 200, True, False, id="both-count"),
        pytest.param([stated("sha-256", b"x")], [], 206, False, False, id="part"),
        pytest.param(
            [stated("sha-256", b"x")], ["Content-Range: bytes 0-3/4"], 206, True, False, id="all-as-a-part"
        ),
        pytest.param(
            [stated("sha-256", b"x")], ["Content-Range: bytes 0-3/5"], 206, False, False, id="beginning"
        ),
        pytest.param(
            [stated("sha-256", b"x")], ["Content-Range: bytes 0-3/*"], 206, False, False, id="unknown"
        ),
        pytest.param([stated("sha-256", b"x")], [], 404, False, False, id="error"),
        pytest.param([stated("sha-256", b"x")], ["Content-Encoding: gzip"], 200, False, False, id="coded"),
        pytest.param([stated("sha-256", b"x")], ["Content-Encoding: identity"], 200, True, False, id="not"),
        pytest.param(
            [stated("sha-256", b"x", is_binding=False)], [], 200, False, False, id="only-compared"
        ),
    ],
)
def test_what_is_stated_of_a_file(
    told: list[ExpectedDigest], lines: list[str], status: int, wrong: bool, is_proven: bool
) -> None:
    check = IntegrityCheck(head(*lines, status=status), [[tuple(told)]])
    check.update(BODY)
    assert (check.mismatch(SHA256) is not None, check.is_proven(SHA256)) == (wrong, is_proven)


RIGHT, WRONG, RIGHT_512, WRONG_512 = (
    (stated(algorithm, body),) for algorithm in ("sha-256", "sha-512") for body in (BODY, b"x")
)
WEAK, WEAK_WRONG, TOLD_WRONG = (
    (stated("md5"),),
    (stated("md5", b"x"),),
    (stated("sha-256", b"x", is_binding=False),),
)


@pytest.mark.parametrize(
    ("items", "others", "is_refused", "is_proven", "is_disputed"),
    [
        pytest.param([[RIGHT]], [], False, True, False, id="one"),
        pytest.param([[RIGHT, RIGHT_512]], [], False, True, False, id="two that agree"),
        pytest.param([[RIGHT, WRONG]], [], False, False, True, id="the first is right"),
        pytest.param([[WRONG_512, RIGHT]], [], False, False, True, id="the second is right"),
        pytest.param([[WRONG, WRONG_512]], [], True, False, True, id="neither is right"),
        pytest.param([[WRONG, WEAK]], [], False, False, True, id="one that proves nothing is right"),
        pytest.param([[RIGHT, WEAK]], [], False, True, False, id="one that proves nothing beside"),
        pytest.param([[RIGHT, WEAK_WRONG]], [], False, False, True, id="weak and wrong beside"),
        pytest.param([[RIGHT], [WRONG]], [], True, False, True, id="two items, of which one is wrong"),
        pytest.param([[RIGHT], [WRONG, RIGHT_512]], [], False, False, True, id="two items, both right"),
        pytest.param([[RIGHT]], [WRONG], False, True, True, id="another, which does not count, is wrong"),
        pytest.param([[RIGHT]], [RIGHT_512], False, True, False, id="another agrees"),
        pytest.param([[TOLD_WRONG]], [], False, False, False, id="only compared"),
        pytest.param([[()], []], [()], False, False, False, id="nothing is stated"),
    ],
)
def test_what_several_state_of_a_file(
    items: list[list[Stated]],
    others: list[Stated],
    is_refused: bool,
    is_proven: bool,
    is_disputed: bool,
) -> None:
    check = IntegrityCheck(head(), items, others)
    check.update(BODY)
    assert (check.mismatch(SHA256) is not None) == is_refused
    assert (check.is_proven(SHA256), check.is_disputed(SHA256)) == (is_proven, is_disputed)


def test_a_mismatch_says_all() -> None:
    found = IntegrityCheck(head(), [[(stated("sha-256", b"x"),)]]).mismatch(SHA256)
    expected = hashlib.sha256(b"x").hexdigest()
    assert str(found) == f"page (sha-256) in http://h/p: {expected} was expected, and {SHA256} came"


@given(st.binary(), st.sampled_from(["sha-256", "sha-512"]))
def test_the_field_is_stable(body: bytes, algorithm: str) -> None:
    text = member(algorithm, body)
    members = parse_dictionary(text)
    assert members is not None
    assert written(members) == text
    check = IntegrityCheck(Head(200, "", Headers([("Content-Digest", text)])))
    check.update(body)
    assert check.expected
    assert check.mismatch(hashlib.sha256(body).hexdigest()) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert expected_digests(Head(200, "", Headers([("Repr-Digest", text)]))) == ()
