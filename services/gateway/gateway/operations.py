"""What every port offers to operators: `/healthz`, `/readyz`, `/metrics`. Knows no contract."""

from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.exchange import Answer, Call
from gateway.probes import Probes
from gateway.routing import Doc, Endpoint, Handler
from gateway.traffic import Traffic

TAG = "operations"


class OperationsRoutes:
    """Handlers that need no key. `needs`: the components without which the port can't do its work. `metrics`: serves
    `/metrics` instead of the process's own numbers.
    """

    def __init__(
        self, probes: Probes, traffic: Traffic, needs: Sequence[str], *, metrics: Handler | None = None
    ) -> None:
        self._probes, self._traffic, self._needs = probes, traffic, needs
        self._metrics = metrics or self._own_metrics

    async def healthz(self, _call: Call) -> Answer:
        """The process is alive."""
        return Answer.json({"status": "ok"})

    async def readyz(self, _call: Call) -> Answer:
        """What the port needs can be reached."""
        healths = await self._probes.check(self._needs)
        ready = all(health.healthy for health in healths.values())
        components = {name: "ok" if health.healthy else health.error for name, health in healths.items()}
        body = {"status": "ready" if ready else "not_ready", "components": components}
        return Answer.json(body, 200 if ready else 503)

    async def _own_metrics(self, _call: Call) -> Answer:
        return Answer(generate_latest(self._traffic.registry), content_type=CONTENT_TYPE_LATEST.encode())

    def endpoints(self) -> list[Endpoint]:
        """All of them, without a prefix."""
        ready = {"status": "ready", "components": dict.fromkeys(self._needs, "ok")}
        return [
            Endpoint("GET", "/healthz", self.healthz, Doc("Alive", TAG, answer={"status": "ok"})),
            Endpoint("GET", "/readyz", self.readyz, Doc("Ready", TAG, answer=ready, errors=(503,))),
            Endpoint("GET", "/metrics", self._metrics,
                     Doc("Prometheus metrics", TAG, answer="# HELP …\n", content_type="text/plain")),
        ]  # fmt: skip
