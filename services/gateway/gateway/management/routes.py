"""All endpoints of the task management contract, in the order in which they are tried. Knows no handler's inside."""

from dataclasses import replace

from gateway.backend import Backend
from gateway.management.endpoints import EndpointRoutes
from gateway.management.executions import ExecutionRoutes
from gateway.management.queues import QueueRoutes
from gateway.management.tasks import TaskRoutes
from gateway.management.workflows import WorkflowRoutes
from gateway.routing import Endpoint
from gateway.walks import Walks


def management_endpoints(backend: Backend, walks: Walks) -> list[Endpoint]:
    """The busiest first."""
    resources = (
        ExecutionRoutes(backend, walks),
        WorkflowRoutes(backend, walks),
        TaskRoutes(backend),
        QueueRoutes(backend, walks),
        EndpointRoutes(backend),
    )
    return [_with_media_check(endpoint) for resource in resources for endpoint in resource.endpoints()]


def _with_media_check(endpoint: Endpoint) -> Endpoint:
    """An open port takes JSON only, from whatever sends a body."""
    if endpoint.method not in ("POST", "PUT"):
        return endpoint
    return replace(endpoint, doc=replace(endpoint.doc, errors=(*endpoint.doc.errors, 415)))
