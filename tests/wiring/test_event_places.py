"""Files that events need are tried at the start, each named by its key."""

from __future__ import annotations

from pathlib import Path

import pytest
from certificates import Certificate

from pyproxycache.errors import ConfigError
from pyproxycache.route_options.events import EventsOptions, RabbitmqOptions, WebhookOptions
from pyproxycache.wiring.events import check_events

BROKER = "amqps://broker.test"
HOOK = "https://hook.test"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": "none/events"}, "events.file: {0}/none: there is no such folder"),
        ({"file": "."}, "events.file: {0}: cannot be written to"),
        ({"webhook": "none"}, "events.webhook.ca_file: {0}/none: No such file"),
        ({"webhook": "text"}, "events.webhook.ca_file: {0}/text: has no authorities, in PEM"),
        ({"ca_file": "none"}, "events.rabbitmq.ca_file: {0}/none: No such file"),
        (
            {"certificate": "text", "key": "text"},
            "events.rabbitmq.certificate: {0}/text: has no certificate that",
        ),
        ({"certificate": "pem", "key": "none"}, "events.rabbitmq.certificate: "),
    ],
)
def test_what_cannot_be_used_is_refused(
    options: dict[str, str], said: str, tmp_path: Path, certificate: Certificate
) -> None:
    (tmp_path / "text").write_text("no PEM")
    (tmp_path / "pem").write_bytes(certificate.certificate.read_bytes())
    with pytest.raises(ConfigError) as refused:
        check_events(_events({key: tmp_path / name for key, name in options.items()}))
    assert str(refused.value).startswith(said.format(tmp_path))


def test_what_can_be_used_is_taken(tmp_path: Path, certificate: Certificate) -> None:
    check_events(None)
    check_events(_events({"file": tmp_path / "events"}))
    check_events(_events({"webhook": certificate.certificate}))
    check_events(_events({"certificate": certificate.certificate, "key": certificate.key}))
    assert not (tmp_path / "events").exists()


def _events(paths: dict[str, Path]) -> EventsOptions:
    if "file" in paths:
        return EventsOptions(file=paths["file"])
    if "webhook" in paths:
        return EventsOptions(webhook=WebhookOptions(url=HOOK, ca_file=paths["webhook"]))
    return EventsOptions(rabbitmq=RabbitmqOptions(url=BROKER, **paths))
