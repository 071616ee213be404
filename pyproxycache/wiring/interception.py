"""Builds what interception needs: the TLS of leaves, before the fork, and the rules."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.default_places import default_authority_path
from pyproxycache.front.interception.exclusions import Exclusions
from pyproxycache.front.interception.interception import Interception
from pyproxycache.front.interception.interception_rules import InterceptionRules
from pyproxycache.options import InterceptOptions
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaf_tls import LeafTls


def build_leaf_tls(config: Config) -> LeafTls | None:
    """Build the TLS of intercepted connections; None if no host's are. Raises ConfigError."""
    options = config.intercept
    return LeafTls(options.ca or default_authority_path(os.environ)) if options.hosts else None


def interception_warnings(
    options: InterceptOptions, authority: CertificateAuthority, now: float
) -> Iterator[str]:
    """What keeps hosts from being intercepted, now or soon (epoch seconds), without being an error."""
    time = authority.warning(now)
    if time is not None:
        yield f"intercept.ca: {time}"
    left_out = [host for host in options.hosts if not authority.is_any_signable(host)]
    if left_out:
        yield (
            f"intercept.hosts: {', '.join(left_out)}: passed on in tunnels, as the certificate authority"
            f" may sign for {authority.names} (ca init --permit)"
        )


def build_interception(config: Config, leaf_tls: LeafTls | None) -> Interception | None:
    """Build interception with the TLS that the master has made; None if no host's connections are."""
    if leaf_tls is None:
        return None
    return Interception(InterceptionRules(config.intercept, Exclusions()), leaf_tls)
