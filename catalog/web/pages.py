"""The pages over the service: search, a dataset, sources, runs, the API's reference, and static files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from catalog import formats, vocabulary
from catalog.data.places import LOCAL
from catalog.errors import NotFound, NotSubsettable
from catalog.record import BBox, Record
from catalog.search import FACETS, Page, Query, parse
from catalog.service import Catalog, openable
from catalog.web import extent_map, reference
from catalog.web.rendering import address, error_page, known, page, parameters, static_file
from catalog.web.translation import Translation, translation

AREAS: Mapping[str, BBox] = {
    "gulf-of-tonkin": BBox(west=105.5, south=17, east=110, north=22),
    "central-coast": BBox(west=107, south=11, east=111, north=17.5),
    "southern-coast": BBox(west=103, south=7.5, east=109, north=11.5),
    "hoang-sa": BBox(west=110.5, south=15, east=113.5, north=17.5),
    "truong-sa": BBox(west=111, south=6.5, east=117.5, north=12.5),
}
"""Waters offered for one-click searches and cuts; their names are in the translations, under `area`."""

_FORMAT_NAMES: Mapping[str, str] = {
    "nc": "NetCDF", "csv": "CSV", "xlsx": "Excel", "png": "PNG", "tif": "GeoTIFF", "geojson": "GeoJSON",
    "covjson": "CoverageJSON", "parquet": "Parquet", "geoparquet": "GeoParquet", "arrow": "Arrow", "zarr": "Zarr",
    "nc3": "NetCDF-3", "mat": "MATLAB", "odv.txt": "ODV", "tsv": "TSV", "jsonl": "JSON lines", "dods": "DAP2",
}  # fmt: skip
_READY = ("nc", "csv", "xlsx", "png")
"""The formats for which a page has links that need no choice: they take several variables and times."""

FEW_HITS = 8
SHOWN_RUNS = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """A link that adds or removes a filter."""

    label: str
    href: str
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    """A facet: the chosen value with the link that removes it, or the values that may be chosen."""

    name: str
    chosen: Choice | None
    choices: tuple[Choice, ...]


def router(catalog: Catalog) -> APIRouter:
    """Return the pages' routes over a catalog; none of them is part of the API's reference."""
    routes = APIRouter(include_in_schema=False, default_response_class=Response)
    _search_routes(routes, catalog)
    _report_routes(routes, catalog)
    _reference_routes(routes, catalog)
    return routes


def _search_routes(routes: APIRouter, catalog: Catalog) -> None:
    @routes.get("/")
    def home(request: Request) -> Response:
        given = {name: value for name, value in parameters(request).items() if value != ""}
        query = parse(given)
        found = catalog.search(query)
        return page(
            request,
            "search.html",
            given=given,
            query=query,
            found=found,
            facets=tuple(_facets(given, query, found)),
            few=FEW_HITS,
            filters=tuple(_filters(given, query, translation(query.lang))),
            areas={
                name: address("/", _without(given, "offset") | {"bbox": bbox_text(AREAS[name])})
                for name in AREAS
            },
            pages=_pages(given, query, found),
            json_address=address("/api/datasets", given),
            states={} if query.asof else catalog.healths.states(found.items),
        )

    @routes.get("/datasets/{record_id}")
    def dataset(request: Request, record_id: str) -> Response:
        known(request)
        record = catalog.get(record_id)
        versions = catalog.history(record_id)
        cuttable, reason = _cuttable(record)
        group = catalog.tying.group(record_id)
        return page(
            request,
            "dataset.html",
            record=record,
            map=extent_map.draw(record.extent.boxes) if record.extent.boxes else None,
            harvested=versions[-1].valid_from if versions else None,
            versions=len(versions),
            health={one.address: one for one in catalog.healths.of(record_id)},
            appraisal=catalog.appraisals.record(record_id),
            group=group,
            same=catalog.tying.members(group) if group else (),
            cuttable=cuttable,
            reason=reason,
            suffixes=_format_names(),
            ready={suffix: name for suffix, name in _format_names().items() if suffix in _READY},
            local=LOCAL,
            examples=_examples(record),
            areas={name: bbox_text(box) for name, box in AREAS.items() if _touches(record, box)},
        )


def _report_routes(routes: APIRouter, catalog: Catalog) -> None:
    @routes.get("/sources")
    def sources(request: Request) -> Response:
        known(request)
        return page(request, "sources.html", sources=catalog.sources())

    @routes.get("/runs")
    def runs(request: Request) -> Response:
        source = known(request, "source").get("source") or None
        return page(request, "runs.html", source=source, runs=catalog.runs(source, limit=SHOWN_RUNS))


def _reference_routes(routes: APIRouter, catalog: Catalog) -> None:
    @routes.get("/docs")
    def docs(request: Request) -> Response:
        known(request)
        some = catalog.search(Query(limit=1)).items
        examples = {"record_id": some[0].id if some else "", "suffix": next(iter(_format_names()))}
        found = reference.operations(request.app.openapi())
        return page(request, "docs.html", operations=found, examples=examples)

    @routes.get("/docs/try")
    def attempt(request: Request) -> Response:
        return RedirectResponse(reference.tried(request.app.openapi(), parameters(request)), status_code=303)

    @routes.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        try:
            return static_file(request, name)
        except NotFound as error:
            return error_page(request, error)


def bbox_text(box: BBox) -> str:
    """Write a box as a parameter: west,south,east,north."""
    return ",".join(f"{number:g}" for number in (box.west, box.south, box.east, box.north))


def _without(given: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def _facets(given: Mapping[str, str], query: Query, found: Page) -> Iterator[Facet]:
    """Facets that offer something: choosing a value, or removing it, starts at the first page again."""
    for name in FACETS:
        rest = _without(given, name, "offset")
        value = given.get(name)
        if value is not None:
            label = vocabulary.label(name, value, query.lang)
            yield Facet(name, Choice(label, address("/", rest)), ())
            continue
        hits = found.facets.get(name, ())
        if hits:
            links = (
                Choice(
                    vocabulary.label(name, h.value, query.lang), address("/", rest | {name: h.value}), h.count
                )
                for h in hits
            )
            yield Facet(name, None, tuple(links))


def _filters(given: Mapping[str, str], query: Query, t: Translation) -> Iterator[tuple[str, Choice]]:
    """Every condition in force, as the name of its field and the link that removes it."""
    for name in ("q", "bbox", "time", *FACETS):
        if name in given:
            label = vocabulary.label(name, given[name], query.lang)
            if name == "bbox" and query.bbox is not None:
                label = next(
                    (t(f"area.{area}") for area, box in AREAS.items() if box == query.bbox), t.box(query.bbox)
                )
            yield name, Choice(label, address("/", _without(given, name, "offset")))


def _pages(given: Mapping[str, str], query: Query, found: Page) -> dict[str, object]:
    """What the paging needs: this page's number, how many there are, the addresses before and after it."""
    limit = query.limit or 1

    def at(offset: int) -> str:
        return address("/", _without(given, "offset") | ({"offset": str(offset)} if offset else {}))

    beyond = query.offset + limit < found.matched
    last = max(0, (found.matched - 1) // limit * limit)
    return {
        "number": query.offset // limit + 1,
        "count": last // limit + 1,
        "before": at(max(0, min(query.offset - limit, last))) if query.offset else None,
        "after": at(query.offset + limit) if beyond and query.limit else None,
    }


def _format_names() -> dict[str, str]:
    """The formats by suffix, those that people know first; one without a name of its own is called by its suffix."""
    there = formats.all_formats()
    names = {suffix: name for suffix, name in _FORMAT_NAMES.items() if suffix in there}
    return names | {suffix: suffix for suffix in there if suffix not in names}


def _cuttable(record: Record) -> tuple[bool, str]:
    try:
        openable(record)
    except NotSubsettable as error:
        return False, error.message
    return True, ""


def _examples(record: Record) -> dict[str, str]:
    """The fields of a cut that the record's extent gives a meaning to, each with the whole of it as an example."""
    extent, names = record.extent, [variable.name for variable in record.data_variables()]
    whole = {
        "variables": ",".join(names[:3]),
        "bbox": bbox_text(extent.boxes[0]) if extent.boxes else None,
        "time": f"{extent.time.start or '..'}/{extent.time.end or '..'}" if extent.time else None,
        "depth": f"{extent.vertical.minimum:g}/{extent.vertical.maximum:g}" if extent.vertical else None,
        "stride": "1",
    }
    return {name: text for name, text in whole.items() if text is not None}


def _touches(record: Record, box: BBox) -> bool:
    return any(box.intersects(other) for other in record.extent.boxes)


__all__ = ["AREAS", "bbox_text", "router"]
