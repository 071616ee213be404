"""Key sets: which of their keys are of use."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from jwt_made import key, key_set, public

from pyproxycache.gates.jwt.public_keys import public_keys

RSA, EC = key("RSA", 2048), key()


@pytest.mark.parametrize(
    "unusable",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldA"},
        public(RSA, use="enc"),
        public(RSA, alg=5),
        public(RSA, kid=5),
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-257", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["RSA"]},
        {},
        "key",
        None,
    ],
)
def test_a_key_of_no_use_is_left_out(unusable: Any) -> None:
    assert [one.kid for one in public_keys(key_set(unusable, public(EC, kid="ec"))).keys] == ["ec"]
    with pytest.raises(ValueError, match="no public key for signatures"):
        public_keys(key_set(unusable))


def test_a_key_that_is_too_small_is_left_out_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(SecurityWarning):
        small = public(key("RSA", 1024), kid="small")
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="no public key"):
        public_keys(key_set(small))
    assert "'small' cannot be used: it has less than 2048 bits" in caplog.text


def test_keys_without_a_name_fit_any() -> None:
    keys = public_keys(key_set(public(RSA, kid="rsa"), public(EC)))
    assert [one.kid for one in keys.fitting("rsa")] == ["rsa"]
    assert [one.kid for one in keys.fitting("other")] == [None]
    assert len(keys.fitting(None)) == 2


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": []}, {"keys": None}, public(EC)])
def test_what_is_no_key_set_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no"):
        public_keys(document)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        ["RSA", "EC", "OKP", "sig", "P-256", "Ed25519", "X25519", "AQAB", "", "\0", "é", "sign"]
    ),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
)
NAMES = st.sampled_from(
    ["kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y", "d", "x5c", "oth"]
)


@given(st.dictionaries(NAMES, VALUES), st.sampled_from([{}, public(RSA), public(EC)]))
def test_no_key_breaks_the_others(changed: dict[str, Any], base: dict[str, Any]) -> None:
    keys = public_keys(key_set({**base, **changed}, public(EC, kid="good")))
    assert "good" in [one.kid for one in keys.keys]
