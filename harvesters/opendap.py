"""OPeNDAP servers: an address of a dataset or a list of them, described by DDS and DAS, or by the DMR of DAP4.

"The Data Access Protocol, DAP 2.0" (ESE-RFC-004.1.2) and "DAP4: Specification Volume 1" (OPeNDAP, 2014). A dataset is
described without its data; only the values of its coordinates are asked for, by which it is known where and when it is.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from catalog.dialects import _words as clean
from catalog.dialects import acdd
from catalog.dialects._json import read_json
from catalog.dialects._ways import way
from catalog.errors import BadDocument, BadSource, SourceError
from catalog.record import Record
from catalog.source import Document, Source
from harvesters import Fetch, _dap
from harvesters._wanted import Silences, is_wanted, lost

INCREMENTAL = False
_PAGE = 20


def harvest(source: Source, fetch: Fetch) -> Iterator[Document]:
    """List the datasets at a source's address, or at its `addresses`, in their order.

    An address may be that of any form (`.html`, `.dds`). A page is 20 datasets; its cursor is the number of its first.
    A dataset that is not described is a document with a problem; where none of them is, there is no server.

    Raises:
        BadSource: `addresses` is no list of addresses.
        SourceError: No dataset is described, or three in a row got no answer.
    """
    addresses = _addresses(source)
    pages = range(0, len(addresses), _PAGE)
    begin = next((start for start in pages if str(start) == source.resume), 0)
    silences, described, last = Silences(), False, None
    for at, (native_id, address) in list(enumerate(addresses.items()))[begin:]:
        document = _document(source, native_id, address, page=str(at - at % _PAGE))
        try:
            content = json.dumps(_dap.describe(address, fetch)).encode()
        except (SourceError, BadDocument) as error:
            silences, last = silences.after(error), error
            yield lost(document, error)
            continue
        silences, described = Silences(), True
        found = document.model_copy(update={"content": content})
        if is_wanted(source, read, found):
            yield found
    if last is not None and not described:
        raise SourceError(f"none of the addresses of {source.id!r} is described: {last.message}") from last


def _document(source: Source, native_id: str, address: str, page: str) -> Document:
    name = native_id.partition("/")[2] or native_id
    return Document(source=source.id, native_id=native_id, name=name, url=address, page=page)


def _addresses(source: Source) -> dict[str, str]:
    """The addresses of datasets without the suffixes of forms, by their native ids."""
    given: Any = source.options.get("addresses", [source.url])
    if not isinstance(given, list) or not all(isinstance(item, str) and item for item in given):
        raise BadSource(f"addresses of source {source.id!r} is no list of addresses")
    plain = [way(urljoin(source.url, item), said="OPENDAP")["address"] for item in given]
    if None in plain:
        raise BadSource(f"an address of source {source.id!r} is none of http or https")
    return {_native_id(address): address for address in plain if address}


def _native_id(address: str) -> str:
    """The host and the path, so that a server that moves to https keeps its ids."""
    place = urlsplit(address)
    return f"{place.netloc.lower()}{unquote(place.path)}"


def read(document: Document) -> Record:
    """Read the description of a dataset.

    Raises:
        BadDocument: It is none.
    """
    said = clean.mapping(read_json(document.content))
    return acdd.read_header(document, _dap.read(said))
