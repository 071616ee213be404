"""The activity of a connection that is a tunnel: bytes pass both ways unread."""

from __future__ import annotations

import select

from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.front.loop.relay import Tunnel

_IDLE_SECONDS = 60.0
"""Seconds of silence, at most half of the longest allowed, after which a tunnel counts as idle."""


class Relaying(Activity):
    """Passes on what comes from either end of a tunnel, until both have ended or been silent too long."""

    __slots__ = ("_context", "_far", "_idle_after", "_silent_since", "_transaction", "_tunnel")

    def __init__(self, transaction: Transaction, tunnel: Tunnel, context: ActivityContext) -> None:
        super().__init__()
        self._transaction = transaction
        self._context = context
        self._tunnel = tunnel
        self._far = tunnel.far.fileno()
        self._silent_since = context.loop.now
        self._idle_after = min(_IDLE_SECONDS, tunnel.patience(stops=False) / 2)

    @property
    def is_idle(self) -> bool:
        return self._context.loop.now - self._silent_since > self._idle_after

    def begin(self) -> Activity:
        self._context.loop.watch_for(self._transaction.connection, self._far)
        return self.advance()

    def end(self) -> None:
        self._context.loop.forget(self._far)

    def on_event(self, event: int) -> Activity:
        return self._pass_on(has_failed=bool(event & select.EPOLLERR))

    def advance(self) -> Activity:
        return self._pass_on(has_failed=False)

    def _pass_on(self, *, has_failed: bool) -> Activity:
        loop, transaction = self._context.loop, self._transaction
        transaction.relay(has_failed=has_failed)
        if transaction.status in (None, SendStatus.DONE):
            return CLOSED
        self._silent_since = loop.now
        self.deadline = loop.now + self._tunnel.patience(stops=loop.is_stopping)
        if transaction.status is SendStatus.TURN:
            loop.have_turn(transaction.connection)
        return self

    def expire(self) -> Activity:
        if self._tunnel.is_cut_off:
            return self.break_off()
        self._transaction.finish()
        return CLOSED

    def give_way(self) -> Activity:
        return self.expire()

    def stop(self) -> Activity:
        return self.advance()

    def cut_off(self) -> Activity:
        return self.break_off()

    def break_off(self) -> Activity:
        self._transaction.give_up()
        return CLOSED
