"""CKAN's packages, as `package_show` gives them and a CKAN harvester takes them.

https://docs.ckan.org/en/latest/api/. Fields differ from portal to portal: people and dates may be JSON in a
string (EnviDat), words may come by language (ckanext-fluent: `title_translated`), boxes may be GeoJSON in
`spatial` (ckanext-spatial) or four extras (ckanext-harvest); what other extensions add is in `_ckanext`. What a plain
CKAN has no field for is written as extras.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from catalog.dialects import _ckanext as ckanext
from catalog.dialects import _words as clean
from catalog.dialects._ckanext import inner
from catalog.dialects._extent import Notes, box, note, time_range
from catalog.dialects._json import read_json
from catalog.dialects._licences import licence
from catalog.dialects._notes import carried, together
from catalog.dialects._parties import joined
from catalog.dialects._record import distributions, record
from catalog.dialects._shapes import geojson, geojson_boxes
from catalog.dialects._ways import VECTOR
from catalog.errors import BadDocument
from catalog.record import BBox, Distribution, Extent, Licence, Party, Record, Role, Text, TimeRange
from catalog.source import Document

MEDIA_TYPE = "application/json"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_HDX_DATES = re.compile(r"\[(\S+) TO (\S+)\]")
_BOUNDS = ("bbox-west-long", "bbox-south-lat", "bbox-east-long", "bbox-north-lat")
_TIMES = (
    ("temporal-extent-begin", "temporal-extent-end"), ("temporal_start", "temporal_end"),
    ("temporal_coverage_from", "temporal_coverage_to"), ("temporal_coverage-from", "temporal_coverage-to"),
)  # fmt: skip
_FREQUENCIES = (
    "frequency",
    "update_frequency",
    "accrualPeriodicity",
    "frequency-of-update",
    "data_update_frequency",
)
_TAG = re.compile(r"[\w .-]{2,100}")
_TERMS = {"id": "spdx", "title": "title", "url": "url"}
Package = Mapping[str, Any]


def read(document: Document) -> Record:
    """Read one package, alone or in the answer of `package_show`.

    Raises:
        BadDocument: It is no package.
    """
    package = read_json(document.content)
    if isinstance(package, dict) and package.get("success") is True:
        package = package.get("result")
    if not isinstance(package, dict) or not {"id", "name", "title"} & package.keys():
        raise BadDocument("this is no package of a CKAN portal: it has neither id, name nor title")
    extras = {
        key: item.get("value")
        for item in clean.objects(package.get("extras"))
        if (key := clean.name(item.get("key")))
    }
    given = {**extras, **{key: value for key, value in package.items() if value not in (None, "", [], {})}}
    boxes, misplaced = _boxes(given)
    time, mistimed = _time(given)
    ways, lost = distributions(_ways(given, document.url))
    title = _text(given, "title")
    untitled = () if title else (note("title-missing", "the source gives no title; its name stands for it"),)
    formats = {way.format for way in ways}
    return record(
        document,
        {
            "title": title or Text.of(clean.name(given.get("name")) or clean.name(document.native_id) or "?"),
            "summary": _text(given, "notes"),
            "keywords": _keywords(given),
            "kind": "features" if formats & VECTOR else "document",
            "variables": ckanext.variables(given),
            "extent": Extent(boxes=boxes, time=time),
            "parties": joined(_parties(given)),
            "licence": _licence(given),
            "citation": clean.words(given.get("citation")),
            "doi": clean.doi(*(given.get(key) for key in ("doi", "identifier", "url", "citation"))),
            "lineage": clean.words(given.get("lineage")) or clean.words(given.get("provenance")),
            "update_frequency": next(
                (said for key in _FREQUENCIES if (said := clean.words(given.get(key), 200))), None
            ),
            "created": clean.moment(given.get("metadata_created")),
            "modified": clean.moment(given.get("metadata_modified")),
            "distributions": ways,
            "landing_page": clean.address(document.url) or clean.address(given.get("url")),
            "quality": together(_carried(given), untitled, misplaced, mistimed, lost),
        },
    )


def _by_language(value: Any) -> dict[str, Any]:
    return {key: said for key, said in clean.mapping(inner(value)).items() if _LANGUAGE.fullmatch(key)}


def _text(given: Package, key: str) -> Text | None:
    """A field's words, alone (`und`) or by language, there or in its `_translated` twin."""
    plain = inner(given.get(key))
    own = {} if isinstance(plain, dict) else {"und": given.get(key)}
    return clean.text({**own, **_by_language(plain), **_by_language(given.get(f"{key}_translated"))})


def _keywords(given: Package) -> tuple[Text, ...]:
    """Tags, groups, keywords by language (ckanext-fluent), and the keywords of harvested records."""
    found = [_keyword(said) for key in ("tags", "groups") for said in _labels(given.get(key))]
    for key in ("keywords", "tags_translated"):
        for language, said in _by_language(given.get(key)).items():
            found += [Text.of(word, language) for word in clean.each(said) if word]
    for key in ("gcmd_keywords", "cf_standard_names"):
        found += [_keyword(word) for word in ckanext.words(given.get(key))]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=4_096)
def _keyword(said: str) -> Text:
    """A keyword, which many datasets of a portal have."""
    return Text.of(said)


def _labels(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        words = clean.mapping(item)
        label = clean.name(item) or next(
            (said for key in ("display_name", "title", "name") if (said := clean.name(words.get(key)))), None
        )
        if label:
            yield label


def _licence(given: Package) -> Licence | None:
    """The portal's own fields, else the constraints of a harvested record, else what the first resource says."""
    own = licence(*(given.get(f"license_{part}") for part in ("title", "url", "id")))
    spatial = "; ".join(ckanext.words(given.get("licence")))
    resources = clean.objects(given.get("resources"))[:1]
    return own or licence(spatial or None) or next((licence(each.get("license")) for each in resources), None)


def _parties(given: Package) -> Iterator[Party]:
    organisation = clean.mapping(given.get("organization"))
    publisher = clean.name(organisation.get("title")) or clean.name(organisation.get("name"))
    if publisher:
        yield Party(name=publisher, roles=("publisher",))
    roles: tuple[tuple[str, Role], ...] = (("author", "author"), ("maintainer", "pointOfContact"))
    for key, role in roles:
        named = inner(given.get(key))
        people = named if isinstance(named, list) else [named]
        for person in people[:1_000]:
            told = clean.mapping(person)
            called = clean.name(person) or _full_name(told)
            email = clean.words(told.get("email") or given.get(f"{key}_email"), 1_000)
            if called:
                yield Party(name=called, roles=(role,), organisation=False, email=email)
    yield from ckanext.parties(given)


def _full_name(person: Mapping[str, Any]) -> str | None:
    parts = (clean.name(person.get(key)) for key in ("given_name", "name"))
    return clean.name(" ".join(part for part in parts if part))


def _boxes(given: Package) -> tuple[tuple[BBox, ...], Notes]:
    """The boxes of a GeoJSON geometry, one for each of its parts, else of the four extras."""
    spatial = given.get("spatial")
    found, notes = geojson_boxes(spatial)
    if not found and not notes:
        legal, notes = box(*(given.get(key) for key in _BOUNDS))
        found = (legal,) if legal else ()
    if not found and not notes:
        found, notes = ckanext.boxes(given)
    if spatial and not found and not notes:
        notes = (note("extent-unreadable", f"{(clean.name(spatial) or 'spatial')[:80]!r} is no geometry"),)
    return found, notes


def _time(given: Package) -> tuple[TimeRange | None, Notes]:
    """The time range in whichever field the portal has it."""
    for first, last in _TIMES:
        if given.get(first) or given.get(last):
            return time_range(given.get(first), given.get(last))
    hdx = _HDX_DATES.fullmatch(clean.words(given.get("dataset_date")) or "")
    if hdx:
        return time_range(*("" if end == "*" else end for end in hdx.groups()))
    start, slash, end = (clean.words(given.get("temporal"), 100) or "").partition("/")
    if slash:
        return time_range(start, end)
    dates = clean.objects(inner(given.get("date")))
    collected = [item for item in dates if item.get("date_type") == "collected"]
    if collected:
        return time_range(collected[0].get("date"), collected[0].get("end_date"))
    return ckanext.time(given)


def _ways(given: Package, url: str) -> Iterator[Mapping[str, Any]]:
    """The ways of the resources; the address of the package's page tells the portal's."""
    portal = clean.address(url.rpartition("/dataset/")[0])
    for resource in clean.objects(given.get("resources")):
        yield from ckanext.ways(resource, portal)


def _carried(given: Package) -> Notes:
    items = clean.objects(inner(given.get("quality")))
    return carried((item.get("code"), item.get("text")) for item in items)


def write(record: Record) -> bytes:
    """Write a record as a package.

    Only the keys of CKAN's own schema stand at the top, since a plain CKAN refuses others; words by language are JSON
    in extras, as ckanext-fluent keeps them. Of several publishers, authors or contacts the first is said.
    """
    tags, keywords = _tags(record.keywords)
    package = {
        "id": record.id,
        "name": record.id,
        "type": "dataset",
        "state": "active",
        "private": False,
        "title": _plain(record.title),
        "notes": _plain(record.summary),
        "url": record.landing_page,
        "tags": [{"name": tag, "display_name": tag, "state": "active"} for tag in tags],
        **_people(record.parties),
        **_terms(record),
        "metadata_created": record.created.removesuffix("Z") if record.created else None,
        "metadata_modified": record.modified.removesuffix("Z") if record.modified else None,
        "extras": [{"key": key, "value": value} for key, value in _extras(record, keywords).items() if value],
        "resources": [
            _resource(at, item)
            for at, item in enumerate(record.distributions)
            if clean.address(item.address) == item.address
        ],
    }
    return json.dumps({key: value for key, value in package.items() if value is not None}).encode()


def _plain(said: Text | None) -> str | None:
    return (said.words.get("und") or said.best("en")) if said else None


def _translated(said: Text | None) -> str | None:
    others = {key: words for key, words in said.words.items() if key != "und"} if said else {}
    return json.dumps(others) if others else None


def _tags(keywords: tuple[Text, ...]) -> tuple[list[str], dict[str, list[str]]]:
    """What CKAN takes as tags (2 to 100 letters, digits, blanks, `-_.`), and the other keywords by language."""
    tags: dict[str, None] = {}
    others: dict[str, list[str]] = {}
    for keyword in keywords:
        for language, said in keyword.words.items():
            words = clean.name(said) or ""
            if language == "und" and _TAG.fullmatch(words):
                tags[words] = None
            else:
                others[language] = [*others.get(language, ()), words]
    return list(tags), others


def _people(parties: tuple[Party, ...]) -> dict[str, Any]:
    publisher = _first(parties, "publisher")
    author, contact = _first(parties, "author", "creator"), _first(parties, "pointOfContact")
    said: dict[str, Any] = {}
    if publisher:
        short = re.sub(r"[^a-z0-9_-]+", "-", publisher.name.lower()).strip("-")[:100]
        said["organization"] = {
            "name": short or "publisher",
            "title": publisher.name,
            "is_organization": True,
        }
    for key, party in (("author", author), ("maintainer", contact)):
        said |= {key: party.name, f"{key}_email": party.email} if party else {}
    return said


def _first(parties: tuple[Party, ...], *roles: Role) -> Party | None:
    return next((party for role in roles for party in parties if role in party.roles), None)


def _terms(record: Record) -> dict[str, Any]:
    terms = record.licence
    return {f"license_{key}": getattr(terms, field) for key, field in _TERMS.items()} if terms else {}


def _extras(record: Record, keywords: Mapping[str, list[str]]) -> dict[str, str | None]:
    shape, time = geojson(record.extent.boxes), record.extent.time
    notes = [{"code": note.code, "text": note.text} for note in record.quality]
    return {
        "title_translated": _translated(record.title),
        "notes_translated": _translated(record.summary),
        "keywords": json.dumps(keywords) if keywords else None,
        "spatial": json.dumps(shape) if shape else None,
        "temporal_start": time.start if time else None,
        "temporal_end": time.end if time else None,
        "doi": record.doi,
        "citation": record.citation,
        "lineage": record.lineage,
        "frequency": record.update_frequency,
        "quality": json.dumps(notes) if notes else None,
    }


def _resource(at: int, item: Distribution) -> dict[str, Any]:
    said = {
        "id": f"{at}",
        "position": at,
        "url": item.address,
        "format": item.format if item.format != "unknown" else None,
        "name": item.title,
        "mimetype": item.media_type,
        "size": item.size,
    }
    return {key: value for key, value in said.items() if value is not None}
