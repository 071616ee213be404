"""A RabbitMQ of the tests' own, with its own ports, folder and epmd; Debian's, where it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from certificates import Certificate
from waiting import until

BIN = Path("/usr/lib/rabbitmq/bin")
LONGEST = 100_000
"""The most bytes of a message that the broker takes."""


def needed() -> Any:
    """pika; the test is skipped where it or the broker is not installed."""
    if not (BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
        pytest.skip("rabbitmq-server is not installed")
    return pytest.importorskip("pika")


def _reserved() -> socket.socket:
    """A port that stays the test's: bound and never listening, so that the server can take it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Broker:
    """The server on ports and with a folder that stay the same when it is stopped and started again."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self.pika = needed()
        folder.mkdir(parents=True, exist_ok=True)
        self._reserved = [_reserved() for _ in range(4)]
        ports = [one.getsockname()[1] for one in self._reserved]
        self.port, self.tls_port, epmd, distribution = ports
        self.log_file = folder / "broker.out"
        config = folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {certificate.certificate}\n"
            f"ssl_options.certfile = {certificate.certificate}\n"
            f"ssl_options.keyfile = {certificate.key}\n"
            "log.console = true\nlog.file = false\ndisk_free_limit.absolute = 1MB\n"
            f"max_message_size = {LONGEST}\n"
        )
        plugins = folder / "enabled_plugins"
        plugins.write_text("[].\n")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")},
            "HOME": str(folder),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        }
        self._epmd_command = ["epmd", "-port", str(epmd), "-address", "127.0.0.1"]
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    @property
    def tls_url(self) -> str:
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}/%2f"

    def start(self) -> Self:
        """Start it; returns when it takes connections."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                self._epmd_command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        with self.log_file.open("ab") as out:
            self._server = subprocess.Popen(
                [BIN / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            until(self._is_up, 90)
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        """End it in order, as a restart for maintenance does."""
        assert self._server is not None, "it is not running"
        self._server.terminate()
        self._server.wait(60)
        self._server = None

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, 9)
            self._server.wait(10)
            self._server = None

    def close(self) -> None:
        """Leave nothing running."""
        self.kill()
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(10)
            self._epmd = None
        for one in self._reserved:
            one.close()

    def signal(self, number: int) -> None:
        """A signal to all of it."""
        assert self._server is not None, "it is not running"
        os.killpg(self._server.pid, number)

    @contextlib.contextmanager
    def blocking(self) -> Iterator[None]:
        """A context in which it says that it has no memory left for what is published."""
        alarm = "{resource_limit, memory, node()}"
        self.control("eval", f"rabbit_alarm:set_alarm({{{alarm}, []}}).")
        try:
            yield
        finally:
            self.control("eval", f"rabbit_alarm:clear_alarm({alarm}).")

    def control(self, *arguments: str) -> None:
        """rabbitmqctl with these arguments."""
        command = [BIN / "rabbitmqctl", "-q", *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of a connection of the test's own."""
        connection = self.pika.BlockingConnection(self.pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def queue(self, name: str, exchange: str, keys: tuple[str, ...] = ("#",), **arguments: Any) -> None:
        """A durable queue that gets what is published at a durable topic exchange by these keys."""
        with self.channel() as channel:
            channel.exchange_declare(exchange, "topic", durable=True)
            channel.queue_declare(name, durable=True, arguments=arguments or None)
            for key in keys:
                channel.queue_bind(name, exchange, key)

    def taken(self, queue: str) -> list[tuple[Any, Any, bytes]]:
        """All messages that are in the queue now: method, properties and body; they are gone then."""
        messages = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return messages
                messages.append((method, properties, body))

    def _is_up(self) -> bool:
        assert self._server is not None
        if self._server.poll() is not None:
            raise RuntimeError(f"the broker ended: {self.log_file.read_text()[-3000:]}")
        try:
            with self.channel():
                return True
        except (self.pika.exceptions.AMQPError, OSError):
            return False
