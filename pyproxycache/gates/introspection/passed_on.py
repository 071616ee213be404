"""The token's body as a header field for the upstream, which clients cannot set themselves."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.messages import Headers
from pyproxycache.route_options.introspection import PassOnOptions
from pyproxycache.rules.field_names import without_alike

log = logging.getLogger("pyproxycache.introspection")


class PassedOn:
    """Sets the field that has the token's body; equal bodies have equal values, whatever their order."""

    def __init__(self, options: PassOnOptions) -> None:
        self._options = options
        self.name = options.header

    def headers(self, given: Headers, body: Mapping[str, Any]) -> Headers:
        """The client's fields, with the body of its token in place of what it may have said itself.

        Raises TokenCheckFailed if the body is too large.
        """
        return without_alike(given, {self.name}).with_field(self.name, self.value(body))

    def value(self, body: Mapping[str, Any]) -> str:
        """The field's value, in ASCII; raises TokenCheckFailed if it is too large."""
        only, without = self._options.only, self._options.without
        kept = {
            name: value
            for name, value in body.items()
            if name not in without and (only is None or name in only)
        }
        try:
            text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (ValueError, RecursionError):
            raise _failed("cannot be passed on as JSON") from None
        value = b64encode(text.encode()).decode() if self._options.form == "base64" else text
        if len(value) > self._options.max_size:
            raise _failed(f"has more than {self._options.max_size} bytes as a field")
        return value


def _failed(why: str) -> TokenCheckFailed:
    log.warning("the body of a token %s", why)
    return TokenCheckFailed(f"the body of a token {why}")
