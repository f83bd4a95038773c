"""STAC: APIs by their collections (and items), and static catalogs by their tree of `child` and `item` links.

https://github.com/radiantearth/stac-api-spec (v1.0.0) and stac-spec. A root that links to `data` is an API, any other a
tree. A dataset is a Collection; with the option `items` each Item is one, too, as are Items that no Collection holds.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects import stac
from catalog.dialects._json import read_json
from catalog.errors import BadDocument, BadSource, IncompleteListing, SourceError, Unreachable
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch
from harvesters._links import ROWS, Ask, Listed, Pages, absolute, asked_box, get, is_refusal, link
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = False
MOST_LEVELS = 12
"""How deep a static catalog is followed."""

_GROUP = 20
_MARKS = {"stac_version", "extent", "links"}
_ITEMS = "\n"  # between the cursor of a page of collections and the place among the items of one of them


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List an API's collections or a static catalog's tree; the `url` is that of the root.

    `bbox` and `search` are asked of an API that says it can search collections (and `bbox` of every list of items),
    else datasets are taken by what they say. Options: `items = true` takes the items, too; `collections`, a list of
    ids, takes only these.

    Raises:
        Unreachable: The address does not answer with a STAC root.
        IncompleteListing: The source gave fewer datasets than it counts, or a part of a tree could not be had.
        BadSource: An option is wrong.
    """
    only = _only(source)
    url, root = get(fetch, Ask(source.url))
    if isinstance(root.get("collections"), list):
        root = {"links": [{"rel": "data", "href": source.url}]}
    if link(root, url, "data"):
        api = _Api(source, fetch, only, root, url)
        wanted = source.model_copy(update={"search": ""}) if api.searches("#free-text") else source
        listed = api.documents(source.resume or "")
    elif clean.name(root.get("id")) and isinstance(root.get("links"), list):
        wanted, listed = source, _Tree(source, fetch, only).documents(url, root)
    else:
        raise Unreachable(f"{source.url} is no STAC root: it has no links")
    yield from (document for document in listed if is_wanted(wanted, read, document))


def _only(source: Source) -> frozenset[str] | None:
    chosen = source.options.get("collections")
    if chosen is None:
        return None
    if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
        raise BadSource(f"collections of source {source.id!r} is no list of ids")
    return frozenset(chosen)


def read(document: Document) -> Record:
    """Read a Collection, or an Item with what its Collection says for it.

    Raises:
        BadDocument: It is neither.
    """
    given = read_json(document.content)
    if isinstance(given, dict) and isinstance(given.get("item"), dict):
        return stac.read_object(document, given["item"], given.get("collection"))
    return stac.read_object(document, given)


def _item(item: Any, collection: Mapping[str, Any]) -> bytes:
    """An Item and what its Collection says for it, as a document."""
    said = {"item": item, "collection": stac.shared(collection)}
    return json.dumps(said, sort_keys=True).encode()


def _meets(source: Source, collection: Document) -> bool:
    """Whether what a collection holds can lie in the source's box."""
    return is_wanted(source.model_copy(update={"search": ""}), read, collection)


@dataclass(frozen=True)
class _Api:
    """The lists of an API.

    A cursor is that of a page of collections, or such a one, the id of a collection on the page, and the cursor of a
    page of its items.
    """

    source: Source
    fetch: Fetch
    only: frozenset[str] | None
    root: Mapping[str, Any]
    url: str

    def documents(self, resume: str) -> Iterator[Document]:
        outer, inner, rest = [*resume.split(_ITEMS), "", ""][:3]
        pages = Pages(self.fetch, self._first(), "collections")
        passing = inner != ""
        for found in pages.list(outer or None):
            if passing and found.native_id != inner:
                continue
            resumed, passing = rest if passing else "", False
            if self.only is None or found.native_id in self.only:
                yield from self._collection(found, pages.url, resumed)
        if passing:  # the collection to go on with is no more
            yield from self.documents("")

    def searches(self, part: str) -> bool:
        """Tell whether the API says that it can search collections, or by a part of that."""
        said = self.root.get("conformsTo")
        known = [word for word in said if isinstance(word, str)] if isinstance(said, list) else []
        searching = [word for word in known if "/collection-search" in word]
        return any(part in word for word in searching)

    def _first(self) -> Ask:
        """The first page of collections; a box and words are asked for where the API knows them."""
        href = link(self.root, self.url, "data") or self.source.url
        if not self.searches(""):
            return Ask(href)
        words = self.source.search if self.searches("#free-text") else ""
        return Ask.of(href, limit=str(ROWS), bbox=asked_box(self.source), q=words or None)

    def _collection(self, found: Listed, base: str, resumed: str) -> Iterator[Document]:
        given: Mapping[str, Any] = {} if found.problem else read_json(found.content)
        itself = link(given, base, "self") or base
        document = found.document(self.source, url=itself)
        if self.source.options.get("items") is not True:
            yield document
            return
        yield document.model_copy(update={"page": _ITEMS.join((found.cursor, found.native_id, ""))})
        if not found.problem and _meets(self.source, document):
            yield from self._items(found, given, itself, resumed)

    def _items(self, found: Listed, given: Mapping[str, Any], base: str, resumed: str) -> Iterator[Document]:
        """The items of a collection: of its own list, else by a search for it."""
        box = asked_box(self.source)
        own, search = link(given, base, "items"), link(self.root, self.url, "search")
        if own:
            first = Ask.of(own, limit=str(ROWS), bbox=box)
        elif search:
            first = Ask.of(search, collections=found.native_id, limit=str(ROWS), bbox=box)
        else:
            return
        pages = Pages(self.fetch, first, "features")
        for item in pages.list(resumed or None):
            value = None if item.problem else read_json(item.content)
            yield Document(
                source=self.source.id,
                native_id=f"{found.native_id}/{item.native_id}",
                content=b"" if item.problem else _item(value, given),
                url=link(value, pages.url, "self") or pages.url if value else pages.url,
                page=_ITEMS.join((found.cursor, found.native_id, item.cursor)),
                problem=item.problem,
            )


@dataclass
class _Tree:
    """The tree of a static catalog, from the root down, a branch after the other; each address once.

    A cursor is the addresses from the root's child down to a dataset. A new page begins where a hash of them says so:
    a listing that is resumed has the pages of one that is not.
    """

    source: Source
    fetch: Fetch
    only: frozenset[str] | None
    page: str = ""
    missing: list[str] = field(default_factory=list)
    silences: Silences = field(default_factory=Silences)
    _visited: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)

    def documents(self, url: str, root: Mapping[str, Any]) -> Iterator[Document]:
        yield from self._node(url, root, (), self._path(), {})
        if self.missing:
            raise IncompleteListing(
                f"{len(self.missing):,} parts of {self.source.url} could not be had, as {self.missing[0][:300]}",
                details={"missing": self.missing[:20]},
            )

    def _path(self) -> Sequence[str]:
        try:
            path = json.loads(self.source.resume or "[]")
        except ValueError:
            return []
        return path if isinstance(path, list) and all(isinstance(part, str) for part in path) else []

    def _node(
        self,
        url: str,
        given: Mapping[str, Any],
        path: tuple[str, ...],
        resume: Sequence[str],
        held: Mapping[str, Any],
    ) -> Iterator[Document]:
        """A catalog, collection or item, and what is beneath it from a path on; `held` is the collection around it."""
        self._visited.add(url)
        is_item = given.get("type") == "Feature"
        if not is_item and given.get("type") != "Collection" and "extent" not in given:
            yield from self._branches(url, given, path, resume, held)
            return
        collection = held if is_item else given
        name = clean.words(given.get("id"), 20_000)
        document = self._document(url, given, held, name)
        if not resume and (self.only is None or clean.name(collection.get("id")) in self.only):
            yield self._placed(document, path)
        if not is_item and _meets(self.source, document):
            yield from self._branches(url, given, path, resume, given)

    def _branches(
        self,
        url: str,
        given: Mapping[str, Any],
        path: tuple[str, ...],
        resume: Sequence[str],
        held: Mapping[str, Any],
    ) -> Iterator[Document]:
        branches = list(self._links(url, given, held))
        if resume and resume[0] in branches:
            branches = branches[branches.index(resume[0]) :]
            rest = resume[1:]
        else:
            rest = []
        for at, href in enumerate(branches):
            if href not in self._visited:
                yield from self._branch(href, (*path, href), rest if at == 0 else [], held)

    def _links(self, url: str, given: Mapping[str, Any], held: Mapping[str, Any]) -> Iterator[str]:
        """The addresses beneath a node, each once; the items of a collection only where they are asked for."""
        wanted = {"child", "item"} if not held or self.source.options.get("items") is True else {"child"}
        links = (item for item in clean.objects(given.get("links")) if item.get("rel") in wanted)
        found = (absolute(item.get("href"), url) for item in links)
        return iter(dict.fromkeys(href for href in found if href))

    def _branch(
        self, href: str, path: tuple[str, ...], resume: Sequence[str], held: Mapping[str, Any]
    ) -> Iterator[Document]:
        if len(path) > MOST_LEVELS:
            self.missing.append(href)
            return
        self._visited.add(href)
        try:
            url, given = get(self.fetch, Ask(href))
            if not _MARKS & given.keys():
                raise BadDocument("this is no STAC object: it has no stac_version")  # noqa: TRY301
        except (SourceError, BadDocument) as error:
            if not is_refusal(error):
                self.missing.append(href)
            yield lost(self._placed(Document(source=self.source.id, native_id=href, url=href), path), error)
            self.silences = self.silences.after(error)
            return
        self.silences = Silences()
        yield from self._node(url, given, path, resume, held)

    def _document(
        self,
        url: str,
        given: Mapping[str, Any],
        held: Mapping[str, Any],
        name: str | None,
    ) -> Document:
        around = clean.words(held.get("id"), 10_000)
        native_id = f"{around}/{name}" if around and name and given.get("type") == "Feature" else name or url
        if native_id in self._names:  # ids are to be unique in a catalog, and are not
            native_id = f"{native_id} {url}"
        self._names.add(native_id)
        document = Document(source=self.source.id, native_id=native_id, url=url)
        try:
            content = _item(given, held) if given.get("type") == "Feature" else json.dumps(given).encode()
            read_json(content)
        except (BadDocument, TypeError, RecursionError) as error:
            return document.model_copy(update={"problem": f"bad-document: {error}"[:300]})
        return document.model_copy(update={"content": content})

    def _placed(self, document: Document, path: tuple[str, ...]) -> Document:
        """A document on its page: the one before it has it, unless a new one begins with it."""
        here = json.dumps(path)
        if not self.page or zlib.crc32(here.encode()) % _GROUP == 0:
            self.page = here
        return document.model_copy(update={"page": self.page})
