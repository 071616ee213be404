"""Errors as people read them."""

import socket
import ssl

import pytest

from pyproxycache.errors import MethodNotAllowed, reason


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(111, "Connection refused"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "wrong version number",
        ),
        (
            ssl.SSLCertVerificationError(1, "[SSL: A_B] verify failed: expired (_ssl.c:9)"),
            "verify failed: expired",
        ),
        (EOFError("closed"), "closed"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("a (b)"), "a (b)"),
    ],
)
def test_reason(error: Exception, text: str) -> None:
    assert reason(error) == text


def test_another_thread_gets_the_fields_that_the_answer_has() -> None:
    allow = (("Allow", "GET, HEAD"),)
    error = MethodNotAllowed("PUT", headers=allow)
    assert (str(error.another()), error.another().headers) == ("PUT", allow)
