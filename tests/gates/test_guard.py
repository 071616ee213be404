"""Who may ask, and what may be reached behind the proxy."""

import resource
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from pyproxycache.errors import Forbidden, LoopDetected
from pyproxycache.gates.access import Access, Guard
from pyproxycache.gates.interfaces import OwnAddresses, interfaces_of, interfaces_towards
from pyproxycache.options import LOOPBACK, GuardOptions

OUTSIDE = "192.0.2.7"


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("2001:db8::1", False),
        ("fe80::1%eth0", False),
        ("::", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_allowed_by_default(client: str, allowed: bool) -> None:
    access = Access(LOOPBACK)
    if allowed:
        access.check(client)
    else:
        with pytest.raises(Forbidden, match="allow"):
            access.check(client)


@pytest.mark.parametrize("client", ["10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0", "2001:db8::5"])
def test_networks_are_allowed(client: str) -> None:
    Access(tuple(map(ip_network, ("10.0.0.0/8", "fe80::/10", "2001:db8::/32")))).check(client)


INWARD = [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "::ffff:127.0.0.1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::ffff:0.0.0.0",
    "169.254.0.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:7f00:0:100::",
    "64:ff9b:1:ffff::169.254.169.254",
    "::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:0:7f00:1:8000:63bf:3fff:fdd2",
    "2001:db8::5efe:127.0.0.1",
    "2001:db8::200:5efe:127.0.0.1",
]
OUTWARD = [
    "64:ff9b::192.0.2.1",
    "64:ff9b:1::10.0.0.1",
    "2002:c000:201::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::7f00:1",
    "10.0.0.1",
    "192.168.1.1",
    "128.0.0.1",
    "fd00::1",
    "2001:db8::1",
    "100.100.100.201",
]


@pytest.mark.parametrize("address", INWARD)
def test_clients_from_elsewhere_do_not_reach_inward(address: str) -> None:
    guard = Guard(GuardOptions(), [])
    for client in (OUTSIDE, "::ffff:192.0.2.7", "fe80::2%eth0"):
        with pytest.raises(Forbidden, match=r"guard\.permit"):
            guard.admit(client, address, 80)
        with pytest.raises(Forbidden):
            guard.admit_peer(client, address)
    for client in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        guard.admit(client, address, 80)
        guard.admit_peer(client, address)


@pytest.mark.parametrize("address", OUTWARD)
def test_clients_from_elsewhere_reach_the_rest(address: str) -> None:
    guard = Guard(GuardOptions(), [])
    guard.admit(OUTSIDE, address, 80)
    guard.admit_peer(OUTSIDE, address)


def test_what_came_from_a_parent_has_no_address_to_judge() -> None:
    Guard(GuardOptions(), []).admit_peer(OUTSIDE, "")


@pytest.mark.parametrize(
    ("address", "admitted"), [("127.0.0.1", False), ("127.0.1.1", True), ("10.0.0.1", False), ("::1", True)]
)
def test_guard_is_configurable_and_permit_wins(address: str, admitted: bool) -> None:
    deny = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    permit = (ip_network("127.0.1.0/24"),)
    guard = Guard(GuardOptions(deny=deny, permit=permit, own_addresses=False), [])
    if admitted:
        guard.admit(OUTSIDE, address, 80)
    else:
        with pytest.raises(Forbidden):
            guard.admit(OUTSIDE, address, 80)


INTERFACES = {
    "192.0.2.1": {2},
    "2001:db8::1": {2},
    "10.0.0.1": {3},
    "10.9.9.9": {1},
    "198.51.100.1": {2, 3},
}
TOWARDS = {"192.0.2.7": {2}, "2001:db8::7": {2}, "10.0.0.7": {3}}


@pytest.mark.parametrize(
    ("client", "address", "permit", "admitted"),
    [
        ("192.0.2.7", "192.0.2.1", "192.0.2.99", True),
        ("192.0.2.7", "2001:db8::1", "192.0.2.99", True),
        ("2001:db8::7", "192.0.2.1", "192.0.2.99", True),
        ("::ffff:192.0.2.7", "192.0.2.1", "192.0.2.99", True),
        ("192.0.2.7", "198.51.100.1", "192.0.2.99", True),
        ("192.0.2.7", "203.0.113.1", "192.0.2.99", True),
        ("192.0.2.7", "10.0.0.1", "192.0.2.99", False),
        ("192.0.2.7", "10.9.9.9", "192.0.2.99", False),
        ("192.0.2.7", "::ffff:10.0.0.1", "192.0.2.99", False),
        ("192.0.2.7", "64:ff9b::10.0.0.1", "192.0.2.99", False),
        ("10.0.0.7", "10.0.0.1", "192.0.2.99", True),
        ("10.0.0.7", "192.0.2.1", "192.0.2.99", False),
        ("203.0.113.5", "192.0.2.1", "192.0.2.99", False),
        ("192.0.2.7", "10.0.0.1", "10.0.0.1", True),
        ("192.0.2.7", "64:ff9b::10.0.0.1", "10.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", "192.0.2.99", True),
    ],
)
def test_this_machines_addresses_on_other_interfaces(
    client: str, address: str, permit: str, admitted: bool
) -> None:
    def find(table: dict[str, set[int]]) -> Callable[[object], frozenset[int]]:
        return lambda address: frozenset(table.get(str(address), ()))

    options = GuardOptions(permit=(ip_network(permit),))
    guard = Guard(options, [], find(INTERFACES), find(TOWARDS))
    if admitted:
        guard.admit(client, address, 80)
    else:
        with pytest.raises(Forbidden, match=r"guard\.permit"):
            guard.admit(client, address, 80)
        assert guard.is_inward(address)


def test_the_kernel_says_which_they_are() -> None:
    local, far = ip_address("127.0.0.1"), ip_address("192.0.2.200")
    assert interfaces_of(local) == interfaces_towards(local) != frozenset()
    assert interfaces_of(far) == frozenset()


def test_what_the_kernel_said_holds_while_it_cannot_be_asked() -> None:
    own = OwnAddresses()
    known = own.at(0.0)
    assert "127.0.0.1" in known
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # as where clients have used up all there are
    try:
        assert own.at(3600.0) == known
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert own.at(7200.0) == known


@pytest.mark.parametrize(
    ("listening", "address", "ours"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::1", False),
        ("127.0.0.1", "::", False),
        ("127.0.0.1", "192.0.2.7", False),
        ("::1", "::1", True),
        ("::1", "::", True),
        ("::1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.2", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "::1", False),
        ("0.0.0.0", "192.0.2.7", False),
        ("::", "::1", True),
        ("::", "::", True),
        ("::", "127.0.0.1", True),
        ("::", "0.0.0.0", True),
        ("::", "192.0.2.7", False),
        ("::", "2001:db8::1", False),
    ],
)
def test_proxy_itself(listening: str, address: str, ours: bool) -> None:
    guard = Guard(GuardOptions(), [("192.0.2.99", 1), (listening, 3128)])
    guard.admit("127.0.0.1", address, 3129)
    if ours:
        with pytest.raises(LoopDetected):
            guard.admit("127.0.0.1", address, 3128)
    else:
        guard.admit("127.0.0.1", address, 3128)
