"""Why handshakes have failed, in words; real servers are in tests/upstream/test_tls_refusals.py."""

from __future__ import annotations

import random
import ssl

import pytest
from issuing import Issuer

from pyproxycache.tls.failed_handshakes import explained, wants_certificate

LEAF = Issuer("Root of the tests").issue("a.example", "192.0.2.1").der


def failed(code: int, message: str = "some words of the library") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {message} (_ssl.c:1)")
    error.verify_code, error.reason = code, "CERTIFICATE_VERIFY_FAILED"
    return error


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize("chain", [[], [b"no certificate"], [LEAF[:-9]]])
def test_without_a_certificate_the_library_has_the_word(chain: list[bytes]) -> None:
    told = explained(failed(62), chain, 0.0)
    assert told.text.startswith("some words of the library")
    assert told.proxy_error == "tls_certificate_error"


def test_certificates_that_are_malformed_anywhere_are_no_trouble() -> None:
    randomly, told = random.Random(1), set()
    for _ in range(2000):
        mutated = bytearray(LEAF)
        for _ in range(randomly.randint(1, 3)):
            mutated[randomly.randrange(len(mutated))] = randomly.randrange(256)
        for code in (10, 18, 20, 62, 66, 68):
            text = explained(failed(code), [bytes(mutated)], 0.0).text
            assert text.isascii()
            assert text.isprintable()
            assert len(text) < 600
            told.add(text)
    assert len(told) > 100


@pytest.mark.parametrize(
    ("reason", "greeted", "wanted"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", True, True),
        ("SSLV3_ALERT_BAD_CERTIFICATE", True, True),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", True, True),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", False, False),
        ("TLSV1_ALERT_INTERNAL_ERROR", True, False),
        ("WRONG_VERSION_NUMBER", True, False),
        ("", True, False),
    ],
)
def test_who_wants_a_certificate(reason: str, greeted: bool, wanted: bool) -> None:
    assert wants_certificate(alert(reason), greeted=greeted) == wanted
    assert explained(alert(reason), [LEAF] if greeted else [], 0.0).wants_certificate == wanted


def test_other_errors_want_none() -> None:
    assert not wants_certificate(OSError(104, "Connection reset by peer"))
    assert not wants_certificate(failed(62))
