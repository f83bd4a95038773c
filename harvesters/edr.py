"""OGC API - Environmental Data Retrieval: collections with their parameters, extents and queries.

OGC 19-086r6 (EDR 1.1): collections §8.2 and annex C; a collection's `data_queries` are the ways to its data, its
`parameter_names` the variables.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._contacts import read_parties
from catalog.dialects._extent import Notes, note, vertical_range
from catalog.dialects._geojson import first_interval, read_extent
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._notes import titled
from catalog.dialects._record import distributions, record
from catalog.dialects._texts import by_language, language, text
from catalog.dialects._weblinks import absolute, landing_page
from catalog.errors import BadDocument, SourceError, Unreachable
from catalog.record import Extent, Kind, Record, Text, Variable, VerticalRange
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._links import Ask, Pages, get, link
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = False
_STANDARD_NAME = re.compile(
    r"(?:standard[_-]?names?|/P07/current|/cf/)\S*?[/#=:]([a-z][a-z0-9_]{2,200})/?$", re.IGNORECASE
)
_COVERAGE = re.compile(r"cov(?:erage)?[-_+]?json|prs\.coverage", re.IGNORECASE)
_FORM = re.compile(r"[a-z0-9.+_-]{1,40}")
_MOST_QUERIES = 50
Given = Mapping[str, Any]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the EDR collections of an API; the `url` is that of its landing page or of its collections.

    A collection whose parameters are not in the list is asked for itself. The protocol searches no collections: `bbox`
    and `search` take those that say so of themselves.

    Raises:
        Unreachable: The address does not answer as an API with collections, or three in a row got no answer.
        IncompleteListing: It gave fewer collections than it counts.
    """
    url, root = get(fetch, Ask(source.url))
    data = source.url if isinstance(root.get("collections"), list) else link(root, url, "data")
    if data is None:
        raise Unreachable(f"{source.url} is no landing page of an API: it links to no collections")
    pages = Pages(fetch, Ask(data), "collections")
    silences = Silences()
    for found in pages.list(source.resume):
        given: Given = {} if found.problem else read_json(found.content)
        if not found.problem and not clean.mapping(given.get("data_queries")):
            continue
        itself = (
            link(given, pages.url, "self") or f"{pages.url.partition('?')[0].rstrip('/')}/{found.native_id}"
        )
        document = found.document(source, url=itself)
        if not found.problem and "parameter_names" not in given:
            try:
                document, silences = _itself(document, itself, fetch), Silences()
            except SourceError as error:
                document, silences = lost(document, error), silences.after(error)
        if is_wanted(source, read, document):
            yield document


def _itself(document: Document, url: str, fetch: Fetch) -> Document:
    """A collection by its own page. Raises SourceError."""
    answer = fetch.get(url)
    return document.model_copy(update={"content": answer.content})


def read(document: Document) -> Record:
    """Read a collection.

    Raises:
        BadDocument: It is no EDR collection.
    """
    given = read_json(document.content)
    if not isinstance(given, dict) or not isinstance(given.get("data_queries"), dict):
        raise BadDocument("this is no EDR collection: it has no data_queries")
    tag = language(given.get("language"))
    extent, odd = _extent(clean.mapping(given.get("extent")))
    variables, left = _variables(given.get("parameter_names"))
    ways, lost_ = distributions(_ways(given, document.url))
    links = clean.objects(given.get("links"))
    title, untitled = titled(text(given.get("title"), tag), given.get("id"), document.native_id, called="id")
    words = given["keywords"] if isinstance(given.get("keywords"), list) else []
    terms = next((item for item in links if item.get("rel") == "license"), {})
    return record(
        document,
        {
            "title": title,
            "summary": text(given.get("description"), tag),
            "keywords": tuple(dict.fromkeys(Text.of(name, tag) for name in clean.each(words) if name)),
            "kind": _kind(given["data_queries"]),
            "variables": variables,
            "extent": extent,
            "parties": read_parties(given.get("contacts"), given.get("providers")),
            "licence": licence(terms.get("title"), terms.get("href"), given.get("license")),
            "modified": clean.moment(given.get("updated")),
            "distributions": ways,
            "landing_page": landing_page(links, document.url),
            "quality": tuple(dict.fromkeys((*untitled, *odd, *left, *lost_))),
        },
    )


def _kind(queries: Given) -> Kind:
    """Collections that are asked for by place alone are of stations; those that give cubes are grids."""
    if "cube" in queries or "area" in queries or "position" in queries:
        return "timeseries" if "locations" in queries and "cube" not in queries else "grid"
    return "trajectory" if "trajectory" in queries else "timeseries" if "locations" in queries else "features"


def _extent(given: Given) -> tuple[Extent, Notes]:
    """Extent (annex C), whose vertical interval counts where its reference system tells the way."""
    found, notes = read_extent(given)
    depth = _vertical(clean.mapping(given.get("vertical")))
    return found.model_copy(update={"vertical": depth or found.vertical}), notes


def _vertical(given: Given) -> VerticalRange | None:
    """Depths or heights in metres; other levels (pressure, model layers) are neither."""
    system = (clean.words(given.get("vrs"), 5_000) or "").lower()
    if "depth" in system and "pressure" not in system:
        return vertical_range(*first_interval(given))[0]
    up = any(word in system for word in ("height", "altitude", "elevation")) and "pressure" not in system
    return vertical_range(*first_interval(given), up=True)[0] if up else None


def _variables(value: Any) -> tuple[tuple[Variable, ...], Notes]:
    found: dict[str, Variable] = {}
    notes: list[Any] = []
    for key, given in clean.mapping(value).items():
        called, item = clean.name(key), clean.mapping(given)
        if called is None or called in found:
            notes.append(note("variable-left-out", f"a variable {called or 'without a name'} was left out"))
            continue
        observed = clean.mapping(item.get("observedProperty"))
        said = (
            _said(item.get("description")),
            _said(observed.get("label")),
            _said(item.get("label") or item.get("name")),
        )
        found[called] = Variable(
            name=called,
            standard_name=_standard_name(item, observed),
            title=next((words for words in reversed(said) if words), None),
            units=_units(item.get("unit")),
            dtype=clean.words(item.get("data-type") or item.get("dataType"), 100),
        )
    return tuple(found.values()), tuple(notes)


def _said(value: Any) -> Text | None:
    """Words of a label, alone or by language (`id` beside others is a name of pygeoapi's, no Indonesian)."""
    given = clean.mapping(value)
    return by_language({key: word for key, word in given.items() if key != "id" or len(given) == 1}) or text(
        None if given else value
    )


def _standard_name(item: Given, observed: Given) -> str | None:
    """The CF standard name that an address of the observed property ends in, or that is said as one."""
    plain = item.get("metocean:standard_name") or item.get("standard_name")
    if name := clean.name(plain):
        return name
    for value in (observed.get("id"), item.get("id")):
        if found := _STANDARD_NAME.search(clean.name(value) or ""):
            return found[1]
    return None


def _units(value: Any) -> str | None:
    """A unit's symbol, else its label."""
    unit = clean.mapping(value)
    symbol = unit.get("symbol")
    label = by_language(unit.get("label"))
    return (
        clean.words(clean.mapping(symbol).get("value"), 1_000)
        or clean.words(symbol, 1_000)
        or clean.words(label.best("en") if label else unit.get("label"), 1_000)
    )


def _ways(given: Given, base: str) -> Iterator[Given]:
    """The queries as ways to the data: none is opened here yet, each says what it gives."""
    for query, value in list(given["data_queries"].items())[:_MOST_QUERIES]:
        link_ = clean.mapping(clean.mapping(value).get("link")) or clean.mapping(value)
        variables = clean.mapping(link_.get("variables"))
        formats = variables.get("output_formats") or given.get("output_formats")
        chosen, media = _format(variables.get("default_output_format"), formats)
        yield {
            "protocol": "other",
            "address": clean.address(absolute(link_.get("href"), base)),
            "format": chosen,
            "media_type": media,
            "title": clean.words(link_.get("title")) or f"EDR {clean.name(query) or 'query'}",
        }


def _format(default: Any, formats: Any) -> tuple[str, str | None]:
    """CoverageJSON where a query gives it, as the standard recommends; else its first format."""
    listed = list(formats) if isinstance(formats, list | dict) else []
    said = [name for value in (*listed[:50], default) if (name := clean.name(value))]
    if not said or any(_COVERAGE.search(name) for name in said):
        return "covjson", "application/prs.coverage+json"
    first = (clean.name(default) or said[0]).lower()
    return (first if _FORM.fullmatch(first) else "unknown"), (first if "/" in first else None)
