"""Table queries at /api/datasets/{id}/table.{suffix}, with the query as ERDDAP's tabledap writes it."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from catalog import tabling
from catalog.errors import BadRequest
from catalog.interfaces._describing import Described
from catalog.interfaces._sending import send
from catalog.service import Catalog

_PROBLEM = "application/problem+json"
_Id = Annotated[str, Path(description="The record's id, as the search gives it.")]
_Suffix = Annotated[str, Path(description=f"The format: {', '.join(tabling.FORMATS)}.")]
_STATUSES = {
    400: "a column, constraint or function cannot be read",
    404: "there is no such record or format, or no row answers",
    410: "withdrawn",
    413: "the answer would be too large",
    422: "no data that are rows",
    429: "too busy",
    502: "the data could not be read",
    503: "the file is not the one that was harvested",
    504: "the reader did not finish",
}


def router(catalog: Catalog) -> APIRouter:
    """Return the routes of table queries over a catalog."""
    routes = APIRouter(route_class=Described)

    @routes.get(
        "/api/datasets/{record_id}/table.{suffix}",
        tags=["subsets"],
        response_class=Response,
        responses={
            200: {"content": {kind: {} for kind in dict.fromkeys(tabling.FORMATS.values())}},
            **{
                status: {"description": said, "content": {_PROBLEM: {}}} for status, said in _STATUSES.items()
            },
        },
        openapi_extra={"externalDocs": {"url": "https://erddap.github.io/docs/user/tabledap"}},
    )
    def get_table(request: Request, record_id: _Id, suffix: _Suffix) -> Response:
        """Answer `?station,time&time>=2020-01-01&temperature<5&orderBy("time")` in a format.

        After the question mark stand the columns, comma-separated (none: all), then constraints (`= != < <= > >= =~
        !~`) and functions (distinct, orderBy, orderByMax, orderByMean, …), each after an `&`; all of it may be
        percent-encoded. Formats: csv, csvp, tsv, jsonl, parquet, arrow.
        """
        client = request.client.host if request.client else ""
        answer = catalog.table(record_id, _query(request), suffix, client=client)
        return send(answer)

    return routes


def _query(request: Request) -> str:
    """The query as it was sent, percent-encoding and all."""
    try:
        return bytes(request.scope["query_string"]).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the query is no UTF-8 text", hint="percent-encode UTF-8") from error
