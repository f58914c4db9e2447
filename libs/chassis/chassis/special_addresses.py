"""Addresses that are no ordinary ones of the internet, by IANA's registries. A table; must not know who asks.

Of the special-purpose registries all that is not globally reachable, and all of the two blocks for protocols
(192.0.0.0/24, 2001::/23): of what is reachable in those nothing is a web server. Blocks that only carry an IPv4
address (IPv4-mapped, 6to4 and NAT64 at the well-known prefix) are not here: the address in them is judged. Outside of
2000::/3 IANA has allocated no global unicast IPv6 address, so that everything there is refused without a row.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

# The newest entries that the tables know of: RFC 9602, RFC 9637, RFC 9780.
AS_OF = "2025-05"

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast, which has a registry of its own.
IPV4 = {
    IPv4Network("0.0.0.0/8"): '"This network"',
    IPv4Network("10.0.0.0/8"): "Private-Use",
    IPv4Network("100.64.0.0/10"): "Shared Address Space",
    IPv4Network("127.0.0.0/8"): "Loopback",
    IPv4Network("169.254.0.0/16"): "Link Local",
    IPv4Network("172.16.0.0/12"): "Private-Use",
    IPv4Network("192.0.0.0/24"): "IETF Protocol Assignments",
    IPv4Network("192.0.2.0/24"): "Documentation (TEST-NET-1)",
    IPv4Network("192.88.99.0/24"): "Deprecated (6to4 Relay Anycast)",
    IPv4Network("192.168.0.0/16"): "Private-Use",
    IPv4Network("198.18.0.0/15"): "Benchmarking",
    IPv4Network("198.51.100.0/24"): "Documentation (TEST-NET-2)",
    IPv4Network("203.0.113.0/24"): "Documentation (TEST-NET-3)",
    IPv4Network("224.0.0.0/4"): "Multicast",
    IPv4Network("255.255.255.255/32"): "Limited Broadcast",
    IPv4Network("240.0.0.0/4"): "Reserved",
}

# https://www.iana.org/assignments/iana-ipv6-special-registry, and what the registry of the address space names.
IPV6 = {
    IPv6Network("::1/128"): "Loopback Address",
    IPv6Network("::/128"): "Unspecified Address",
    IPv6Network("::/96"): "IPv4-Compatible (deprecated)",
    IPv6Network("64:ff9b:1::/48"): "IPv4-IPv6 Translat. (local use)",
    IPv6Network("100::/64"): "Discard-Only Address Block",
    IPv6Network("100:0:0:1::/64"): "Dummy IPv6 Prefix",
    IPv6Network("2001::/32"): "TEREDO",
    IPv6Network("2001:2::/48"): "Benchmarking",
    IPv6Network("2001:10::/28"): "Deprecated (previously ORCHID)",
    IPv6Network("2001:20::/28"): "ORCHIDv2",
    IPv6Network("2001:30::/28"): "Drone Remote ID Protocol Entity Tags (DETs) Prefix",
    IPv6Network("2001::/23"): "IETF Protocol Assignments",
    IPv6Network("2001:db8::/32"): "Documentation",
    IPv6Network("3fff::/20"): "Documentation",
    IPv6Network("5f00::/16"): "Segment Routing (SRv6) SIDs",
    IPv6Network("fc00::/7"): "Unique-Local",
    IPv6Network("fe80::/10"): "Link-Local Unicast",
    IPv6Network("fec0::/10"): "Site-Local (deprecated)",
    IPv6Network("ff00::/8"): "Multicast",
}
GLOBAL_UNICAST = IPv6Network("2000::/3")


@lru_cache(maxsize=4096)
def special_name(address: IPv4Address | IPv6Address) -> str | None:
    """What the registries call the block that `address` is in; None for an ordinary address of the internet."""
    table = IPV4 if isinstance(address, IPv4Address) else IPV6
    found = next((name for network, name in table.items() if address in network), None)
    if found is None and isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return "Reserved by IETF"
    return found
