"""A client, a router and an origin, each on a host of its own: namespaces, joined in IPv4 and IPv6."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from namespaces import Elsewhere, give_addresses, host, ip

CLIENT, CLIENT6 = "10.213.81.2", "fd77:213:81::2"
LAN, LAN6 = "10.213.81.1", "fd77:213:81::1"
WAN, WAN6 = "10.213.82.1", "fd77:213:82::1"
ORIGIN, ORIGIN6 = "10.213.82.2", "fd77:213:82::2"
SECOND, SECOND6 = "10.213.82.3", "fd77:213:82::3"
FORGER, FORGER6 = "10.213.82.66", "fd77:213:82::66"
"""The addresses of the client, of the router on both sides, and of the origin's host, which has several."""
LAN_INTERFACE = "lan0"
NAME = "a.test"
"""The name of the origin, for its first address in both families."""
ROUTER = ("start", "router", "--lan", LAN_INTERFACE)
WAYS = [(*ROUTER, *tproxy, "--by", tool) for tproxy in ((), ("--tproxy",)) for tool in ("nft", "iptables")]
"""What the firewall's script is told for each way to redirect the client's connections."""
NETWORKS = ["10.213.81.0/24", "fd77:213:81::/64"]
"""Those of the client."""

SCRIPT = Path(__file__).resolve().parents[1] / "contrib" / "firewall" / "pyproxycache-redirect"
_NEW_MOUNTS, _BIND, _PRIVATE = 0x20000, 0x1000, 0x44000


@dataclass(frozen=True)
class Routed:
    """The three hosts; the router finds names in `hosts_file` alone, and at first knows the origin's."""

    client: Elsewhere
    router: Elsewhere
    origin: Elsewhere
    hosts_file: Path

    def resolve(self, **names: Sequence[str]) -> None:
        """Let the router know names by these addresses: `a_test` is "a.test"."""
        lines = [
            f"{address} {name.replace('_', '.')}" for name, found in names.items() for address in found
        ]
        # Written in place, as it is this file that is mounted there.
        self.hosts_file.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def redirect(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the firewall's script on the router."""
        return self.run(str(SCRIPT), *arguments, check=check)

    def run(self, *command: str, check: bool = True, user: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command on the router, as this user."""
        done = self.router.call(
            subprocess.run, command, capture_output=True, text=True, timeout=30, user=user
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done


@contextmanager
def routed(folder: Path) -> Iterator[Routed]:
    """The hosts for as long as the context lasts; skips the test where they cannot be made."""
    for tool in ("ip", "nft", "iptables", "ip6tables"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    with ExitStack() as stack:
        names = [f"{kind}-{os.getpid()}" for kind in ("client", "router", "origin")]
        client, router, origin = (stack.enter_context(host(name)) for name in names)
        _join(names[0], names[1], LAN_INTERFACE, (CLIENT, CLIENT6), (LAN, LAN6))
        origins = (ORIGIN, ORIGIN6, SECOND, SECOND6, FORGER, FORGER6)
        _join(names[2], names[1], "wan0", origins, (WAN, WAN6))
        found = Routed(client, router, origin, folder / "hosts")
        found.resolve(a_test=[ORIGIN, ORIGIN6])
        router.call(_find_names_in, found.hosts_file, folder)
        for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            router.call(Path("/proc/sys/net", setting).write_text, "1")
        yield found


def _join(
    end: str, router: str, interface: str, addresses: Sequence[str], gateways: tuple[str, str]
) -> None:
    """Join a host with the router, which is its gateway."""
    ip("-n", router, "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", end)
    give_addresses(("-n", router), interface, *gateways)
    give_addresses(("-n", end), "eth0", *addresses)
    for gateway in gateways:
        family = "-6" if ":" in gateway else "-4"
        ip("-n", end, family, "route", "add", "default", "via", gateway)


def _find_names_in(hosts_file: Path, folder: Path) -> None:
    """Have this thread, and what it starts, look names up in the file, and ask no server."""
    library = ctypes.CDLL(None, use_errno=True)
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
    calls = [(library.unshare, (_NEW_MOUNTS,)), (library.mount, (None, b"/", None, _PRIVATE, None))]
    for file, place in ((hosts_file, b"/etc/hosts"), (resolver, b"/etc/resolv.conf")):
        calls.append((library.mount, (str(file).encode(), place, None, _BIND, None)))
    for call, arguments in calls:
        if call(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
