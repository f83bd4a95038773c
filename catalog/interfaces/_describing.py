"""What interfaces say of their addresses in OpenAPI: parameters, media types, problems."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute

from catalog.errors import BadRequest

PROBLEM = "application/problem+json"
Id = Annotated[str, Path(description="The record's id, as the search gives it.")]
Suffix = Annotated[str, Path(description="The format: nc, csv, parquet, … (docs/reference/subsets.md).")]
PROBLEMS: Mapping[int, str] = {
    400: "a parameter cannot be read",
    404: "there is no such thing",
    410: "withdrawn",
    413: "the answer would be too large",
    422: "outside the data, or no data that can be cut",
    429: "too busy",
    502: "the data could not be read",
    503: "the file is not the one that was harvested",
    504: "the reader did not finish",
}


def answers(media: Iterable[str], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what an address answers, for OpenAPI: media types of a success, and the problems there may be."""
    return {
        200: {"content": {kind: {} for kind in media}},
        **{status: {"description": PROBLEMS[status], "content": {PROBLEM: {}}} for status in statuses},
    }


def take_none(request: Request) -> None:
    """Pass a request without parameters. Raises BadRequest for any, so that none is dropped in silence."""
    for name in request.query_params:
        raise BadRequest(f"there is no parameter {name[:60]!r}", hint="this address takes no parameters")


class Described(APIRoute):
    """A route of a function that reads its query itself: its parameters stand in OpenAPI, and are not read twice.

    The function is given the request and what is in the path, and answers with a response. It costs a fifth of what
    FastAPI takes to read ten parameters, which is as much as cutting a small box.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request: the function, in a thread."""
        answer = self.endpoint

        async def handle(request: Request) -> Response:
            found: Response = await run_in_threadpool(answer, request, **request.path_params)
            return found

        return handle
