"""The options of events: what a route's events have, and where all of them go."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from pyproxycache.options import Count, FieldName, Folder, SecretText, Size, Timeout

AmqpUrl = Annotated[str, "AMQP url"]
WebhookUrl = Annotated[str, "webhook url"]
ShortName = Annotated[str, "short name"]
ParameterName = Annotated[str, "parameter name"]

SECRET_FIELDS = (
    *("authorization", "proxy-authorization", "cookie"),
    *("private-token", "job-token", "deploy-token", "x-jfrog-art-api"),
)
SECRET_PARAMETERS = ("access_token",)
"""What no event has the values of (RFC 6750 section 2.3)."""


class RouteEventsOptions(Struct, frozen=True, kw_only=True):
    """That each request of a route becomes an event, and what is in it.

    Of the fields and query parameters that are named in `redact` and `redact_query` the event has no
    values, nor of those that are always secret. `body` is how many bytes of a request's content it has (0:
    none).
    """

    routing_key: ShortName = ""
    redact: tuple[FieldName, ...] = ()
    redact_query: tuple[ParameterName, ...] = ()
    body: Size = 0


class RabbitmqOptions(Struct, frozen=True, kw_only=True):
    """The broker that events are published at, and how; its password is in `url` as a reference.

    `persistent`: the broker keeps them over its own restarts, in queues that last so long. `heartbeat` is
    the silence (seconds) after which a connection counts as dead. With amqps, the authorities in `ca_file`
    are trusted in place of the system's; `certificate` and `key` are what the broker is shown.
    """

    url: AmqpUrl
    exchange: ShortName = ""
    persistent: bool = True
    heartbeat: Timeout = 30.0
    ca_file: Folder | None = None
    certificate: Folder | None = None
    key: Folder | None = None


class WebhookOptions(Struct, frozen=True, kw_only=True):
    """The URL that events are sent to by POST, up to `batch` of them at once.

    `token` is sent as `Authorization: Bearer`. `timeout` limits the wait for an answer. The authorities in
    `ca_file` are trusted in place of the system's.
    """

    url: WebhookUrl
    batch: Count = 100
    timeout: Timeout = 10.0
    token: SecretText | None = None
    ca_file: Folder | None = None


class EventsOptions(Struct, frozen=True, kw_only=True):
    """Where events go, which is one of three places, and how many bytes of them may wait on the disk."""

    rabbitmq: RabbitmqOptions | None = None
    file: Folder | None = None
    webhook: WebhookOptions | None = None
    spool: Size = 64 << 20
