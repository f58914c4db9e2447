"""Ports that no web server has: calls to them are made only to speak to something else. A table; must not know who
calls.
"""

# The bad ports of the Fetch standard ("port blocking"), as every browser has them.
_FETCH = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})  # fmt: skip

# Stores, brokers and remote desktops, some of which carry out whatever lines of a request they understand.
_STORES = {
    445: "SMB", 873: "rsync", 1433: "SQL Server", 1521: "Oracle", 1883: "MQTT", 3306: "MySQL", 3389: "RDP",
    4222: "NATS", 5432: "PostgreSQL", 5672: "AMQP", 5900: "VNC", 6379: "Redis", 6380: "Redis", 8883: "MQTT",
    9042: "Cassandra", 11211: "memcached", 27017: "MongoDB", 27018: "MongoDB", 27019: "MongoDB",
}  # fmt: skip

BLOCKED_PORTS = _FETCH | _STORES.keys()
