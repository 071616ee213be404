"""Which JWTs are valid."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt_made import AUDIENCE, CLAIMS, ISSUER, KINDS, NOW, coded, key, key_set, part, public, token

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.token_findings import TokenFindings
from pyproxycache.gates.jwt.claim_rules import ClaimRules
from pyproxycache.gates.jwt.jwt_check import JwtCheck
from pyproxycache.gates.jwt.public_keys import PublicKeys, public_keys
from pyproxycache.steps import Steps, at_once, finished

RULES = ClaimRules(ISSUER, frozenset([AUDIENCE, "other-api"]), leeway=10.0)
ALL = tuple(KINDS)


class Keys:
    """A source that counts how often it is asked."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self._keys = public_keys(key_set(*keys)) if keys else None
        self.asked: list[str | None] = []
        self.later: PublicKeys | None = None

    def keys(self, kid: str | None) -> Steps[PublicKeys]:
        self.asked.append(kid)
        return at_once(self._found)

    def newer(self, than: PublicKeys) -> Steps[PublicKeys]:
        self.asked.append("newer")
        return at_once(lambda: than if self.later is None else self.later)

    def _found(self) -> PublicKeys:
        if self._keys is None:
            raise TokenCheckFailed("no keys")
        return self._keys


def found(
    text: str, *keys: dict[str, Any], algorithms: tuple[str, ...] = ALL, **options: Any
) -> TokenFindings:
    source = Keys(*(keys or (public(key()),)))
    return finished(JwtCheck(source, RULES, algorithms, wall=lambda: NOW, **options).findings(text))


def test_a_token_that_its_issuer_has_signed_is_valid() -> None:
    findings = found(token(key()))
    assert (findings.body, findings.ends, findings.why_invalid) == (CLAIMS, NOW + 60, "")


@pytest.mark.parametrize("kid", [None, "k"])
def test_an_issuer_may_change_its_key_and_keep_the_name(kid: str | None) -> None:
    old, new = key(), key(number=1)
    named = {} if kid is None else {"kid": kid}
    source = Keys(public(old, **named))
    check = JwtCheck(source, RULES, ALL, wall=lambda: NOW)
    assert finished(check.findings(token(old, **named))).why_invalid == ""
    assert source.asked == [kid]
    assert "not signed by its issuer" in finished(check.findings(token(new, **named))).why_invalid
    source.later = public_keys(key_set(public(new, **named)))
    assert finished(check.findings(token(new, **named))).why_invalid == ""
    assert source.asked == [kid, kid, "newer", kid, "newer"]


@pytest.mark.parametrize("algorithm", ALL)
def test_every_algorithm_is_verified(algorithm: str) -> None:
    one, other = key(*KINDS[algorithm]), key(*KINDS[algorithm], number=1)
    assert found(token(one, algorithm), public(one)).why_invalid == ""
    assert "not signed by its issuer" in found(token(other, algorithm), public(one)).why_invalid
    rest = tuple(name for name in ALL if name != algorithm)
    assert "signed as wanted" in found(token(one, algorithm), public(one), algorithms=rest).why_invalid


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"iss": "https://evil.test"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": "somebody"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": ["somebody", "other-api"]}, ""),
        ({"aud": ["somebody", 5]}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {"api": 1}}, "another audience"),
        ({"exp": None}, "does not say when it ends"),
        ({"exp": "2999999999"}, "does not say when it ends"),
        ({"exp": True}, "does not say when it ends"),
        ({"exp": NOW - 9.9}, ""),
        ({"exp": NOW - 10}, "has ended"),
        ({"exp": -1e300}, "has ended"),
        ({"exp": 10**40}, ""),
        ({"exp": 10**400}, ""),
        ({"exp": -(10**400)}, "has ended"),
        ({"nbf": 10**400}, "not valid yet"),
        ({"nbf": NOW + 10}, ""),
        ({"nbf": NOW + 10.1}, "not valid yet"),
        ({"nbf": "now"}, "not valid yet"),
        ({"iat": NOW + 3600}, ""),
    ],
)
def test_the_claims_have_to_be_right(changed: dict[str, Any], why: str) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    told = found(token(key(), claims=claims)).why_invalid
    assert why in told
    assert bool(why) == bool(told)


def test_a_token_without_a_signature_is_not_valid() -> None:
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        head = part({"alg": algorithm})
        for signature in ("", coded(b"x")):
            text = f"{head}.{part(CLAIMS)}.{signature}"
            assert found(text, algorithms=(*ALL, "none")).why_invalid, text


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_public_key_is_no_shared_secret(algorithm: str) -> None:
    one = key(*KINDS[algorithm])
    shown: dict[str, Any] = public(one)
    op_key = one.get_op_key("verify")
    secrets = [json.dumps(shown).encode()]
    secrets += [
        op_key.public_bytes(coding, PublicFormat.SubjectPublicKeyInfo)
        for coding in (Encoding.PEM, Encoding.DER)
    ]
    signed = f"{part({'alg': 'HS256'})}.{part(CLAIMS)}"
    for secret in secrets:
        forged = f"{signed}.{coded(hmac.digest(secret, signed.encode(), 'sha256'))}"
        assert found(forged, shown, algorithms=(*ALL, "HS256")).why_invalid


def test_a_key_in_the_token_itself_is_not_believed() -> None:
    forger = key(number=1)
    for header in ({"jwk": public(forger)}, {"jku": "https://evil.test/jwks"}, {"x5c": ["MIIB"]}):
        assert found(token(forger, **header)).why_invalid


@pytest.mark.parametrize("header", [{"crit": ["b64"], "b64": False}, {"crit": ["exp"]}, {"crit": []}])
def test_what_is_critical_and_not_known_is_not_valid(header: dict[str, Any]) -> None:
    assert "signed as wanted" in found(token(key(), **header)).why_invalid


@pytest.mark.parametrize(
    ("wanted", "told", "is_valid"),
    [
        (None, "JWT", True),
        ("at+jwt", "at+jwt", True),
        ("at+jwt", "application/AT+JWT", True),
        ("at+jwt", "JWT", False),
        ("at+jwt", None, False),
    ],
)
def test_the_type_may_have_to_be_that_of_access_tokens(
    wanted: str | None, told: str | None, is_valid: bool
) -> None:
    header = {} if told is None else {"typ": told}
    assert (found(token(key(), **header), type=wanted).why_invalid == "") is is_valid


def test_a_key_is_found_by_its_name() -> None:
    one, other = key(number=1), key(number=2)
    keys = (public(one, kid="one"), public(other, kid="other"))
    assert found(token(one, kid="one"), *keys).why_invalid == ""
    assert found(token(one, kid="other"), *keys).why_invalid
    assert found(token(one, kid="third"), *keys).why_invalid
    assert found(token(one), *keys).why_invalid == ""


def test_a_key_counts_for_its_own_algorithm_alone() -> None:
    one = key("RSA", 2048)
    assert found(token(one, "RS256"), public(one, alg="RS256")).why_invalid == ""
    assert found(token(one, "PS256"), public(one, alg="RS256")).why_invalid


def test_keys_are_not_asked_for_if_a_token_is_of_no_use_anyway() -> None:
    source = Keys()
    check = JwtCheck(source, RULES, ALL, wall=lambda: NOW)
    for text in ("", "a.b", "x" * 1000, token(key(), claims={**CLAIMS, "exp": 1}), "a.b.c.d"):
        assert finished(check.findings(text)).why_invalid
    assert source.asked == []
    with pytest.raises(TokenCheckFailed):
        finished(check.findings(token(key())))


GOOD = token(key())


@given(st.data())
def test_a_token_of_which_anything_is_changed_is_not_valid(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.+/= ").filter(lambda one: one != GOOD[place]))
    changed = (
        GOOD[:place] + data.draw(st.sampled_from(["", other, GOOD[place] + other])) + GOOD[place + 1 :]
    )
    assert changed == GOOD or found(changed).why_invalid


PARTS = st.one_of(
    st.text("abc.-_{}[]", max_size=10),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["alg", "kid", "typ", "iss", "aud", "exp", "a"]), inner, max_size=4
            )
        ),
    ).map(part),
    st.just(coded(b"[" * 6000)),
    st.just(part({"alg": "ES256"})),
    st.just(part(CLAIMS)),
)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_whatever_comes_is_not_valid_and_breaks_nothing(parts: list[str]) -> None:
    assert found(".".join(parts)).why_invalid
