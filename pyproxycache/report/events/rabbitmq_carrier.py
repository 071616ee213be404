"""Events to an exchange of RabbitMQ: what is published, and how it goes on after trouble."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import pika

from pyproxycache.background import Count
from pyproxycache.report.events.broker_connection import BrokerConnection, Message
from pyproxycache.report.events.carrier import IsOver, Undelivered, Unreached
from pyproxycache.report.events.event import envelope_of, is_marked
from pyproxycache.route_options.events import RabbitmqOptions

log = logging.getLogger("pyproxycache")

_CONNECT_SECONDS = 10.0
_PORTS = {"amqp": 5672, "amqps": 5671}
_TRANSIENT, _PERSISTENT = 1, 2


class RabbitmqCarrier:
    """Publishes events, and returns when the broker has confirmed them; connects anew after any trouble.

    The exchange has to be there: its kind and its queues are the operator's. An event that no queue takes
    is counted, and said once; it counts as delivered, for nobody has asked for it. So does one that the
    broker refuses for itself, as it is too long, and that would hold up all behind it: the broker does not
    say which one it is, so that those which it may be (`_suspects`, from the next one on) are sent alone.
    """

    def __init__(self, options: RabbitmqOptions, stopped: threading.Event, count: Count) -> None:
        self._options = options
        self._stopped = stopped
        self._count = count
        self._connection: BrokerConnection | None = None
        self._is_unroutable = False
        self._suspects = 0

    def deliver(self, events: Sequence[bytes], is_over: IsOver) -> None:
        done = 0
        while done < len(events):
            some = events[done : done + 1] if self._suspects else events[done:]
            try:
                self._publish(some, is_over)
            except Undelivered as why:
                is_refused = self._connection is not None and self._connection.refuses_message
                self.close()
                if not (is_refused and self._suspects):
                    done += why.delivered
                    self._suspects = len(events) - done if is_refused else self._suspects
                    if done:
                        raise Undelivered(str(why), done) from why
                    raise
                self._count({"events.refused": 1})
                log.warning("the broker refuses an event, which is given up: %s", why)
                self._suspects = 0
            else:
                self._suspects = max(0, self._suspects - 1)
            done += len(some)

    def rest(self, seconds: float) -> None:
        connection = self._connection
        if connection is None:
            self._stopped.wait(seconds)
            return
        connection.work(seconds)
        if connection.problem:
            self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _publish(self, events: Sequence[bytes], is_over: IsOver) -> None:
        """Publish the events; raises Undelivered, with those of them that are confirmed."""
        messages = [self._message(event) for event in events]
        connection = self._connection = self._connection or self._connected(is_over)
        connection.publish(self._options.exchange, messages, is_over)
        self._tell(connection.returned)
        connection.returned = 0

    def _connected(self, is_over: IsOver) -> BrokerConnection:
        connection = BrokerConnection(self._parameters())
        try:
            connection.open(is_over)
        except Undelivered:
            connection.close()
            raise
        return connection

    def _parameters(self) -> pika.ConnectionParameters:
        """What is connected to; raises Unreached if files of TLS cannot be read."""
        options = self._options
        url = urlsplit(options.url)
        tls = None
        if url.scheme == "amqps":
            try:
                context = ssl.create_default_context(cafile=options.ca_file)
                if options.certificate is not None:
                    context.load_cert_chain(options.certificate, options.key)
            except OSError as error:
                raise Unreached(f"the files of TLS cannot be used: {error}") from error
            tls = pika.SSLOptions(context, url.hostname)
        name, password = unquote(url.username or "guest"), unquote(url.password or "guest")
        return pika.ConnectionParameters(
            host=url.hostname or "",
            port=url.port or _PORTS[url.scheme],
            virtual_host=unquote(url.path[1:]) or "/",
            credentials=pika.PlainCredentials(name, password, erase_on_connect=True),
            ssl_options=tls,
            heartbeat=max(1, round(options.heartbeat)),
            connection_attempts=1,
            socket_timeout=_CONNECT_SECONDS,
            stack_timeout=_CONNECT_SECONDS,
            client_properties={"connection_name": "pyproxycache events"},
        )

    def _message(self, event: bytes) -> Message:
        envelope = envelope_of(event)
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=_PERSISTENT if self._options.persistent else _TRANSIENT,
            message_id=envelope.id,
            app_id="pyproxycache",
            headers={"resent": True} if is_marked(event) else None,
        )
        return Message(envelope.routing_key, event, properties)

    def _tell(self, returned: int) -> None:
        if returned:
            self._count({"events.unroutable": returned})
        if returned and not self._is_unroutable:
            log.warning("no queue takes some events: their exchange has no binding for the routing key")
        self._is_unroutable = returned > 0
