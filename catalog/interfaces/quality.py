"""How well a dataset is described, at /api/datasets/{id}/quality."""

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from catalog.errors import BadRequest
from catalog.interfaces._describing import Described, Id, answers
from catalog.interfaces._sending import INERT
from catalog.service import Catalog


def router(catalog: Catalog) -> APIRouter:
    """Return the route of appraisals over a catalog."""
    routes = APIRouter(route_class=Described)
    found = answers(["application/json"], 400, 404, 410)

    @routes.get(
        "/api/datasets/{record_id}/quality", tags=["datasets"], response_class=Response, responses=found
    )
    def get_quality(request: Request, record_id: Id) -> Response:
        """Return how well a record is described, of 100 points, and what its provider could add.

        `files` holds what the compliance checker found in local NetCDF files that an operator had checked.
        """
        for name in request.query_params:
            raise BadRequest(f"there is no parameter {name[:60]!r}", hint="this address takes no parameters")
        answer = catalog.appraisals.record(record_id).model_dump(mode="json")
        return Response(orjson.dumps(answer), media_type="application/json", headers=INERT)

    return routes
