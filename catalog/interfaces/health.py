"""Whether a record's data are there, at /api/datasets/{id}/health."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from catalog.healths import overall
from catalog.interfaces._describing import Id, answers, take_none
from catalog.interfaces._sending import INERT
from catalog.service import Catalog


def health(catalog: Catalog, record_id: str) -> dict[str, Any]:
    """Answer with the state of a record's data and of each of its distributions that was probed.

    Raises:
        NotFound: There is no such record. Withdrawn: It is no more.
    """
    found = catalog.healths.of(record_id)
    return {
        "id": record_id,
        "state": overall(found),
        "distributions": [one.model_dump(mode="json", exclude={"id"}) for one in found],
    }


def router(catalog: Catalog) -> APIRouter:
    """Return the route over a catalog."""
    routes = APIRouter()

    @routes.get(
        "/api/datasets/{record_id}/health",
        tags=["datasets"],
        response_class=Response,
        responses=answers(["application/json"], 400, 404, 410),
    )
    def get_health(request: Request, record_id: Id) -> Response:
        """Return what reading a cell of each distribution found: fresh, moved, stale or broken, since when, and why.

        The state of the whole is the best of them; null where nothing was probed yet.
        """
        take_none(request)
        return Response(
            orjson.dumps(health(catalog, record_id)), media_type="application/json", headers=INERT
        )

    return routes
