"""A SensorThings Thing as a record: its Datastreams are the variables, its Locations the place.

OGC 18-088 §8.2; units are §8.2.4's unitOfMeasurement. The phenomenonTime of a Datastream is an interval of ISO 8601, of
which a Thing's time is the whole.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from catalog import vocabulary
from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, note, time_range
from catalog.dialects._geojson import geometry_boxes
from catalog.dialects._licences import licence
from catalog.dialects._notes import titled
from catalog.dialects._parties import joined
from catalog.dialects._record import distributions, record
from catalog.errors import BadDocument
from catalog.instant import seconds
from catalog.record import MOST, Extent, Party, Record, Role, Text, TimeRange, Variable
from catalog.source import Document

_STREAMS = ("Datastreams", "MultiDatastreams")
_STANDARD_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_ROLES: Mapping[str, Role] = {
    "publisher": "publisher", "owner": "owner", "provider": "publisher", "operator": "custodian",
    "organization": "publisher", "organisation": "publisher", "institution": "originator", "contact": "pointOfContact",
}  # fmt: skip
Given = Mapping[str, Any]


def read_thing(document: Document, value: Any) -> Record:
    """Return the record of a document's JSON: `thing`, the address of all `things`, and whether there is `csv`.

    Raises:
        BadDocument: It has no Thing.
    """
    given = clean.mapping(value)
    thing = clean.mapping(given.get("thing"))
    if not {"@iot.id", "name", "description"} & thing.keys():
        raise BadDocument("this is no Thing of a SensorThings service: it has neither @iot.id nor name")
    streams = [(key, each) for key in _STREAMS for each in clean.objects(thing.get(key))]
    said = [clean.mapping(each.get("properties")) for each in (thing, *(each for _, each in streams))]
    extent, odd = _extent(thing, streams)
    variables, left = _variables(streams)
    ways, lost = distributions(_ways(thing, streams, given))
    named = clean.text({"und": clean.name(thing.get("name"))})
    title, untitled = titled(named, document.native_id, called="id")
    return record(
        document,
        {
            "title": title,
            "summary": clean.text({"und": thing.get("description")}),
            "keywords": _keywords(said[0]),
            "kind": "timeseries",
            "variables": variables,
            "extent": extent,
            "parties": joined(_parties(said)),
            "licence": licence(*_first(said, "license", "licence", "license_url")),
            "citation": next(iter(_first(said, "citation")), None),
            "doi": clean.doi(*_first(said, "doi", "DOI")),
            "lineage": _sensors(streams),
            "distributions": ways,
            "landing_page": clean.address(said[0].get("url")),
            "quality": tuple(dict.fromkeys((*untitled, *odd, *left, *lost))),
        },
    )


def quoted(name: Any) -> str:
    """Return an id as it stands in an address (§9.2.4): a number as it is, words in quotes."""
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    said = (clean.words(name, 20_000) or "").replace("'", "''")
    return f"'{quote(said, safe='')}'"


def _first(said: list[Given], *names: str) -> tuple[str, ...]:
    """The words that a Thing's own properties, else those of its Datastreams, have under each of some names."""
    found = (next((words for each in said if (words := clean.words(each.get(name)))), None) for name in names)
    return tuple(words for words in found if words)


def _keywords(properties: Given) -> tuple[Text, ...]:
    listed = properties.get("keywords")
    words = clean.each(listed if isinstance(listed, list) else (clean.words(listed) or "").split(","))
    return tuple(dict.fromkeys(Text.of(word.strip()) for word in words if word and word.strip()))


def _parties(said: list[Given]) -> Iterator[Party]:
    for properties in said:
        for key, role in _ROLES.items():
            called = clean.name(properties.get(key)) or clean.name(
                clean.mapping(properties.get(key)).get("name")
            )
            if called:
                yield Party(name=called, roles=(role,))


def _sensors(streams: list[tuple[str, Given]]) -> str | None:
    """What measured: each Sensor once, with its description."""
    sensors = (clean.mapping(each.get("Sensor")) for _, each in streams)
    told = ([clean.name(one.get(key)) for key in ("name", "description")] for one in sensors)
    lines = dict.fromkeys(": ".join(dict.fromkeys(part for part in parts if part)) for parts in told)
    return clean.words("\n".join(line for line in lines if line))


def _extent(thing: Given, streams: list[tuple[str, Given]]) -> tuple[Extent, Notes]:
    """The places of the Locations, else the areas that were observed; the time that the Datastreams span."""
    places = [item.get("location") for item in clean.objects(thing.get("Locations"))]
    boxes, odd = geometry_boxes({"geometries": places})
    if not boxes:
        areas = [each.get("observedArea") for _, each in streams]
        boxes, more = geometry_boxes({"geometries": areas})
        odd = (*odd, *more)
    spans, notes = [], list(odd)
    for _, each in streams:
        start, _slash, end = (clean.words(each.get("phenomenonTime"), 200) or "").partition("/")
        span, mistimed = time_range(*(None if side in {"", ".."} else side for side in (start, end or start)))
        notes += mistimed
        spans += [span] if span else []
    return Extent(boxes=tuple(dict.fromkeys(boxes)), time=_around(spans)), tuple(dict.fromkeys(notes))


def _around(spans: list[TimeRange]) -> TimeRange | None:
    """The time around some times; an end that one of them leaves open is open."""
    if not spans:
        return None
    starts = [span.start for span in spans if span.start]
    ends = [span.end for span in spans if span.end]
    return TimeRange(
        start=min(starts, key=seconds) if len(starts) == len(spans) else None,
        end=max(ends, key=seconds) if len(ends) == len(spans) else None,
    )


def _variables(streams: list[tuple[str, Given]]) -> tuple[tuple[Variable, ...], Notes]:
    """A variable for each property that a Datastream observes, under the Datastream's name, each name once."""
    found: dict[str, Variable] = {}
    for at, (key, stream) in enumerate(streams[: MOST["variables"]]):
        several = key == "MultiDatastreams"
        properties = clean.objects(stream.get("ObservedProperties")) if several else ()
        units = stream.get("unitOfMeasurements") if several else [stream.get("unitOfMeasurement")]
        for nth, observed in enumerate(properties or (clean.mapping(stream.get("ObservedProperty")),)):
            what = clean.name(observed.get("name"))
            called = clean.name(stream.get("name")) or what or f"datastream {at}"
            called = f"{called}: {what or nth}" if len(properties) > 1 else called
            unit = units[nth] if isinstance(units, list) and nth < len(units) else None
            name = _distinct(called[:900], stream, at, found)
            found[name] = Variable(
                name=name,
                standard_name=_standard_name(observed),
                title=clean.text({"und": what}),
                units=_units(unit),
            )
    most = MOST["variables"]
    more = len(streams) > most or len(found) > most
    notes = (note("variables-left-out", f"the variables after {most:,} were left out"),) if more else ()
    return tuple(found.values())[:most], notes


def _distinct(called: str, stream: Given, at: int, found: Given) -> str:
    """A name that none has yet: with the Datastream's id, else its place, where another one has it."""
    tried = (called, f"{called} ({clean.name(stream.get('@iot.id')) or at})", f"{called} [{at}]")
    return next((name[:1_000] for name in tried if name[:1_000] not in found), f"datastream {len(found)}")


def _standard_name(observed: Given) -> str | None:
    """The CF standard name that the definition's address ends in, or that the property is named by."""
    definition = clean.words(observed.get("definition"), 4_000) or ""
    ending = next((part for part in reversed(re.split(r"[/#=:]", definition)) if part), "")
    named = re.sub(r"[\s_-]+", "_", (clean.name(observed.get("name")) or "").lower())
    if "standard_name" in definition.lower() and _STANDARD_NAME.fullmatch(ending):
        return ending
    return next((name for name in (ending, named) if name in vocabulary.vocabulary()), None)


def _units(value: Any) -> str | None:
    """A unit's symbol, else its name."""
    unit = clean.mapping(value)
    return clean.words(unit.get("symbol"), 1_000) or clean.words(unit.get("name"), 1_000)


def _ways(thing: Given, streams: list[tuple[str, Given]], given: Given) -> Iterator[Given]:
    """The Thing itself, and the Observations of each Datastream: by the API, and as CSV where the server says so."""
    things = clean.address(given.get("things"))
    if things is None:
        return
    api = {"protocol": "other", "format": "sensorthings", "media_type": "application/json"}
    csv = {"protocol": "http", "format": "csv", "media_type": "text/csv"}
    if thing.get("@iot.id") is not None:
        yield {**api, "address": f"{things}({quoted(thing['@iot.id'])})", "title": "SensorThings API"}
    service = things.rpartition("/")[0]
    for key, stream in streams:
        if stream.get("@iot.id") is not None:
            address = f"{service}/{key}({quoted(stream['@iot.id'])})/Observations"
            title = clean.name(stream.get("name")) or key
            yield {**api, "address": address, "title": title}
            if given.get("csv") is True:
                yield {**csv, "address": f"{address}?$resultFormat=CSV", "title": title}
