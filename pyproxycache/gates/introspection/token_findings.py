"""What is found out of a token, and what comes of it for the request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pyproxycache.errors import ProxyError
from pyproxycache.messages import Request
from pyproxycache.steps import Steps


@dataclass(frozen=True, slots=True)
class TokenFindings:
    """The members of a valid token's body, and when it ends (seconds since the epoch).

    If it is not valid, `why_invalid` says so to the client. `is_remembered`: it was found out earlier.
    """

    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    ends: float | None = None
    why_invalid: str = ""
    is_remembered: bool = False


Recall = Callable[[], TokenFindings | None]
"""Gives what was found out of a token a short while ago, and still counts; None if nothing does."""


class TokenCheck(Protocol):
    """The protocol of what finds out whether tokens are valid."""

    def findings(self, token: str) -> Steps[TokenFindings]:
        """What is found out of the token; raises TokenCheckFailed if that is not possible."""

    def recalling(self, token: str) -> Recall:
        """What gives again and again what is remembered of a valid token, and waits for nothing."""


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request with a valid token, as it goes on; `body` is the token's, known earlier or not."""

    request: Request
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_remembered: bool = False


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request without a valid token, or whose token cannot be checked: its client gets the `error`."""

    error: ProxyError


def end_of(body: Mapping[str, Any]) -> float | None:
    """When the token with this body ends, as its `exp` says; None if it does not say."""
    return seconds_of(body.get("exp"))


def seconds_of(value: object) -> float | None:
    """The time that a value of JSON is (seconds since the epoch); None if it is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # later, or earlier, than any time
        return math.inf if value > 0 else -math.inf
