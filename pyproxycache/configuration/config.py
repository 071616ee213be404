"""The whole configuration: read from a file and the command line, checked, and written as YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from pyproxycache.configuration.documents import document_of, put_key
from pyproxycache.configuration.notation import status_codes
from pyproxycache.configuration.sections import KeyPath, Problems, Refused, read_section, written
from pyproxycache.errors import ConfigError
from pyproxycache.options import (
    LOOPBACK,
    CacheStatusOptions,
    ConnectOptions,
    Count,
    FetchOptions,
    FieldName,
    ForwardedOptions,
    GuardOptions,
    KissCacheOptions,
    LimitOptions,
    ListenerOptions,
    LogOptions,
    Network,
    OriginUrl,
    ParentOptions,
    ProxyAuthOptions,
    RuleOptions,
    Size,
    StoreOptions,
)
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Match, Policies, Policy, Rule

FLAGS = {
    "listen": "--listen",
    "upstream": "--upstream",
    "workers": "--workers",
    "threads": "--threads",
    "store.path": "--cache-dir",
    "store.max_size": "--max-size",
    "store.unused": "--unused",
    "log.access": "--access-log",
}
"""The command-line flag of each key that has one."""


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration; each component gets only its own options out of it."""

    listen: tuple[ListenerOptions, ...] = (ListenerOptions(address="127.0.0.1:3128"),)
    allow: tuple[Network, ...] = LOOPBACK
    allow_purge: tuple[Network, ...] = LOOPBACK
    upstream: OriginUrl | None = None
    proxy_auth: ProxyAuthOptions | None = None
    parent: ParentOptions | None = None
    workers: Count = 2
    threads: Count = 512
    memory: Size = 256 << 20
    store: StoreOptions
    fetch: FetchOptions = FetchOptions()
    connect: ConnectOptions = ConnectOptions()
    guard: GuardOptions = GuardOptions()
    limits: LimitOptions = LimitOptions()
    kisscache: KissCacheOptions = KissCacheOptions()
    forwarded: ForwardedOptions = ForwardedOptions()
    log: LogOptions = LogOptions()
    cache_status: CacheStatusOptions = CacheStatusOptions()
    targets: tuple[FieldName, ...] = ("cdn-cache-control",)
    rules: tuple[RuleOptions, ...] = ()
    defaults: bool = True

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that are listened on, with TLS and without."""
        return tuple(listener.address for listener in self.listen)

    def policies(self) -> Policies:
        """The rules in the form that rules.decide uses."""
        return Policies(tuple(_rule(options) for options in self.rules), self.targets, self.defaults)


def load(path: Path | None, overrides: Mapping[str, object], given_by: Mapping[str, str] = FLAGS) -> Config:
    """Read the configuration from a file (None: the defaults) and from what the command line sets.

    `overrides` maps dotted keys ("store.max_size") to values that replace the file's; None and () mean not
    given. `given_by` maps keys to what errors call them (a flag or variable). Raises ConfigError.
    """
    document: dict[Any, Any] = {}
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: is not UTF-8 text: {error}") from error
        document = document_of(text, str(path))
    given = {key: value for key, value in overrides.items() if value is not None and value != ()}
    names = {key: given_by.get(key, key) for key in given}
    for key, value in given.items():
        put_key(document, key, value)
    return _build(document, str(path or "configuration"), names)


def parse(text: str, source: str) -> Config:
    """Read the configuration from YAML text; `source` names the text in errors. Raises ConfigError."""
    return _build(document_of(text, source), source, {})


def dump(config: Config) -> str:
    """The configuration as YAML with every key; parse() reads it to an equal one."""
    return yaml.safe_dump(written(Config, config), sort_keys=False, allow_unicode=True)


def default_store_path(environ: Mapping[str, str]) -> Path:
    """The folder that systemd made for the service, else one in the user's cache folder.

    Raises ConfigError if the user has no home folder.
    """
    service = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    user = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        return (user if user.is_absolute() else Path("~/.cache").expanduser()) / "pyproxycache"
    except RuntimeError as error:
        raise ConfigError("store.path: this user has no home folder: name one") from error


def _build(document: dict[Any, Any], source: str, given_by: Mapping[str, str]) -> Config:
    store = document.get("store")
    if store is None or (isinstance(store, dict) and store.get("path") is None):
        put_key(document, "store.path", default_store_path(os.environ))
    try:
        config: Config = read_section(Config, document, ())
        _check(config)
    except Refused as refused:
        lines = [_line(path, text, source, given_by) for path, text in refused.problems]
        raise ConfigError("\n".join(lines)) from refused
    return config


def _line(path: KeyPath, text: str, source: str, given_by: Mapping[str, str]) -> str:
    """A line for the user: the flag, the variable, or file and key, and what is wrong there."""
    key = ".".join(str(part) for part in path if isinstance(part, str))
    if key in given_by:
        return f"{given_by[key]}: {text}"
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return f"{source}: {dotted}: {text}"


def _check(config: Config) -> None:
    """Check what depends on several values; raises Refused."""
    problems = Problems()
    if not config.listen:
        problems.add(("listen",), "[] is not accepted: name an address at least")
    for number, address in enumerate(config.addresses):
        wider = next((other for other in config.addresses[:number] if _overlap(address, other)), None)
        if wider is not None:
            text = f"{address!r} and {wider!r} are the same port of the same addresses: leave one out"
            problems.add(("listen", number), text)
    if config.proxy_auth is not None and config.upstream is not None:
        text = "clients of a reverse proxy send no credentials for a proxy: leave this or 'upstream' out"
        problems.add(("proxy_auth",), text)
    for number, rule in enumerate(config.rules):
        # The cache key is needed before there is a response: such a rule would never apply.
        if rule.query != "keep" and (rule.match.status or rule.match.content_type):
            text = f"{rule.query!r} is accepted only without match.status and match.content_type"
            problems.add(("rules", number, "query"), text)
    problems.raise_any()


def _overlap(one: str, other: str) -> bool:
    """Whether two addresses cannot both be listened on: they are equal, or one includes the other."""
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if "unix:" in (one[:5], other[:5]) or port != other_port:
        return one == other
    hosts = {host, other_host}
    return len(hosts) == 1 or "[::]" in hosts or ("0.0.0.0" in hosts and not any("[" in h for h in hosts))


def _rule(options: RuleOptions) -> Rule:
    """The rule in the form that rules.decide uses; a single status ("404") wins over its class ("4xx")."""
    match = options.match
    codes = frozenset(code for status in match.status for code in status_codes(status))
    by_status: dict[int | None, float] = {}
    ages = options.fresh if isinstance(options.fresh, tuple) else ()
    for status, age in sorted(ages, key=lambda item: item[0].isdigit()):
        by_status.update({None: age} if status == "any" else dict.fromkeys(status_codes(status), age))
    return Rule(
        match=Match(match.host, match.path, codes or None, match.content_type),
        policy=Policy(
            fresh=None if isinstance(options.fresh, tuple) else options.fresh,
            stale_if_error=options.stale_if_error,
            stale_while_revalidate=options.stale_while_revalidate,
            ignore=frozenset(options.ignore),
            no_store=options.no_store,
            store_cookies=options.store_cookies,
            silence=options.silence,
            query=QueryMode(options.query),
        ),
        fresh_by_status=tuple(by_status.items()),
    )
