"""All endpoints of the XGet contract, in the order in which they are tried."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.backend import Backend
from gateway.routing import Endpoint
from gateway.walks import Walks
from gateway.xget.executions import ExecutionRoutes
from gateway.xget.results import ResultRoutes
from gateway.xget.tasks import TaskRoutes


def xget_endpoints(backend: Backend, walks: Walks, more: Sequence[Endpoint] = ()) -> list[Endpoint]:
    """Each with and without a slash at its end; names come before ids, so that no name is taken for an id."""
    resources = (ResultRoutes(backend, walks), TaskRoutes(backend), ExecutionRoutes(backend, walks))
    endpoints = [*(endpoint for resource in resources for endpoint in resource.endpoints()), *more]
    return [*endpoints, *(replace(endpoint, path=f"{endpoint.path}/", documented=False) for endpoint in endpoints)]
