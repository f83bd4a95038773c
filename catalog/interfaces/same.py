"""The records that are one dataset with another, and why, at /api/datasets/{id}/same."""

from typing import Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from catalog.errors import BadRequest
from catalog.interfaces._describing import Described, Id, answers
from catalog.interfaces._sending import INERT
from catalog.service import Catalog
from catalog.tying import Group


def same(catalog: Catalog, record_id: str) -> dict[str, Any]:
    """Answer with the group of a record: leader, ties with their evidence, records; none of them where it is alone.

    Raises:
        NotFound, Withdrawn: There is no such record, or no more.
    """
    catalog.store.get(record_id)
    group = catalog.tying.group(record_id)
    return told(catalog, group) if group else {"leader": record_id, "ties": [], "records": []}


def told(catalog: Catalog, group: Group) -> dict[str, Any]:
    """Return a group as the API tells it: the records each as its own source gave it, the leader first."""
    return {
        "leader": group.leader,
        "ties": [tie.model_dump(mode="json") for tie in group.ties],
        "records": [
            {
                "id": record.id,
                "source": record.source,
                "native_id": record.native_id,
                "title": record.model_dump(mode="json")["title"],
                "landing_page": record.landing_page,
                "links": [
                    {"rel": "self", "href": f"/api/datasets/{quote(record.id)}", "type": "application/json"}
                ],
            }
            for record in catalog.tying.members(group)
        ],
    }


def router(catalog: Catalog) -> APIRouter:
    """Return the route of groups over a catalog."""
    routes = APIRouter(route_class=Described)
    found = answers(["application/json"], 400, 404, 410)

    @routes.get("/api/datasets/{record_id}/same", tags=["datasets"], response_class=Response, responses=found)
    def get_same(request: Request, record_id: Id) -> Response:
        """Return the records of other portals that are the same dataset, and the evidence.

        `leader` is the record that searches show for all of them; each of `ties` says which rule tied a record to it,
        how sure that is, and why.
        """
        for name in request.query_params:
            raise BadRequest(f"there is no parameter {name[:60]!r}", hint="this address takes no parameters")
        return Response(orjson.dumps(same(catalog, record_id)), media_type="application/json", headers=INERT)

    return routes
