"""The JSON API of the catalog: /api/datasets and their subsets, /api/sources, /api/runs, /health."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from catalog import formats
from catalog.data import subset
from catalog.data.ways import openables
from catalog.errors import BadRequest, CatalogError, NotFound
from catalog.interfaces._describing import PROBLEMS, Described, Id, Suffix, answers
from catalog.interfaces._sending import INERT, send
from catalog.record import Record
from catalog.search import Page, parse
from catalog.search import Query as Question
from catalog.service import Catalog

MAX_RUNS = 500
MAX_CHANGES = 10_000
_CHANGES = 1_000
_ASOF = "As it was at this instant, ISO 8601; a day or year is its first moment."


def problem(error: CatalogError, *, instance: str = "") -> dict[str, Any]:
    """Return an error as problem details (RFC 9457), with the catalog's own code, hint and details."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.code.replace("-", " ").capitalize(),
        "status": error.status,
        "code": error.code,
        "detail": error.message,
    }
    if error.hint:
        body["hint"] = error.hint
    if instance:
        body["instance"] = instance
    return body | {key: value for key, value in error.details.items() if key not in body}


def dump(answer: Any) -> bytes:
    """Return an answer as JSON bytes: what the API sends, and what `--json` prints."""
    return orjson.dumps(answer)


def datasets(catalog: Catalog, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Answer a search: numberMatched, numberReturned, items, facets, links. Raises BadRequest."""
    question = parse(parameters)
    page = catalog.search(question)
    states = catalog.healths.states(page.items) if question.asof is None else {}
    known = [{"health": states.get(record.id)} if question.asof is None else {} for record in page.items]
    return {
        "numberMatched": page.matched,
        "numberReturned": len(page.items),
        "items": [_item(one, question.asof) | its for one, its in zip(page.items, known, strict=True)],
        "facets": {name: [hit.model_dump() for hit in hits] for name, hits in page.facets.items()},
        "links": _page_links(question, page, parameters),
    }


def _page_links(question: Question, page: Page, parameters: Mapping[str, str]) -> list[dict[str, str]]:
    def link(rel: str, offset: int) -> dict[str, str]:
        kept = {key: value for key, value in parameters.items() if key != "offset" and value != ""}
        query = urlencode(kept | ({"offset": str(offset)} if offset else {}))
        return {
            "rel": rel,
            "href": "/api/datasets" + (f"?{query}" if query else ""),
            "type": "application/json",
        }

    links = [link("self", question.offset)]
    if question.limit and question.offset + question.limit < page.matched:
        links.append(link("next", question.offset + question.limit))
    if question.limit and question.offset > 0:
        links.append(link("prev", max(0, question.offset - question.limit)))
    return links


def dataset(catalog: Catalog, record_id: Id, asof: str | None = None) -> dict[str, Any]:
    """Answer with one record and its links, as of an instant. Raises NotFound, Withdrawn or BadRequest."""
    return _item(catalog.get(record_id, asof=asof), asof)


def _item(record: Record, asof: str | None = None) -> dict[str, Any]:
    """A record with its links; one of the past has none to subsets, for the data are those of today."""
    home = f"/api/datasets/{quote(record.id)}"
    if asof is not None:
        links = [
            {"rel": "self", "href": f"{home}?{urlencode({'asof': asof})}", "type": "application/json"},
            {"rel": "latest-version", "href": home, "type": "application/json"},
            {"rel": "version-history", "href": f"{home}/history", "type": "application/json"},
        ]
        return record.model_dump(mode="json") | {"links": links}
    links = [
        {"rel": "self", "href": home, "type": "application/json"},
        {"rel": "alternate", "href": f"/datasets/{quote(record.id)}", "type": "text/html"},
        {"rel": "version-history", "href": f"{home}/history", "type": "application/json"},
    ]
    if openables(record):
        links += [
            {"rel": "enclosure", "href": f"{home}/subset.{suffix}", "type": chosen.MEDIA_TYPE}
            for suffix, chosen in formats.all_formats().items()
        ]
    return record.model_dump(mode="json") | {"links": links}


def history(catalog: Catalog, record_id: Id) -> dict[str, Any]:
    """Answer with the newest hundred versions of a record, oldest first. Raises NotFound."""
    return {"versions": [version.model_dump(mode="json") for version in catalog.history(record_id)]}


def sources(catalog: Catalog) -> dict[str, Any]:
    """Answer with the sources, their counts and last runs."""
    return {"sources": [source.model_dump(mode="json") for source in catalog.sources()]}


def runs(catalog: Catalog, source: str | None = None, limit: int = 50) -> dict[str, Any]:
    """Answer with the runs, newest first. Raises NotFound for an unknown source."""
    return {"runs": [run.model_dump(mode="json") for run in catalog.runs(source, limit=limit)]}


def diff(catalog: Catalog, earlier: int, later: int, limit: int | None, offset: int = 0) -> dict[str, Any]:
    """Answer with what became of records between the ends of two runs. Raises NotFound, BadRequest or TooBusy."""
    return catalog.histories.diff(earlier, later, limit=limit, offset=offset).model_dump(mode="json")


_ONE = answers(["application/json"], 400, 404, 410)
_LIST = answers(["application/json"], 400, 429)
_DIFF = answers(["application/json"], 400, 404, 429)


def router(catalog: Catalog) -> APIRouter:
    """Return the API's routes over a catalog."""
    read, described = APIRouter(), APIRouter(route_class=Described)
    _subset_route(described, catalog)
    _search_routes(described, catalog)
    _report_routes(read, catalog)
    read.include_router(described)
    return read


def _search_routes(routes: APIRouter, catalog: Catalog) -> None:
    @routes.get("/api/datasets", tags=["datasets"], response_class=Response, responses=_LIST)
    def search_datasets(  # noqa: PLR0913 - the parameters are the interface
        request: Request,
        q: Annotated[
            str | None, Query(description='Words that all occur; "quoted words" follow one another.')
        ] = None,
        bbox: Annotated[
            str | None, Query(description="west,south,east,north in degrees; west > east crosses 180°.")
        ] = None,
        time: Annotated[
            str | None, Query(description="first/last, ISO 8601, both included; `..` is open.")
        ] = None,
        variable: Annotated[
            str | None,
            Query(description="CF standard name, variable name, or its whole name in Vietnamese or English."),
        ] = None,
        organisation: Annotated[
            str | None, Query(description="Name of a party, as the facet gives it.")
        ] = None,
        source: Annotated[str | None, Query(description="Id of a source.")] = None,
        theme: Annotated[str | None, Query(description="Id of a theme, as the facet gives it.")] = None,
        kind: Annotated[
            str | None,
            Query(description="grid, timeseries, profile, trajectory, points, mesh, features or document."),
        ] = None,
        format: Annotated[str | None, Query(description="Format of a distribution.")] = None,  # noqa: A002
        sort: Annotated[
            str | None, Query(description="relevance, title, modified, id; `-` first: descending.")
        ] = None,
        limit: Annotated[
            str | None, Query(description="Records on a page, 0 to 1000; 20 unless told.")
        ] = None,
        offset: Annotated[str | None, Query(description="Records to leave out at the start.")] = None,
        lang: Annotated[str | None, Query(description="Language of labels: vi or en.")] = None,
        asof: Annotated[str | None, Query(description=_ASOF)] = None,
    ) -> Response:
        """Search the catalog."""
        return _json(datasets(catalog, parameters_of(request)))

    @routes.get("/api/datasets/{record_id}", tags=["datasets"], response_class=Response, responses=_ONE)
    def get_dataset(
        request: Request, record_id: Id, asof: Annotated[str | None, Query(description=_ASOF)] = None
    ) -> Response:
        """Return one record."""
        given = parameters_of(request)
        _refuse_unknown(request, ("asof",))
        return _json(dataset(catalog, record_id, given.get("asof") or None))

    @routes.get(
        "/api/datasets/{record_id}/history", tags=["datasets"], response_class=Response, responses=_ONE
    )
    def get_history(request: Request, record_id: Id) -> Response:
        """Return the newest hundred versions of a record, oldest first."""
        _refuse_unknown(request, ())
        return _json(history(catalog, record_id))


def _subset_route(routes: APIRouter, catalog: Catalog) -> None:
    media = [chosen.MEDIA_TYPE for chosen in formats.all_formats().values()]

    @routes.get(
        "/api/datasets/{record_id}/subset.{suffix}",
        tags=["subsets"],
        response_class=Response,
        responses=answers(media, *PROBLEMS),
    )
    def get_subset(  # noqa: PLR0913 - the parameters are the interface
        request: Request,
        record_id: Id,
        suffix: Suffix,
        variables: Annotated[
            str | None, Query(description="Names, comma-separated; all data variables if empty.")
        ] = None,
        bbox: Annotated[
            str | None, Query(description="west,south,east,north in degrees; cell centres inside.")
        ] = None,
        time: Annotated[
            str | None, Query(description="first/last in the data's own calendar, both included.")
        ] = None,
        depth: Annotated[str | None, Query(description="min/max in metres, positive down.")] = None,
        stride: Annotated[
            str | None, Query(description="Every n-th along an axis: `2` or `time:2,latitude:4`.")
        ] = None,
        indices: Annotated[
            str | None, Query(description="Exact indices by dimension: `time[0:2:10],lat[5]`, stop included.")
        ] = None,
        coords: Annotated[
            str | None, Query(description="A place as WKT or GeoJSON: point(s), a line, a polygon.")
        ] = None,
        method: Annotated[str | None, Query(description="nearest or linear, for points.")] = None,
        qc: Annotated[str | None, Query(description="good: only what its quality flags call good.")] = None,
        reduce: Annotated[
            str | None, Query(description="`mean(time)`, `max(longitude,latitude)`, `mean(time:month)`, …")
        ] = None,
    ) -> Response:
        """Cut a dataset, in one of the formats."""
        cut, client = subset.parse(parameters_of(request)), request.client.host if request.client else ""
        return send(catalog.subset(record_id, cut, suffix, client=client))

    @routes.get(
        "/api/datasets/{record_id}/subset.{suffix}/estimate",
        tags=["subsets"],
        response_class=Response,
        responses=answers(["application/json"], *PROBLEMS),
    )
    def get_estimate(request: Request, record_id: Id, suffix: Suffix) -> Response:
        """Answer what the same subset would cost: cells, rows, bytes and seconds; nothing is read."""
        cut, client = subset.parse(parameters_of(request)), request.client.host if request.client else ""
        found = catalog.estimate(record_id, cut, suffix, client=client)
        return _json(found.model_dump(mode="json"))


def _report_routes(routes: APIRouter, catalog: Catalog) -> None:
    @routes.get("/api/sources", tags=["sources"], response_class=Response, responses=_LIST)
    def get_sources(request: Request) -> Response:
        """Return the sources, how many records each has, and its last run."""
        _refuse_unknown(request, ())
        return _json(sources(catalog))

    @routes.get("/api/runs", tags=["sources"], response_class=Response, responses=_ONE)
    def get_runs(
        request: Request,
        source: Annotated[str | None, Query(description="Runs of this source only.")] = None,
        limit: Annotated[str | None, Query(description=f"How many, 1 to {MAX_RUNS}; 50 unless told.")] = None,
    ) -> Response:
        """Return the harvest runs, newest first, with what they quarantined."""
        given = parameters_of(request)
        _refuse_unknown(request, ("source", "limit"))
        return _json(runs(catalog, given.get("source") or None, _count(given.get("limit") or "50")))

    @routes.get(
        "/api/runs/{earlier}/diff/{later}", tags=["sources"], response_class=Response, responses=_DIFF
    )
    def get_diff(
        request: Request,
        earlier: Annotated[str, Path(description="Number of the run that ended first.")],
        later: Annotated[str, Path(description="Number of the other run.")],
        limit: Annotated[
            str | None, Query(description=f"Changes to give, 1 to {MAX_CHANGES}; {_CHANGES} unless told.")
        ] = None,
        offset: Annotated[str | None, Query(description="Changes to leave out at the start.")] = None,
    ) -> Response:
        """Return what became of the records of two runs' sources from the end of the one to that of the other."""
        given = parameters_of(request)
        _refuse_unknown(request, ("limit", "offset"))
        most = _count(given.get("limit") or str(_CHANGES), MAX_CHANGES)
        first = _number("offset", given.get("offset") or "0", 0, 10_000_000)
        return _json(diff(catalog, _run(earlier), _run(later), most, first))

    @routes.get("/health", tags=["health"])
    def health() -> dict[str, Any]:
        """Answer 200 when the catalog can be searched."""
        return {"status": "ok", "records": sum(catalog.store.sources().values())}


def _count(text: str, most: int = MAX_RUNS) -> int:
    return _number("limit", text, 1, most)


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):  # noqa: PLR2004
        hint = f"a whole number from {least} to {most}"
        raise BadRequest(f"{name}={text[:20]!r} cannot be read", hint=hint)
    return int(text)


def _run(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004
        raise NotFound(f"there is no run {text[:20]!r}", hint="see /api/runs for those there are")
    return int(text)


def parameters_of(request: Request) -> dict[str, str]:
    """Return the request's parameters. Raises BadRequest where one is given twice, so that none is dropped."""
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) != len(pairs):
        twice = next(name for name in given if len(request.query_params.getlist(name)) > 1)
        raise BadRequest(f"the parameter {twice[:60]!r} is given twice", hint="give each parameter once")
    return given


def _refuse_unknown(request: Request, known: tuple[str, ...]) -> None:
    for name in request.query_params:
        if name not in known:
            has = "parameters: " + ", ".join(known) if known else "this address takes no parameters"
            raise BadRequest(f"there is no parameter {name[:60]!r}", hint=has)


def _json(answer: Any) -> Response:
    return Response(dump(answer), media_type="application/json", headers=INERT)
