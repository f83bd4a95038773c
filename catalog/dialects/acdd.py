"""NetCDF attributes by ACDD 1.3 and CF 1.11, as a header document (see `catalog.data`), read and written.

https://wiki.esipfed.org/Attribute_Convention_for_Data_Discovery_1-3. What the coordinate variables say
("coverage") wins over what attributes claim. ACDD knows one language; `title_vi`, `summary_en`, `keywords_vi`
and a variable's `long_name_vi` are read and written beside the plain ones. Several creators, publishers or
contributors are lists. Themes are not said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, agreed, from_attributes, from_coverage, note
from catalog.dialects._licences import licence
from catalog.dialects._parties import read_parties, write_parties
from catalog.dialects._record import distributions
from catalog.dialects._record import record as _record
from catalog.errors import BadDocument
from catalog.record import MOST, Extent, Kind, QualityNote, Record, Text, Variable
from catalog.source import Document

MEDIA_TYPE = "application/json"
_FORMATS = {
    "netcdf4": ("netcdf", "application/x-netcdf"),
    "netcdf3": ("netcdf", "application/x-netcdf"),
    "hdf5": ("hdf5", "application/x-hdf5"),
    "zarr": ("zarr", "application/vnd.zarr"),
    "csv": ("csv", "text/csv"),
    "tsv": ("tsv", "text/tab-separated-values"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
}
_ROWS = frozenset({"csv", "tsv", "parquet"})
_KINDS: Mapping[str, Kind] = {
    "grid": "grid", "timeseries": "timeseries", "station": "timeseries", "timeseriesprofile": "profile",
    "profile": "profile", "trajectory": "trajectory", "trajectoryprofile": "profile", "point": "points",
    "swath": "points", "mesh": "mesh", "ugrid": "mesh",
}  # fmt: skip
_LANGUAGE = re.compile(r"_([a-z]{2})$")
_SPLIT = re.compile(r"[,;\n]")


def read(document: Document) -> Record:
    """Read a header document.

    Raises:
        BadDocument: The bytes are not the JSON of a header document.
    """
    try:
        header = orjson.loads(document.content)
    except orjson.JSONDecodeError as error:
        raise BadDocument(f"this is not JSON: {error}"[:300]) from error
    return read_header(document, header)


def read_header(document: Document, header: Any) -> Record:
    """Read a header document that is JSON values already; harvesters that build one use it.

    Raises:
        BadDocument: The values are not a header document.
    """
    if not isinstance(header, dict) or not {"attributes", "variables"} & header.keys():
        raise BadDocument("this is no header document: it has neither attributes nor variables")
    given = clean.mapping(header.get("attributes"))
    attributes = {**{key.lower(): value for key, value in given.items()}, **given}
    coverage = clean.mapping(header.get("coverage"))
    title, untitled = _title(document, attributes)
    extent, odd = _extent(coverage, attributes)
    variables, repeated = _variables(header.get("variables"), coverage)
    ways, lost = distributions((*_file(header), *clean.objects(header.get("distributions"))))
    return _record(
        document,
        {
            "title": title,
            "summary": _text(attributes, "summary", "abstract", "description"),
            "keywords": _keywords(attributes),
            "kind": _kind(coverage, attributes, variables),
            "variables": variables,
            "extent": extent,
            "parties": read_parties(attributes),
            "licence": licence(*(attributes.get(f"license{part}") for part in ("", "_url", "_id", "_spdx"))),
            **_plain(attributes),
            "distributions": ways,
            "quality": tuple(dict.fromkeys((*_problems(coverage), *untitled, *odd, *repeated, *lost))),
        },
    )


def _first(attributes: Mapping[str, Any], *names: str) -> str | None:
    return next((said for key in names if (said := clean.words(attributes.get(key)))), None)


def _text(attributes: Mapping[str, Any], *names: str) -> Text | None:
    """A text by language: the first name that has words, and the first name's other languages."""
    others = {
        found[1]: value for key, value in attributes.items()
        if (found := _LANGUAGE.search(key)) and key[: found.start()] == names[0]
    }  # fmt: skip
    return clean.text({"und": _first(attributes, *names), **others})


def _title(document: Document, attributes: Mapping[str, Any]) -> tuple[Text, Notes]:
    title = _text(attributes, "title")
    if title is not None:
        return title, ()
    stem = (document.name or document.native_id).replace("_", " ")
    made = clean.name(stem) or clean.name(document.source) or "?"
    return Text.of(made), (note("title-missing", "the source gives no title; it is made of the file's name"),)


def _keywords(attributes: Mapping[str, Any]) -> tuple[Text, ...]:
    """Keywords: a list is taken as it is, a string is split at commas and semicolons."""
    found: list[Text] = []
    for key in sorted(attributes):
        match = _LANGUAGE.search(key)
        if key != "keywords" and not (match and key[: match.start()] == "keywords"):
            continue
        value = attributes[key]
        parts = value if isinstance(value, list) else _SPLIT.split(value) if isinstance(value, str) else ()
        found += [
            Text.of(said, match[1] if match else "und") for part in parts if (said := clean.words(part))
        ]
    return tuple(dict.fromkeys(found))


def _kind(coverage: Mapping[str, Any], attributes: Mapping[str, Any], variables: Sequence[Variable]) -> Kind:
    """The kind that the coordinates say, else `featureType` (CF §9.4) or `cdm_data_type`."""
    if said := clean.kind(coverage.get("kind")):
        return said
    for key in ("featuretype", "cdm_data_type"):
        claim = (clean.name(attributes.get(key)) or "").lower()
        if claim in _KINDS:
            return _KINDS[claim]
    return "points" if variables else "document"


def _extent(coverage: Mapping[str, Any], attributes: Mapping[str, Any]) -> tuple[Extent, Notes]:
    said, notes = from_coverage(coverage)
    claimed, more = from_attributes(attributes)
    joined, differ = agreed(said, claimed)
    return joined, (*notes, *more, *differ)


def _variables(value: Any, coverage: Mapping[str, Any]) -> tuple[tuple[Variable, ...], Notes]:
    listed = coverage.get("coordinates")
    coordinates = {clean.name(item) for item in listed} if isinstance(listed, list) else set()
    found: dict[str, Variable] = {}
    notes: list[QualityNote] = []
    items, most = clean.objects(value), MOST["variables"]
    if len(items) > most:
        left = len(items) - most
        notes.append(note("variables-left-out", f"{left:,} of {len(items):,} variables were left out"))
    for item in items[:most]:
        called = clean.name(item.get("name"))
        if called is None or called in found:
            notes.append(note("variable-left-out", f"a variable {called or 'without a name'} was left out"))
            continue
        found[called] = _variable(called, item, coordinate=called in coordinates)
    return tuple(found.values()), tuple(dict.fromkeys(notes))


def _variable(called: str, item: Mapping[str, Any], *, coordinate: bool) -> Variable:
    attributes = clean.mapping(item.get("attributes"))
    axes = clean.each(item["dimensions"]) if isinstance(item.get("dimensions"), list) else ()
    dimensions = tuple(axis for axis in axes if axis)
    sizes = [clean.whole(size) for size in item["shape"]] if isinstance(item.get("shape"), list) else []
    shape = tuple(size for size in sizes if size is not None)
    return Variable(
        name=called,
        standard_name=clean.name(attributes.get("standard_name")),
        title=_text(attributes, "long_name", "title"),
        units=clean.words(attributes.get("units"), 1_000),
        dtype=clean.words(item.get("dtype"), 100),
        dimensions=dimensions,
        shape=shape if len(shape) == len(dimensions) == len(sizes) else (),
        coordinate=coordinate,
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are one word or text."""
    references = _first(attributes, "references")
    link = clean.address(references)
    return {
        "citation": _first(attributes, "citation") or (None if link == references else references),
        "doi": clean.doi(*(attributes.get(key) for key in ("doi", "id", "citation", "references"))),
        "lineage": _first(attributes, "history", "source"),
        "update_frequency": clean.words(_first(attributes, "update_frequency", "update_interval"), 200),
        "created": clean.moment(_first(attributes, "date_created", "date_issued")),
        "modified": clean.moment(
            _first(attributes, "date_modified", "date_metadata_modified", "date_update")
        ),
        "landing_page": clean.address(_first(attributes, "metadata_link", "infourl")) or link,
    }


def _problems(coverage: Mapping[str, Any]) -> Iterator[QualityNote]:
    for item in clean.objects(coverage.get("problems")):
        code = re.sub(r"[^a-z0-9-]+", "-", (clean.name(item.get("code")) or "odd").lower())[:60]
        if said := clean.words(item.get("text")):
            yield QualityNote(code=code or "odd", text=said)


def _file(header: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    file = clean.mapping(header.get("file"))
    path = clean.words(file.get("path"))
    if path:
        form, media_type = _FORMATS.get(clean.words(header.get("format")) or "", ("unknown", None))
        yield {
            "protocol": "table" if form in _ROWS else "zarr" if form == "zarr" else "file",
            "address": path,
            "format": form,
            "media_type": media_type,
            "size": clean.whole(file.get("size")),
            "checksum": clean.words(file.get("checksum")),
        }


def write(record: Record) -> bytes:
    """Write a record as a header document with ACDD attributes."""
    document = {
        "format": "record",
        "attributes": {key: value for key, value in _attributes(record).items() if value is not None},
        "dimensions": {
            axis: size
            for variable in record.variables
            for axis, size in zip(variable.dimensions, variable.shape, strict=False)
        },
        "variables": [_said_variable(variable) for variable in record.variables],
        "coverage": _said_coverage(record),
        "file": None,
        "distributions": [item.model_dump(exclude_none=True) for item in record.distributions],
    }
    return orjson.dumps(document)


def _said_text(key: str, said: Text | None) -> dict[str, str]:
    if said is None:
        return {}
    plain = said.words.get("und") or said.best("en")
    return {key: plain} | {
        f"{key}_{code}": words for code, words in said.words.items() if _LANGUAGE.fullmatch(f"_{code}")
    }


def _attributes(record: Record) -> dict[str, Any]:
    terms = record.licence
    keywords: dict[str, list[str]] = {}
    for keyword in record.keywords:
        for code, words in keyword.words.items():
            key = f"keywords_{code}" if _LANGUAGE.fullmatch(f"_{code}") else "keywords"
            keywords = {**keywords, key: [*keywords.get(key, ()), words]}
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        **_said_text("title", record.title),
        **_said_text("summary", record.summary),
        **keywords,
        **write_parties(record.parties),
        "license": (terms.title or terms.url or terms.spdx) if terms else None,
        "license_url": terms.url if terms else None,
        "license_spdx": terms.spdx if terms else None,
        "citation": record.citation,
        "doi": record.doi,
        "history": record.lineage,
        "update_frequency": record.update_frequency,
        "date_created": record.created,
        "date_modified": record.modified,
        "metadata_link": record.landing_page,
        **_said_extent(record.extent),
    }


def _said_extent(extent: Extent) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if len(extent.boxes) == 1:
        found = extent.boxes[0]
        said |= {
            "geospatial_lon_min": found.west,
            "geospatial_lat_min": found.south,
            "geospatial_lat_max": found.north,
        }
        said["geospatial_lon_max"] = found.east + (360 if found.west > found.east else 0)
    if extent.vertical:
        said |= {
            "geospatial_vertical_min": extent.vertical.minimum,
            "geospatial_vertical_max": extent.vertical.maximum,
            "geospatial_vertical_units": "m",
            "geospatial_vertical_positive": "down",
        }
    if extent.time:
        said |= {"time_coverage_start": extent.time.start, "time_coverage_end": extent.time.end}
    return said


def _said_variable(variable: Variable) -> dict[str, Any]:
    attributes = {"standard_name": variable.standard_name, "units": variable.units}
    return {
        "name": variable.name,
        "dtype": variable.dtype,
        "dimensions": list(variable.dimensions),
        "shape": list(variable.shape),
        "attributes": {k: v for k, v in attributes.items() if v is not None}
        | _said_text("long_name", variable.title),
    }


def _said_coverage(record: Record) -> dict[str, Any]:
    extent = record.extent
    return {
        "kind": record.kind,
        "boxes": [[box.west, box.south, box.east, box.north] for box in extent.boxes],
        "vertical": [extent.vertical.minimum, extent.vertical.maximum] if extent.vertical else None,
        "time": extent.time.model_dump() if extent.time else None,
        "resolution": extent.resolution.model_dump() if extent.resolution else None,
        "coordinates": [variable.name for variable in record.variables if variable.coordinate],
        "problems": [note.model_dump() for note in record.quality],
    }
