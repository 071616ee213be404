"""What is said of requests that are no HTTP, for the one who sent them and for the log."""

import pytest
from gunicorn.http import errors

from pyproxycache.front.requests.refusals import (
    OtherProtocol,
    as_ours,
    reason_of_refusal,
    refusal,
    refused_with,
)


@pytest.mark.parametrize(
    ("error", "status", "told", "logged"),
    [
        (errors.InvalidRequestLine("secret"), "400", "request line: 'secret'", "InvalidRequestLine"),
        (OtherProtocol("it begins TLS"), "400", "begins TLS", "begins TLS"),
        (errors.UnsupportedTransferCoding("x"), "501", "coding", "UnsupportedTransferCoding"),
        (errors.InvalidRequestLine("x http://u:p@h/"), "400", "h/", "InvalidRequestLine"),
    ],
)
def test_refusals(error: errors.ParseException, status: str, told: str, logged: str) -> None:
    assert refused_with(error).startswith(status)
    assert told in refusal(error)
    assert logged in reason_of_refusal(error)
    assert as_ours(error).status == int(status)
    assert "u:p" not in refusal(error)
    assert "secret" not in reason_of_refusal(error) + str(as_ours(error))
