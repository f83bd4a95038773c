"""What extensions of CKAN add to a package: ckanext-spatial, -dcat, -scheming and -ioos-theme, and the DataStore.

https://docs.ckan.org/projects/ckanext-dcat/en/latest/mapping/ and …/ckanext-spatial/en/latest/harvesters.html. A field
of many parts is a list of objects (scheming), the same as JSON in a string (extras), or one extra for each part.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from catalog.dialects import _words as clean
from catalog.dialects._extent import Notes, time_range
from catalog.dialects._json import read_json
from catalog.dialects._parties import role_named
from catalog.dialects._shapes import geojson_boxes
from catalog.dialects._ways import way
from catalog.errors import BadDocument
from catalog.record import BBox, Party, Role, TimeRange, Variable

_PEOPLE: tuple[tuple[str, Role], ...] = (
    ("publisher", "publisher"), ("creator", "creator"), ("contact", "pointOfContact"),
)  # fmt: skip
_STANDARD_NAME = re.compile(r"[a-z][a-z0-9_]{2,200}")
_TRUE = {"true", "1", "yes"}
_MOST = 1_000
Package = Mapping[str, Any]


def inner(value: Any) -> Any:
    """Return a value that may be JSON in a string as that JSON; other strings stay as they are."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return read_json(value.encode("utf-8", "replace"))
    except BadDocument:
        return value


def parts(value: Any) -> tuple[Package, ...]:
    """Return the objects of a field of many parts; one alone is a list of one."""
    found = inner(value)
    return clean.objects([found] if isinstance(found, dict) else found)[:_MOST]


def words(value: Any) -> tuple[str, ...]:
    """Return the words of a list, as JSON in a string or separated by commas."""
    found = inner(value)
    said = found.split(",") if isinstance(found, str) else found
    return tuple(word.strip() for word in clean.each(said)[:_MOST] if word and word.strip())


def parties(given: Package) -> Iterator[Party]:
    """Yield DCAT's publishers, creators and contacts, and the responsible parties of harvested ISO records."""
    for key, role in _PEOPLE:
        alone = {part: given.get(f"{key}_{part}") for part in ("name", "email", "url", "uri")}
        plain = inner(given.get(key))
        for item in (*parts(plain), alone, {"name": plain}):
            called = clean.name(item.get("name")) if isinstance(item.get("name"), str) else None
            if called:
                yield Party(
                    name=called,
                    roles=(role,),
                    organisation=role == "publisher",
                    email=clean.words(item.get("email"), 1_000),
                    url=clean.address(item.get("url")) or clean.address(item.get("uri")),
                )
    for item in parts(given.get("responsible-party")):
        if called := clean.name(item.get("name")):
            claims = clean.each(item.get("roles") or item.get("role"))
            roles = dict.fromkeys(role_named(claim, "pointOfContact") for claim in claims)
            yield Party(name=called, roles=tuple(roles))


def boxes(given: Package) -> tuple[tuple[BBox, ...], Notes]:
    """Read the places of `spatial_coverage` (ckanext-dcat): a geometry, else a box, else a centre."""
    for item in parts(given.get("spatial_coverage")):
        for key in ("geom", "bbox", "centroid"):
            found, notes = geojson_boxes(item.get(key))
            if found:
                return found, notes
    return (), ()


def time(given: Package) -> tuple[TimeRange | None, Notes]:
    """Read the times of `temporal_coverage` (ckanext-dcat): from the first's start to the last's end."""
    found = parts(given.get("temporal_coverage"))
    return time_range(found[0].get("start"), found[-1].get("end")) if found else (None, ())


def variables(given: Package) -> tuple[Variable, ...]:
    """Return a variable for each of the CF standard names that a portal of IOOS lists."""
    names = dict.fromkeys(words(given.get("cf_standard_names")))
    return tuple(Variable(name=name, standard_name=name) for name in names if _STANDARD_NAME.fullmatch(name))


def ways(resource: Package, portal: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield a resource's ways to the data: its file, its page, its services, and its table in the DataStore.

    Args:
        resource: A resource of a package.
        portal: The portal's address, of which its DataStore is a part; None where it is not known.
    """
    title = clean.words(resource.get("name")) or clean.words(resource.get("description"))
    links = [resource.get(key) for key in ("download_url", "url", "access_url")]
    file, *pages = dict.fromkeys(link for link in map(clean.words, links) if link) or [None]
    yield way(
        file,
        said=resource.get("resource_locator_protocol"),
        form=_form(resource.get("format")),
        media_type=_form(resource.get("mimetype"), "media-types"),
        title=title,
        size=resource.get("size"),
    )
    yield from (way(page, title=title) for page in pages)
    for service in parts(resource.get("access_services")):
        called = clean.words(service.get("title"))
        for link in words(service.get("endpoint_url")):
            yield way(link, said=called, title=called or title)
    table = clean.words(resource.get("id"), 200)
    if portal and table and (clean.words(resource.get("datastore_active")) or "").lower() in _TRUE:
        dump = f"{portal}/datastore/dump/{quote(table, safe='')}"
        if dump not in {file, *pages}:
            yield way(dump, form="csv", media_type="text/csv", title=title)


def _form(value: Any, after: str = "") -> Any:
    """A format that is said by an address in a vocabulary: its last word, or what stands after a part of it."""
    said = clean.words(value, clean.MAX_ADDRESS) or ""
    if "://" not in said:
        return value
    return said.rpartition(f"/{after}/" if after else "/")[2]
