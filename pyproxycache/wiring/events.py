"""Builds what sends events, and tries out where they go."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from pyproxycache.background import Count
from pyproxycache.configuration.secrets import resolved
from pyproxycache.errors import ConfigError
from pyproxycache.report.events.carrier import Carrier
from pyproxycache.report.events.events import Events
from pyproxycache.report.events.file_carrier import FileCarrier
from pyproxycache.report.events.sender import Sender
from pyproxycache.report.events.spool import Spool
from pyproxycache.report.events.webhook_carrier import WebhookCarrier
from pyproxycache.route_options.events import EventsOptions, RabbitmqOptions, WebhookOptions

_FOLDER = "events"


def build_events(options: EventsOptions | None, store: Path, count: Count) -> Events | None:
    """Build and start what sends events, with its spool in the store's folder; None without options.

    Raises ConfigError if a secret cannot be read, or a package is missing.
    """
    if options is None:
        return None
    stopped, folder = threading.Event(), events_folder(store)
    sender = Sender(folder, _carrier(options, stopped, count), stopped, count)
    events = Events(Spool(folder, options.spool), sender, count)
    events.start()
    return events


def events_folder(store: Path) -> Path:
    """The folder of the spool, within that of the store."""
    return store / _FOLDER


def target_of(options: EventsOptions) -> str:
    """The kind of place that events go to, in one word."""
    if options.rabbitmq is not None:
        return "rabbitmq"
    return "file" if options.webhook is None else "webhook"


def check_events(options: EventsOptions | None) -> None:
    """Raise ConfigError if build_events() would, or if a file that is named cannot be used."""
    if options is not None:
        _carrier(options, threading.Event(), _uncounted)
        problems = list(_file_problems(options))
        if problems:
            raise ConfigError("\n".join(problems))


def _file_problems(options: EventsOptions) -> Iterator[str]:
    """A line for each file that cannot be used: its events would wait, and nobody would be told at once."""
    file, rabbitmq = options.file, options.rabbitmq
    if file is not None and not file.parent.is_dir():
        yield f"events.file: {file.parent}: there is no such folder: make it, or name another"
    elif file is not None and (
        file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)
    ):
        yield f"events.file: {file}: cannot be written to: name another file"
    if options.webhook is not None and options.webhook.ca_file is not None:
        yield from _tls_problems("events.webhook.ca_file", options.webhook.ca_file)
    if rabbitmq is not None and rabbitmq.ca_file is not None:
        yield from _tls_problems("events.rabbitmq.ca_file", rabbitmq.ca_file)
    if rabbitmq is not None and rabbitmq.certificate is not None:
        yield from _tls_problems("events.rabbitmq.certificate", rabbitmq.certificate, rabbitmq.key)


def _tls_problems(name: str, file: Path, key: Path | None = None) -> Iterator[str]:
    """A line for the file of authorities, or with a key for the certificate, if it cannot be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if key is None:
            context.load_verify_locations(file)
        else:
            context.load_cert_chain(file, key, password="")
    except ssl.SSLError:
        wanted = "authorities" if key is None else f"certificate that fits the key in {key}"
        yield f"{name}: {file}: has no {wanted}, in PEM"
    except OSError as error:
        yield f"{name}: {error.filename or file}: {error.strerror}"


def _carrier(options: EventsOptions, stopped: threading.Event, count: Count) -> Carrier:
    if options.rabbitmq is not None:
        if find_spec("pika") is None:
            text = "this needs the package pika: install pyproxycache[rabbitmq]"
            raise ConfigError(f"events.rabbitmq: {text}")
        # Only where it is used: the package is an extra.
        from pyproxycache.report.events.rabbitmq_carrier import RabbitmqCarrier

        return RabbitmqCarrier(with_password(options.rabbitmq), stopped, count)
    if options.webhook is not None:
        return WebhookCarrier(_with_secrets(options.webhook), stopped, count)
    assert options.file is not None, "the configuration has been checked"
    return FileCarrier(options.file, stopped)


def with_password(options: RabbitmqOptions, environ: Mapping[str, str] = os.environ) -> RabbitmqOptions:
    """The options with the password itself in the URL, where they have a reference; raises ConfigError."""
    url = resolved(options.url, "events.rabbitmq.url", lambda text: quote(text, safe=""), environ)
    return replace(options, url=url)


def _with_secrets(options: WebhookOptions) -> WebhookOptions:
    key = "events.webhook"
    token = options.token and resolved(options.token, f"{key}.token")
    return replace(options, url=resolved(options.url, f"{key}.url"), token=token)


def _uncounted(_counts: object) -> None:
    """Count nothing, of what is built only to see whether it can be."""
