"""The gateway's listening sockets and HTTP servers. Owns: binding before anything starts, running several servers in
one loop, stopping them together. Knows no contract.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from gateway.connections import ConnectionLimits, bounded

BACKLOG = 2048
# Requests under way may take this long to end once the gateway stops.
GRACE_SECONDS = 5
# What was written and not taken for so long ends a connection.
UNREAD_MS = 30_000


@dataclass(frozen=True, slots=True)
class Listener:
    """Where one contract listens. `setting` is the environment variable that moves it."""

    contract: str
    setting: str
    host: str
    port: int


class PortProblem(Exception):
    """A port can't be listened on; the message is one sentence for an operator."""


def bind(listener: Listener) -> socket.socket:
    """A bound socket. Raises `PortProblem`."""
    where = f"port {listener.port} on {listener.host} ({listener.contract})"
    advice = f"Set {listener.setting} to another one, or to 0 to switch it off."
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PortProblem(f"The host {listener.host} (GATEWAY_HOST) is not known: {error.strerror}.") from error
    bound = socket.socket(family, kind, proto)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every connection: one whose client takes nothing more is ended by the kernel, not kept for ever.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
    bound.setblocking(False)
    try:
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        reason = (
            "is taken by another program" if error.errno == errno.EADDRINUSE else f"can't be used: {error.strerror}"
        )
        raise PortProblem(f"The {where} {reason}. {advice}") from error
    return bound


class _Server(uvicorn.Server):
    """A server that leaves signals alone: the process has one handler for all of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Servers:
    """One HTTP server for each bound socket, all in this loop."""

    def __init__(self, apps: Sequence[tuple[socket.socket, Any]], limits: ConnectionLimits) -> None:
        self._servers = [(_server(app, limits), bound) for bound, app in apps]
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Serve until `stop`, then let requests under way end."""
        self._tasks = [asyncio.create_task(server.serve(sockets=[bound])) for server, bound in self._servers]
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        """Accept nothing more."""
        for server, _ in self._servers:
            server.should_exit = True


def _server(app: Any, limits: ConnectionLimits) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            app,
            http=bounded(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
