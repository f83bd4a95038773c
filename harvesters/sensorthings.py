"""OGC SensorThings: Things with their Datastreams, Locations, ObservedProperties and Sensors; a dataset is a Thing.

OGC 15-078r6 (1.0) and 18-088 (1.1): entities §8.2, addresses §9.2, `$expand`, `$top`, `$count`, `@iot.nextLink` §9.3,
MultiDatastreams §14. That a server gives CSV is what its landing page says, by FROST-Server's name of the extension.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._json import read_json
from catalog.errors import BadDocument, IncompleteListing, SourceError, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._links import ROWS, Ask, Pages, absolute, get
from harvesters._things import quoted, read_thing
from harvesters._wanted import Silences, is_refusal, is_wanted, lost

INCREMENTAL = False
_EXPANDED: Mapping[str, str] = {
    "Locations": "",
    "Datastreams": "ObservedProperty,Sensor",
    "MultiDatastreams": "ObservedProperties,Sensor",
}
_MOST_PAGES = 200  # of what belongs to one Thing
_CSV = "csv-resultformat"
Given = Mapping[str, Any]


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List a service's Things; the `url` is that of the service, with its version (`…/v1.1`).

    What belongs to a Thing is asked for together with it; what the server leaves out of that, or gives page by page, is
    asked for by its links. `bbox` and `search` take Things that say so of themselves. Option: `filter`, a `$filter` of
    the server.

    Raises:
        Unreachable: The address does not answer as a SensorThings service, or three Things in a row got no answer.
        IncompleteListing: It gave fewer Things than it counts, or its pages lead in a circle.
    """
    sets, form = _service(source, fetch)
    chosen = str(source.options.get("filter") or "") or None
    parts = [key + (f"($expand={inner})" if inner else "") for key, inner in _EXPANDED.items() if key in sets]
    asked = {"$count": "true", "$top": str(ROWS), "$filter": chosen}
    first = Ask.of(sets["Things"], **{"$expand": ",".join(parts), "$orderby": "id", **asked})
    plain = Ask.of(sets["Things"], **{"$count": "true", "$filter": chosen})
    pages = Pages(fetch, first, "value", plain, follows=_following, named="@iot.id")
    silences = Silences()
    for found in pages.list(source.resume):
        thing: Given = {} if found.problem else read_json(found.content)
        at = f"{sets['Things']}({quoted(thing.get('@iot.id', found.native_id))})"
        document = found.document(source, url=absolute(thing.get("@iot.selfLink"), pages.url) or at)
        if not found.problem:
            try:
                whole = _whole(thing, pages.url, sets, fetch)
            except (SourceError, BadDocument) as error:
                document, silences = lost(document, error), silences.after(error)
            else:
                silences = Silences()
                content = json.dumps({"thing": whole, "things": sets["Things"], **form}, sort_keys=True)
                document = document.model_copy(update={"content": content.encode()})
        if is_wanted(source, read, document):
            yield document


def _service(source: Source, fetch: Fetch) -> tuple[Mapping[str, str], Mapping[str, bool]]:
    """The addresses of a service's sets by their names (§9.2.2), and whether it says that it gives CSV.

    Raises:
        Unreachable: It is no SensorThings service.
    """
    url, root = get(fetch, Ask(source.url))
    found = ((clean.name(item.get("name")), item.get("url")) for item in clean.objects(root.get("value")))
    sets = {name: href for name, link in found if name and (href := absolute(link, url))}
    if "Things" not in sets:
        raise Unreachable(f"{source.url} is no SensorThings service: it has no Things")
    classes = clean.mapping(root.get("serverSettings")).get("conformance")
    said = (clean.words(each, 1_000) or "" for each in (classes if isinstance(classes, list) else ()))
    return sets, {"csv": any(_CSV in each.lower() for each in said)}


def _following(value: Given, url: str, _: Ask) -> Ask | None:
    """The request for the page after one (§9.3.3.5)."""
    href = absolute(value.get("@iot.nextLink"), url)
    return Ask(href) if href else None


def _whole(thing: Given, url: str, sets: Mapping[str, str], fetch: Fetch) -> Given:
    """A Thing with all of what belongs to it. Raises SourceError."""
    gathered = {
        key: list(_belonging(thing, key, url, fetch)) for key in _EXPANDED if key in sets or key in thing
    }
    kept = {key: value for key, value in thing.items() if not key.endswith(("Link", "@iot.count"))}
    return {**kept, **gathered}


def _belonging(thing: Given, key: str, url: str, fetch: Fetch) -> Iterator[Given]:
    """The Locations or Datastreams of a Thing: those that it carries, and those on pages of their own.

    A server that knows no `$expand` gives Datastreams without what they observe.

    Raises:
        SourceError: A page cannot be had.
        IncompleteListing: The pages lead in a circle, or are too many.
    """
    yield from clean.objects(thing.get(key))
    ask = _following({"@iot.nextLink": thing.get(f"{key}@iot.nextLink")}, url, Ask(url))
    plain = None
    if key not in thing and (own := absolute(thing.get(f"{key}@iot.navigationLink"), url)):
        plain = Ask(own)
        ask = Ask.of(own, **{"$expand": _EXPANDED[key] or None, "$top": str(ROWS)})
    asked = set[Ask]()
    while ask is not None:
        if ask in asked or len(asked) == _MOST_PAGES:
            raise IncompleteListing(f"the pages of {key} of a Thing lead in a circle, or are too many")
        asked.add(ask)
        try:
            url, value = get(fetch, ask)
        except Unreachable as error:
            if plain in asked | {None} or not is_refusal(error):
                raise
            ask = plain
            continue
        if not isinstance(value.get("value"), list):
            raise Unreachable(f"{ask.url[:300]} did not answer with a list of {key}")
        yield from clean.objects(value["value"])
        ask = _following(value, url, ask)


def read(document: Document) -> Record:
    """Read a Thing with what belongs to it.

    Raises:
        BadDocument: It is none.
    """
    return read_thing(document, read_json(document.content))
