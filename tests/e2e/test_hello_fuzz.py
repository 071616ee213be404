"""ClientHellos with anything changed: no crash, no hang, and no leaf for nonsense."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from hello_fuzz import Fuzzed, is_host, made, mutated, usual_hellos

from pyproxycache.front.interception.exclusions import Exclusions
from pyproxycache.front.interception.interception_rules import Intercept, InterceptionRules
from pyproxycache.options import InterceptOptions
from pyproxycache.tls.certificate_authority import CertificateAuthority, Leaf
from pyproxycache.tls.client_hello import ClientHelloReader, NoClientHello
from pyproxycache.tls.leaves import Leaves, MintRefused
from pyproxycache.tls.server_tls import server_context
from pyproxycache.url import Authority

SECONDS = 5.0


def test_a_server_takes_what_comes(tmp_path: Path) -> None:
    """`make fuzz-tls` does so for longer, with other messages each time."""
    with Fuzzed(tmp_path) as server:
        trial = server.try_all(made(usual_hellos(), 5, 100_000, SECONDS))
    assert trial.ends["handshake"]
    assert trial.ends["nothing"]
    assert trial.names["hello.example"]


class Spied(CertificateAuthority):
    """An authority that notes for what it signs."""

    signed: list[str]

    def mint(self, name: str, *arguments: Any) -> Leaf:
        self.signed.append(name)
        return super().mint(name, *arguments)


def test_no_leaf_is_made_for_nonsense(tmp_path: Path) -> None:
    authority = Spied.create(tmp_path / "ca", time.time())
    assert isinstance(authority, Spied)
    authority.signed = []
    leaves = Leaves(authority, server_context)
    rules = InterceptionRules(InterceptOptions(hosts=("*",)), Exclusions())
    chance, hellos, passed = random.Random(8), usual_hellos(), 0
    for number in range(3000):
        raw = mutated(chance.choice(hellos), chance)
        reader = ClientHelloReader()
        try:
            hello = reader.feed(raw)
        except NoClientHello:
            continue
        if hello is None:
            continue
        decision = rules.by_hello(hello, Authority("192.0.2.7", 443), "192.0.2.1", 0.0)
        if not isinstance(decision, Intercept):
            passed += 1
            continue
        try:
            leaves.context_for(decision.origin.host, f"10.0.{number >> 8}.{number % 256}", time.time())
        except MintRefused as refused:
            raise AssertionError(f"{decision.origin.host} was to be intercepted") from refused
    assert passed
    assert len(set(authority.signed)) == len(authority.signed) > 10
    assert [name for name in authority.signed if not is_host(name)] in ([], ["192.0.2.7"])
