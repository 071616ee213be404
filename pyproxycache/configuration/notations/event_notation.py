"""How places of events, and what is in events, are written in the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pyproxycache.configuration import places
from pyproxycache.configuration.refusals import refusal
from pyproxycache.configuration.secrets import ACCEPTED, SecretPlace, parts_of
from pyproxycache.route_options.events import EventsOptions, RouteEventsOptions

_AMQP = re.compile(
    r"amqps?://(?:[^/@]*@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^/?#]*)?"
)
_ORIGIN = re.compile(r"https?://[^/?#@${}]+(?:[/?].*)?", re.DOTALL)
_LONGEST_NAME = 255
_SMALLEST_SPOOL = 1 << 20
_PLACES = ("rabbitmq", "file", "webhook")
_LISTED = ", ".join(_PLACES)
_SEGMENTS = 16
_EXPANSION = 2
_OF_FIELDS = 32 << 10
"""A spool's segment takes the largest event: its fields, and its content as text."""


def read_amqp_url(value: Any) -> str:
    """The URL of a broker, whose password, if there is one, is a reference."""
    accepted = "a broker's URL, as in amqps://user:${file:/etc/secret}@host/vhost"
    if not isinstance(value, str):
        raise refusal(value, accepted)
    plain = _without_references(value)
    before, at, _host = plain.rpartition("@")
    if at and not before.endswith(":x"):
        # It may be the secret, which nobody is to read in a log.
        raise ValueError(f"passwords are not written here, but where they are: {ACCEPTED}")
    if not _AMQP.fullmatch(plain):
        raise ValueError(f"it is not {accepted}") if at else refusal(value, accepted)
    try:
        urlsplit(plain).port  # noqa: B018
    except ValueError as error:
        raise refusal(value, f"{accepted} ({error})") from error
    return value


def read_webhook_url(value: Any) -> str:
    """A URL with http or https, behind whose origin references may stand for secrets."""
    accepted = "a URL, as in https://example.org/events, with secrets in its path or query as references"
    if not isinstance(value, str) or not _ORIGIN.fullmatch(value):
        raise ValueError(f"it is not {accepted}")
    places.read_url(_without_references(value))
    return value


def read_short_name(value: Any) -> str:
    """The name of an exchange, or a routing key."""
    if not isinstance(value, str) or len(value.encode()) > _LONGEST_NAME:
        raise refusal(value, f"a name of up to {_LONGEST_NAME} bytes, in quotes if it looks like a number")
    return value


def read_parameter_name(value: Any) -> str:
    """The name of a query parameter, which is compared without case."""
    if not isinstance(value, str) or not value:
        raise refusal(value, "a query parameter's name, as in access_token")
    return value.lower()


def event_problems(options: EventsOptions) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with several values together: the keys within `events`, and what is accepted."""
    named = [place for place in _PLACES if getattr(options, place) is not None]
    if len(named) != 1:
        yield (), f"say where events go, by one of {_LISTED}"
    if options.spool < _SMALLEST_SPOOL:
        yield ("spool",), f"{options.spool} is not accepted: from 1M on"
    rabbitmq = options.rabbitmq
    if rabbitmq is not None:
        if (rabbitmq.certificate is None) != (rabbitmq.key is None):
            yield ("rabbitmq",), "'certificate' and 'key' are accepted only together"
        if rabbitmq.url.startswith("amqp:") and (rabbitmq.ca_file or rabbitmq.certificate):
            yield ("rabbitmq",), "files of TLS are accepted only with amqps in 'url'"


def problem_of_route(
    route: RouteEventsOptions, events: EventsOptions | None
) -> tuple[tuple[str, ...], str] | None:
    """What is wrong with a route's events, as in event_problems(); None if nothing is."""
    if events is None:
        return (), "where events go is not said: 'events' is needed beside 'routes', with one of " + _LISTED
    if (
        events.spool >= _SMALLEST_SPOOL
        and _SEGMENTS * (_EXPANSION * route.body + _OF_FIELDS) > events.spool
    ):
        most = max(0, (events.spool // _SEGMENTS - _OF_FIELDS) // _EXPANSION)
        text = f"{route.body} is more than the spool can take: up to {most} with this 'events.spool'"
        return ("body",), text
    return None


def _without_references(text: str) -> str:
    """The text with an x for each reference to a secret; raises ValueError."""
    return "".join("x" if isinstance(part, SecretPlace) else part for part in parts_of(text))
