"""Which hosts a tenant may name: none within our own network, unless the operator lists it (OWASP, server-side request forgery).

An operator names hosts as he likes. What a tenant's admin names by the API is looked up and refused when an address of it is not
public. `outward.sockets` asks here, and connects to no other address than those that it asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from inboxops.errors import InvalidInput, OperatorError

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits

_OF_OUR_OWN = tuple(
    map(
        ip_network,
        ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "100::/64", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
"""What some or all Pythons call global and is none of the world's: Azure's host behind each of its machines; protocol assignments,
with Oracle's metadata among them (RFC 6890); relays of 6to4 (RFC 7526); what is discarded (RFC 6666), documentation (RFC 9637),
segment routing (RFC 9602), site-local (RFC 3879)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """allowed: names of hosts, addresses and networks (CIDR) that the operator lists, lower-cased."""

    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, listed: str) -> Reach:
        """From a setting: separated by commas or spaces. Raises OperatorError for a network that is none."""
        names = tuple(listed.lower().replace(",", " ").split())
        for name in names:
            if "/" in name:
                try:
                    ip_network(name, strict=False)
                except ValueError as exc:
                    raise OperatorError(
                        f"INBOXOPS_PRIVATE_HOSTS: {name!r} is no network", fix="Write it as 192.168.7.0/24"
                    ) from exc
        return cls(names)

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raises InvalidInput when the host leads to an address that is not public and not listed."""
        if host.lower().rstrip(".") in self.allowed:
            return
        for text in addresses:
            address = _plain(text)
            if not _is_public(address) and not any(_lies_in(address, one) for one in self.allowed):
                raise InvalidInput(
                    f"{host} leads to no public address",  # which one is none of a stranger's business
                    fix="Name the server as the world knows it, or have the operator list it in INBOXOPS_PRIVATE_HOSTS",
                )


def _plain(text: str) -> IPv4Address | IPv6Address:
    """Without a scope, and the IPv4 address where one is wrapped in IPv6."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if wrapped is None and address in _NAT64:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        return wrapped or address
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in _OF_OUR_OWN):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _lies_in(address: IPv4Address | IPv6Address, listed: str) -> bool:
    try:
        return address in ip_network(listed, strict=False)
    except ValueError:  # a host's name
        return False
