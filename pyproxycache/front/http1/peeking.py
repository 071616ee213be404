"""The activity that waits for a client's first bytes behind a CONNECT, and decides by them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from pyproxycache import clock
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.interception.interception_rules import Decision, Intercept, PassOn
from pyproxycache.front.interception.pending_tunnel import PendingTunnel
from pyproxycache.front.interception.vetting import Vetting
from pyproxycache.front.loop.activity import CLOSED, GONE, Activity
from pyproxycache.front.loop.handshaking import HANDSHAKE_SECONDS, Handshaking, tell_of_failure
from pyproxycache.front.loop.lingering import LINGER_SECONDS
from pyproxycache.front.requests.ingress import standing_in_for
from pyproxycache.net.handshake import HandshakeFailed, LeftByClient, ServerHandshake
from pyproxycache.report.repetition_filter import LIMITED
from pyproxycache.tls.client_hello import ClientHelloReader, NoClientHello
from pyproxycache.tls.leaves import MintRefused
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache")

SILENCE_SECONDS = 3.0
"""After so long without a byte the server is expected to speak first, and gets its tunnel."""
_READ = 64 << 10
_RECORD = b"\x16"

OpenTunnel = Callable[[str], Activity]
"""Gives the activity in which the tunnel is opened, for this reason."""


class Peeking(Activity):
    """Reads what the client sends first, and intercepts the connection or passes it on as a tunnel."""

    __slots__ = ("_context", "_hello", "_intercept", "_open", "_pending", "_seen", "_transaction")

    def __init__(
        self,
        transaction: Transaction,
        pending: PendingTunnel,
        context: ActivityContext,
        open_tunnel: OpenTunnel,
    ) -> None:
        super().__init__(
            context.loop.now + (LINGER_SECONDS if context.loop.is_stopping else SILENCE_SECONDS)
        )
        self._transaction = transaction
        self._pending = pending
        self._context = context
        self._open = open_tunnel
        self._hello = ClientHelloReader()
        self._seen = 0
        self._intercept: Intercept | None = None  # the decision, which waits for its turn

    @property
    def is_idle(self) -> bool:
        return not self._seen

    def on_event(self, event: int) -> Activity:
        self._transaction.connection.note(event)
        if event & GONE:
            return self.break_off()
        return self.advance() if self._intercept is None else self

    def advance(self) -> Activity:
        if self._intercept is not None:
            return self._follow(self._intercept)
        connection = self._transaction.connection
        decision = self._decided()
        while decision is None:
            try:
                data = connection.recv(_READ)
            except BlockingIOError:
                return self
            except OSError:
                return self.break_off()
            connection.buffer += data
            # Who says no more may still wait for what the other end has to say.
            decision = self._decided() if data else PassOn("silent")
        if isinstance(decision, PassOn):
            return self._follow(decision)
        # Not at once: a leaf takes as long as many answers from memory, which others wait for.
        self._intercept = decision
        self._context.loop.have_turn(connection)
        return self

    def expire(self) -> Activity:
        if self._context.loop.is_stopping:
            return self.break_off()
        return self._follow(PassOn("unfinished" if self._seen else "silent"))

    def give_way(self) -> Activity:
        return self.break_off()

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._context.loop.now + LINGER_SECONDS)
        return self

    def cut_off(self) -> Activity:
        return self.break_off()

    def break_off(self) -> Activity:
        self._transaction.give_up()
        return CLOSED

    def _decided(self) -> Decision | None:
        """The decision by what is in the buffer; None if more has to come."""
        buffer = self._transaction.connection.buffer
        if not buffer:
            return None
        if not self._seen and not self._context.loop.is_stopping:
            self.deadline = self._context.loop.now + HANDSHAKE_SECONDS
        fresh, self._seen = buffer[self._seen :], len(buffer)
        now, client = clock.steady(), self._transaction.connection.client
        rules, end = self._pending.interception.rules, self._pending.end
        if not buffer.startswith(_RECORD):
            return rules.by_text(buffer, end, client, now)
        try:
            hello = self._hello.feed(fresh)
        except NoClientHello:
            return PassOn("no-client-hello")
        return None if hello is None else rules.by_hello(hello, end, client, now)

    def _follow(self, decision: Decision) -> Activity:
        if isinstance(decision, Intercept):
            try:
                return self._intercepted(decision.origin)
            except MintRefused as refusal:
                log.info("%s is not intercepted: %s", decision.origin.origin, refusal, extra=LIMITED)
                decision = PassOn("no-leaf")
        return self._open(decision.why)

    def _intercepted(self, origin: Url) -> Activity:
        """The activity that begins to answer in the origin's place; raises MintRefused."""
        transaction, pending = self._transaction, self._pending
        connection, came_by = transaction.connection, pending.ingress
        ingress = standing_in_for(origin, came_by.user, came_by.password_hash, came_by.destination)
        if origin.scheme == "http":
            following: Activity = connection.reading
            connection.ingress = ingress
        else:
            end = pending.interception.tls.end(origin.host, connection.client, clock.wall())
            handshake = ServerHandshake(connection.stream, end, connection.buffer)
            connection.buffer = b""

            def accepted() -> Activity:
                pending.interception.rules.exclusions.accepted(
                    connection.client, origin.host, clock.steady()
                )
                return self._context.begin_session(connection, handshake.protocol)

            def begin() -> Activity:
                connection.ingress = ingress
                return Vetting(connection, self._context.loop, accepted, partial(self._left, origin.host))

            failed = partial(self._failed, origin.host)
            following = Handshaking(
                connection, handshake, self._context.loop, begin, lambda: CLOSED, failed
            )
        pending.intercepted()
        transaction.finish()
        return following

    def _failed(self, host: str, failure: HandshakeFailed) -> None:
        tell_of_failure(self._transaction.connection.client, failure, host)
        if isinstance(failure, LeftByClient):
            self._left(host)
        elif failure.is_refusal:
            exclusions = self._pending.interception.rules.exclusions
            self._note(host, exclusions.refused)

    def _left(self, host: str) -> None:
        """The client has gone once it had seen the host's leaf, and before it said what it wants."""
        self._note(host, self._pending.interception.rules.exclusions.left)

    def _note(self, host: str, count: Callable[[str, str, float], float]) -> None:
        client = self._transaction.connection.client
        seconds = count(client, host, clock.steady())
        if seconds:
            log.warning(
                "%s does not accept this cache's TLS for %s: it gets tunnels there for %d minutes, with all"
                " its programs. Name the host in intercept.except, or have them trust this authority"
                " (`pyproxycache ca export`), and send SIGHUP",
                client,
                host,
                seconds / 60,
            )
