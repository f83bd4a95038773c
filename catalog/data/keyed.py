"""A Zarr group on another server as a store that zarr reads: one GET a key, and nothing else is known of the folder.

A key that is not there (404) is a chunk that was not written; any other failure is an error, never a fill value. The
server cannot be asked what there is, so the group must have its metadata consolidated (Zarr v2 `.zmetadata`, and the
same within v3's `zarr.json`).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from urllib.parse import quote, urlsplit, urlunsplit

import orjson
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from catalog.data.remote import Link, refused
from catalog.errors import DataUnreadable

_METADATA = frozenset({".zmetadata", ".zarray", ".zgroup", ".zattrs", "zarr.json"})
_CODECS = frozenset({
    "blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd", "shuffle", "delta", "fixedscaleoffset", "quantize",
    "bitround", "packbits", "vlen-utf8", "vlen-bytes", "crc32", "crc32c", "adler32", "fletcher32", "astype",
    "bytes", "transpose", "sharding_indexed", "jenkins_lookup3",
})  # fmt: skip
_PLACES = ("compressor", "filters", "codecs", "index_codecs")
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")


class Keyed(Store):
    """The keys below an address; read-only.

    Args:
        link: The way there.
        address: Of the group; a query is kept.
    """

    supports_writes = supports_deletes = supports_listing = False

    def __init__(self, link: Link, address: str) -> None:
        super().__init__(read_only=True)
        self._link, self._address = link, urlsplit(address)
        self._metadata: dict[str, bytes | None] = {}

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same store."""
        return self is other

    __hash__ = object.__hash__

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key; None where it is not there. Raises DataUnreadable, and as `Link.get`."""
        found = await asyncio.to_thread(self._found, key, byte_range)
        return None if found is None else prototype.buffer.from_bytes(found)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return the bytes of parts of keys."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Tell whether a key is there."""
        return await asyncio.to_thread(self._found, key, None) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse."""
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        """List nothing: it is not known what there is."""
        return
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """List nothing."""
        return
        yield ""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """List nothing."""
        return
        yield ""

    def _found(self, key: str, part: ByteRequest | None) -> bytes | None:
        """The bytes of a key; metadata are asked for once."""
        if part is not None or key.rpartition("/")[2] not in _METADATA:
            return self._asked(key, part)
        if key not in self._metadata:
            body = self._asked(key, None)
            if body is not None:
                check_codecs(body)
            self._metadata[key] = body
        return self._metadata[key]

    def _asked(self, key: str, part: ByteRequest | None) -> bytes | None:
        answer = self._link.get(self._url(key), {"Accept-Encoding": "identity", **_header(part)})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise refused(answer.status_code)
        body: bytes = answer.content
        if part is not None and answer.status_code == HTTPStatus.OK:
            body = _part(body, part)
        elif part is None and answer.status_code != HTTPStatus.OK:
            raise DataUnreadable("the remote server answered with a part of a chunk that was asked for whole")
        return body

    def _url(self, key: str) -> str:
        """The address of a key. Raises DataUnreadable where it leads elsewhere."""
        names = key.split("/")
        if any(name in {".", ".."} or not _NAME.fullmatch(name) for name in names):
            raise DataUnreadable(f"no part of a Zarr group has the name {key[:60]!r}")
        path = "/".join([self._address.path.rstrip("/"), *(quote(name, safe="") for name in names)])
        return urlunsplit(self._address._replace(path=path, fragment=""))


def check_codecs(metadata: bytes) -> None:
    """Refuse metadata that name a codec which is not known to be harmless (numcodecs' pickle runs what it reads).

    Raises:
        DataUnreadable: They do, or are no JSON.
    """
    try:
        waiting = [orjson.loads(metadata)]
    except orjson.JSONDecodeError as error:
        raise DataUnreadable("the Zarr metadata are no JSON") from error
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        if not isinstance(found, dict):
            continue
        waiting += found.values()
        for place in _PLACES:
            listed = found.get(place)
            for codec in listed if isinstance(listed, list) else [listed]:
                name = codec.get("id", codec.get("name")) if isinstance(codec, dict) else codec
                if name is not None and str(name).removeprefix("numcodecs.") not in _CODECS:
                    raise DataUnreadable(f"the Zarr data are coded by {str(name)[:60]!r}, which is not read")


def _header(part: ByteRequest | None) -> dict[str, str]:
    if isinstance(part, RangeByteRequest):
        return {"Range": f"bytes={part.start}-{part.end - 1}"}
    if isinstance(part, OffsetByteRequest):
        return {"Range": f"bytes={part.offset}-"}
    return {"Range": f"bytes=-{part.suffix}"} if isinstance(part, SuffixByteRequest) else {}


def _part(body: bytes, part: ByteRequest) -> bytes:
    if isinstance(part, RangeByteRequest):
        return body[part.start : part.end]
    if isinstance(part, OffsetByteRequest):
        return body[part.offset :]
    return body[-part.suffix :] if part.suffix else b""
