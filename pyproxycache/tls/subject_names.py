"""The names that a certificate can be for, and those that an authority may sign. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from pyproxycache.rules.host_patterns import host_pattern

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network
SubjectName = str | IpAddress
"""A host name in lower case without the root's dot, or an address."""

EVERY_ADDRESS = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def subject_name(text: str) -> SubjectName:
    """The host name or IP address that the text is; raises ValueError, which says what is wrong with it.

    Names are those of RFC 1123 section 2.1, and may have underscores, as many hosts have; international
    ones are accepted as A-labels alone (RFC 5890), and no name that stands for others, as "*.example.org".
    """
    try:
        if not text.isascii():
            raise ValueError("it has characters that are not ASCII")
        if text.startswith(("*", ".")):
            raise ValueError("it is not the name of one host")
        return _parsed(host_pattern(text))
    except ValueError as error:
        raise ValueError(f"{_shown(text)} can have no certificate: {error}") from None


def domain_name(text: str) -> str:
    """The domain that the text is, in A-labels; it may begin with a dot. Raises ValueError."""
    try:
        domain = host_pattern(text).removeprefix(".")
        if not isinstance(_parsed(domain), str) or domain == "*":
            raise ValueError("it is not the name of a domain")
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is not accepted: {error}") from None
    return domain


@dataclass(frozen=True, slots=True)
class NameConstraints:
    """The names that an authority may sign (RFC 5280 section 4.2.1.10).

    A domain stands for itself and for all names below it. Names of a kind, host names or addresses, are
    limited to the permitted ones of that kind, where there are any; excluded ones are taken from these.
    """

    domains: tuple[str, ...] = ()
    networks: tuple[IpNetwork, ...] = ()
    excluded_domains: tuple[str, ...] = ()
    excluded_networks: tuple[IpNetwork, ...] = ()

    def __str__(self) -> str:
        """The names that may be signed, for people."""
        hosts = f"{', '.join(self.domains)} and names below" if self.domains else "every host name"
        addresses = ", ".join(map(str, self.networks)) or "every address"
        if set(EVERY_ADDRESS) <= set(self.excluded_networks):
            return f"{hosts}{_except(self.excluded_domains)}; no address"
        return f"{hosts}{_except(self.excluded_domains)}; {addresses}{_except(self.excluded_networks)}"

    def permit_below(self, domain: str) -> bool:
        """Whether some permitted domain is below this one, or is it."""
        return any(_is_below(permitted, (domain,)) for permitted in self.domains)

    def permit(self, name: SubjectName) -> bool:
        """Whether the name may be signed."""
        if isinstance(name, str):
            permitted = not self.domains or _is_below(name, self.domains)
            return permitted and not _is_below(name, self.excluded_domains)
        # As OpenSSL has it: a network of the one family permits no address of the other.
        permitted = not self.networks or _is_in(name, self.networks)
        return permitted and not _is_in(name, self.excluded_networks)


def _parsed(host: str) -> SubjectName:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError("it has a zone, which means nothing to others")
    return address


def _shown(text: str) -> str:
    """The text for errors and logs, in printable ASCII and not long."""
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")


def _except(excluded: Iterable[object]) -> str:
    told = ", ".join(map(str, excluded))
    return f" except {told}" if told else ""


def _is_below(name: str, domains: tuple[str, ...]) -> bool:
    return any(not domain or name == domain or name.endswith(f".{domain}") for domain in domains)


def _is_in(address: IpAddress, networks: tuple[IpNetwork, ...]) -> bool:
    return any(address in network for network in networks)
