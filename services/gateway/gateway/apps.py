"""The application of each port. Owns: which contract is served where, with which key and guard. Knows no resource."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from chassis.telemetry import records_traces
from fastapi import FastAPI

from gateway.access import Access
from gateway.backend import Backend
from gateway.body_budget import BodyBudget
from gateway.cursors import Cursors
from gateway.edge import Edge, EdgePolicy
from gateway.event_feed import EventFeed
from gateway.event_stream import Streams
from gateway.failures import ErrorShape
from gateway.guard import Guard
from gateway.log_follower import LogFollower
from gateway.management.examples import NOTES as MANAGEMENT_NOTES
from gateway.management.routes import management_endpoints
from gateway.management.translate import SHAPE as MANAGEMENT
from gateway.mongo_keys import PoolGauge
from gateway.native.browser import BrowserRoutes
from gateway.native.envelope import SHAPE as NATIVE
from gateway.native.examples import NOTES
from gateway.native.keys import KeyRoutes
from gateway.native.logs import LogRoutes
from gateway.native.outside_workers import OutsideWorkerRoutes
from gateway.native.run_reports import RunReportRoutes
from gateway.native.runs import RunRoutes
from gateway.native.schedule import ScheduleRoutes
from gateway.native.statistics import Statistics
from gateway.native.streams import StreamRoutes
from gateway.native.system import SystemRoutes
from gateway.native.tasks import TaskRoutes
from gateway.native.webhooks import WebhookRoutes
from gateway.native.workers import WorkerRoutes
from gateway.operations import OperationsRoutes
from gateway.originals import ORIGINALS
from gateway.pipeline.routes import PipelineRoutes
from gateway.pipeline.translate import SHAPE as PIPELINE
from gateway.ports import Listener
from gateway.probes import Probes
from gateway.rate_limits import RateLimits
from gateway.redis_idempotency import Idempotency
from gateway.routing import Contract, DirectFirst, Endpoint, SchemaNotes, build_app
from gateway.run_watcher import RunWatcher
from gateway.settings import GatewaySettings
from gateway.smartrpa.keepsakes import KeepsakeRoutes
from gateway.smartrpa.routes import SmartRpaRoutes
from gateway.smartrpa.translate import SHAPE as SMARTRPA
from gateway.system_logs import LogFolder
from gateway.traffic import Traffic
from gateway.walks import Walks
from gateway.webhooks.service import Webhooks
from gateway.xget.accounts import AccountRoutes
from gateway.xget.errors import SHAPE as XGET
from gateway.xget.examples import NOTES as XGET_NOTES
from gateway.xget.routes import xget_endpoints


@dataclass(frozen=True, slots=True)
class Parts:
    """What the applications are made of."""

    settings: GatewaySettings
    backend: Backend
    access: Access
    cursors: Cursors
    idempotency: Idempotency
    watcher: RunWatcher
    probes: Probes
    traffic: Traffic
    pool: PoolGauge
    limits: RateLimits
    webhooks: Webhooks
    feed: EventFeed
    follower: LogFollower
    streams: Streams
    bodies: BodyBudget


@dataclass(frozen=True, slots=True)
class _Member:
    """A contract without authentication of its own. `mount`: its place on the scheduler's port."""

    title: str
    shape: ErrorShape
    mount: str
    prefix: str
    needs: Sequence[str]
    notes: SchemaNotes = field(default_factory=SchemaNotes)


_MEMBERS = {
    "smartrpa": _Member(
        "SmartRPA background service",
        SMARTRPA,
        "/rpa",
        "",
        ("scheduler", "message_queue"),
        # Null before a task has begun.
        SchemaNotes(nullable=("currentStep", "lastActivity", "startedAt"), outermost=True),
    ),
    "management": _Member("Task management", MANAGEMENT, "/management", "", ("scheduler",), MANAGEMENT_NOTES),
    "xget": _Member("XGet scraper service", XGET, "/xget", "/api/v1", ("scheduler",), XGET_NOTES),
    "pipeline": _Member("Pipeline tasks", PIPELINE, "/pipeline", "/api/v1", ("scheduler",)),
}


def listeners(settings: GatewaySettings) -> list[Listener]:
    """Where to listen; contracts that are switched off are left out."""
    table = (
        ("scheduler", "PORT_SCHEDULER", settings.port_scheduler),
        ("smartrpa", "PORT_SMARTRPA", settings.port_smartrpa),
        ("management", "PORT_MANAGEMENT", settings.port_management),
        ("xget", "PORT_XGET", settings.port_xget),
        ("pipeline", "PORT_PIPELINE", settings.port_pipeline),
    )
    return [Listener(name, setting, settings.gateway_host, port) for name, setting, port in table if port]


def build_apps(parts: Parts) -> dict[str, Edge]:
    """The applications by contract."""
    settings = parts.settings
    ask = settings.open_ports_ask_for_key
    guard = None if ask else Guard(settings.host_names)
    keyed = None if ask else Guard(settings.host_names, keyed=True)
    apps = {"scheduler": _edge(parts, "scheduler", _native(parts), guard=keyed, shapes=_mounted_shapes())}
    for name, member in _MEMBERS.items():
        app = _member(parts, name, member, asks_for_key=ask)
        apps[name] = _edge(parts, name, app, guard=guard, shapes={"": member.shape})
    return apps


def _edge(parts: Parts, name: str, app: FastAPI, *, guard: Guard | None, shapes: dict[str, ErrorShape]) -> Edge:
    policy = EdgePolicy(
        port=name,
        shapes=shapes,
        guard=guard,
        max_body_bytes=parts.settings.max_body_bytes,
        bodies=parts.bodies,
        tracing=records_traces(),
        log_requests=parts.settings.log_level == "debug",
    )
    return Edge(DirectFirst(app), policy, parts.traffic)


def _mounted_shapes() -> dict[str, ErrorShape]:
    return {"": NATIVE} | {member.mount: member.shape for member in _MEMBERS.values()}


def _native(parts: Parts) -> FastAPI:
    statistics = Statistics(parts.backend)
    system = SystemRoutes(parts.probes, statistics, parts.traffic, parts.pool)
    contract = Contract(NATIVE, parts.access, parts.idempotency, parts.limits, NOTES, ORIGINALS["scheduler"])
    streams = StreamRoutes(parts.backend, parts.feed, parts.follower, parts.streams)
    log_dir = parts.settings.log_dir
    operations = OperationsRoutes(parts.probes, parts.traffic, ("scheduler", "database"), metrics=system.metrics)
    resources = (
        TaskRoutes(parts.backend),
        RunRoutes(parts.backend, Walks(parts.cursors), streams.follow_logs),
        ScheduleRoutes(parts.backend),
        WorkerRoutes(parts.backend),
        OutsideWorkerRoutes(parts.backend),
        RunReportRoutes(parts.backend),
        BrowserRoutes(parts.backend),
        KeyRoutes(parts.access),
        WebhookRoutes(parts.webhooks, parts.cursors),
        streams,
        system,
        LogRoutes(LogFolder(log_dir) if log_dir else None),
    )
    endpoints = [endpoint for resource in resources for endpoint in resource.endpoints()]
    app = build_app("Trawl: distributed scheduler", contract, endpoints, operations.endpoints(), prefix="/api")
    for name, member in _MEMBERS.items():
        # Below the scheduler's port its rule holds: a key is always asked for.
        app.mount(member.mount, _member(parts, name, member, asks_for_key=True))
    return app


def _member(parts: Parts, name: str, member: _Member, *, asks_for_key: bool) -> FastAPI:
    walks = Walks(parts.cursors)
    makers: dict[str, Callable[[], list[Endpoint]]] = {
        "smartrpa": lambda: [
            *SmartRpaRoutes(parts.backend, parts.watcher, parts.settings.wait_seconds).endpoints(),
            *KeepsakeRoutes(parts.backend).endpoints(),
        ],
        "management": lambda: management_endpoints(parts.backend, walks),
        "pipeline": PipelineRoutes(parts.backend, walks).endpoints,
        "xget": partial(xget_endpoints, parts.backend, walks, AccountRoutes(parts.backend).endpoints()),
    }
    endpoints = makers[name]() if name in makers else []
    operations = OperationsRoutes(parts.probes, parts.traffic, member.needs)
    contract = Contract(
        member.shape, parts.access, parts.idempotency, parts.limits, member.notes, ORIGINALS[name], asks_for_key
    )
    return build_app(f"Trawl: {member.title}", contract, endpoints, operations.endpoints(), prefix=member.prefix)
