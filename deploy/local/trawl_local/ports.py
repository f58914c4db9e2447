"""Ports of the one-machine stack: the public ones by setting, the private ones as they were, by setting, or by what is
free. Loopback only.
"""

import errno
import os
import random
import socket
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass

from trawl_local.errors import Refusal

HOST = "127.0.0.1"
# Below the range that the kernel takes for outgoing connections: a restarted program finds its port still free.
_PRIVATE = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class PublicPort:
    """One of the gateway's ports: the setting that moves it, and what it serves."""

    variable: str
    default: int
    name: str
    path: str


PUBLIC = (
    PublicPort("PORT_SCHEDULER", 8080, "scheduler API", "/docs"),
    PublicPort("PORT_SMARTRPA", 8082, "SmartRPA API", "/docs"),
    PublicPort("PORT_MANAGEMENT", 8083, "task management API", "/docs"),
    PublicPort("PORT_XGET", 8003, "XGet API", "/docs"),
    PublicPort("PORT_PIPELINE", 8000, "pipeline API", "/docs"),
)


def public_ports(environment: Mapping[str, str]) -> dict[str, int]:
    """Ports by variable, 0 = off. Raises `Refusal` for what is no port, or given twice."""
    ports: dict[str, int] = {}
    for public in PUBLIC:
        text = environment.get(public.variable, "").strip()
        try:
            port = int(text) if text else public.default
        except ValueError:
            port = -1
        if not 0 <= port <= 65_535:
            raise Refusal(
                f"{public.variable} is '{text}', which is no port: give a number from 1 to 65535, or 0 for off."
            )
        if port and port in ports.values():
            other = next(name for name, taken in ports.items() if taken == port)
            raise Refusal(f"{public.variable} and {other} are both {port}: give each a port of its own.")
        ports[public.variable] = port
    return ports


def check_free(ports: Mapping[str, int]) -> None:
    """Raise `Refusal` when one of the public ports can't be listened on."""
    names = {public.variable: public.name for public in PUBLIC}
    for variable, port in ports.items():
        problem = _listen_problem(port) if port else 0
        if problem == errno.EADDRINUSE:
            raise Refusal(
                f"Port {port} ({names[variable]}) is taken: stop what listens there, "
                f"or set {variable} to another port (0 = off)."
            )
        if problem:
            raise Refusal(
                f"Port {port} can't be used ({os.strerror(problem)}): set {variable} to another port (0 = off)."
            )


def _listen_problem(port: int) -> int:
    """0, or the error's number."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the gateway does: connections that linger from an earlier run don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            return error.errno or errno.EINVAL
    return 0


def stack_ports(
    names: Sequence[str], *, kept: Mapping[str, int], first: str = "", avoid: Collection[int] = ()
) -> dict[str, int]:
    """A port for each name, none of `avoid`: those from `first` on, if that is given, else the kept one while it is
    free, else any free one. Raises `Refusal` for what can't be.
    """
    if first:
        return _named_ports(names, first, avoid)
    chosen: dict[str, int] = {}
    for name in names:
        port = kept.get(name, 0)
        if port and port not in chosen.values() and port not in avoid and _listen_problem(port) == 0:
            chosen[name] = port
    missing = [name for name in names if name not in chosen]
    taken = {*avoid, *chosen.values()}
    return chosen | dict(zip(missing, private_ports(len(missing), taken), strict=True))


def _named_ports(names: Sequence[str], first: str, avoid: Container[int]) -> dict[str, int]:
    most = 65_536 - len(names)
    if not (first.isascii() and first.isdigit() and 0 < int(first) <= most):
        raise Refusal(f"PRIVATE_PORTS is '{first}': give the first of {len(names)} ports, a number from 1 to {most}.")
    ports = dict(zip(names, range(int(first), int(first) + len(names)), strict=True))
    for name, port in ports.items():
        if port in avoid or _listen_problem(port):
            raise Refusal(
                f"Port {port} ({name}) can't be used: stop what listens there, or set PRIVATE_PORTS to another number."
            )
    return ports


def private_ports(count: int, avoid: Container[int] = ()) -> list[int]:
    """Different free ports, none of `avoid`. Raises `Refusal` when there are too few."""
    chosen: list[int] = []
    for port in random.sample(_PRIVATE, len(_PRIVATE)):
        if len(chosen) == count:
            return chosen
        if port not in avoid and _listen_problem(port) == 0:
            chosen.append(port)
    raise Refusal("No free private ports between 20000 and 32000: stop something and try again.")
