"""The memory of all bodies that are being read at once. Owns: that its sum has a bound. Knows no contract."""

from typing import Any

from chassis.errors import Exhausted

from gateway.exchange import Receive


class BodyBudget:
    """How many bytes of bodies the process may hold; those of a request count from their arrival to its answer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._held = max_bytes, 0

    def of_request(self, receive: Receive) -> "BodyShare":
        """A request's part of it."""
        return BodyShare(self, receive)

    def take(self, count: int) -> None:
        """Count them. Raises `Exhausted` when that is more than there may be."""
        if self._held + count > self._max_bytes:
            raise Exhausted("同时读取的请求体过多, 请稍后重试", rule="bodies", retry_after_seconds=1)
        self._held += count

    def give_back(self, count: int) -> None:
        """They are held no longer."""
        self._held -= count


class BodyShare:
    """One request's bytes. Must be given back."""

    __slots__ = ("_budget", "_held", "_receive")

    def __init__(self, budget: BodyBudget, receive: Receive) -> None:
        self._budget, self._receive, self._held = budget, receive, 0

    async def receive(self) -> Any:
        """ASGI's `receive`."""
        message = await self._receive()
        if count := len(message.get("body", b"")):
            self._budget.take(count)
            self._held += count
        return message

    def give_back(self) -> None:
        """The request is answered."""
        self._budget.give_back(self._held)
        self._held = 0
