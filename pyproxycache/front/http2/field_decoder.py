"""Decodes the field blocks of one connection (HPACK, RFC 7541), and knows those that come again."""

from __future__ import annotations

import re

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.table import HeaderTable

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode
from pyproxycache.front.http2.request_heads import Field, RequestHead, request_head
from pyproxycache.front.requests.ingress import Ingress

LARGEST_LIST = 32 << 10
"""The most that the fields of a block may come to (RFC 9113 section 6.5.2)."""
_MOST_REMEMBERED = 128
# A block begins with at most two updates of the table's size (RFC 7541 section 4.2).
_TOO_MANY_UPDATES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")


class _WatchedTable(HeaderTable):
    """A dynamic table that counts what may change the meaning of a block."""

    changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class FieldDecoder:
    """Decodes the blocks of one connection in their order.

    What changes no table means the same again, until something does. So the head of a request that comes
    often is decoded once.
    """

    def __init__(self, ingress: Ingress, server_name: str) -> None:
        """`server_name` is the one by which the client has connected, "" if it did not say."""
        self._ingress = ingress
        self._server_name = server_name
        self._decoder = Decoder(LARGEST_LIST)
        self._table = self._decoder.header_table = _WatchedTable()
        self._heads: dict[tuple[bytes, bool], RequestHead] = {}

    def request(self, block: bytes, *, ends: bool) -> RequestHead:
        """The head of a request; `ends`: there is no content. Raises ConnectionFault, StreamFault."""
        known = self._heads.get((block, ends))
        if known is not None:
            return known
        changes = self._table.changes
        fields = self.fields(block)
        head = request_head(fields, self._ingress, self._server_name, ends=ends)
        if self._table.changes == changes:
            if len(self._heads) == _MOST_REMEMBERED:
                self._heads.clear()
            self._heads[block, ends] = head
        return head

    def fields(self, block: bytes) -> list[Field]:
        """The fields of a block; raises ConnectionFault."""
        changes, size = self._table.changes, self._table.maxsize
        try:
            if _TOO_MANY_UPDATES.match(block):
                raise ConnectionFault(
                    ErrorCode.COMPRESSION_ERROR, "updates of the table's size without end"
                )
            return [(name, value) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            # The table has not seen the rest of the block, so that no further one could be decoded.
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "its fields are too long") from error
        except (HPACKError, IndexError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "its fields cannot be decoded") from error
        finally:
            if (self._table.changes, self._table.maxsize) != (changes, size):
                self._heads.clear()
