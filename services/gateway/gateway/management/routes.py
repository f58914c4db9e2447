"""All endpoints of the task management contract, in the order in which they are tried. Knows no handler's inside."""

from gateway.backend import Backend
from gateway.management.endpoints import EndpointRoutes
from gateway.management.executions import ExecutionRoutes
from gateway.management.queues import QueueRoutes
from gateway.management.tasks import TaskRoutes
from gateway.routing import Endpoint


def management_endpoints(backend: Backend) -> list[Endpoint]:
    """The busiest first."""
    resources = (ExecutionRoutes(backend), TaskRoutes(backend), QueueRoutes(backend), EndpointRoutes(backend))
    return [endpoint for resource in resources for endpoint in resource.endpoints()]
