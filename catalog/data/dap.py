"""Data of a DAP2 server (OPeNDAP, ERDDAP griddap), cut there: only the hyperslabs that are asked for are sent.

"The Data Access Protocol, DAP 2.0" (ESE-RFC-004.1.2): a constraint expression names variables, each with
`[start:stride:stop]`, stop included, for every dimension (§4.4.1). pydap reads descriptions and answers; it makes
connections of its own whatever session it is given, so it is given an application to ask instead, which leaves it no
way to the network but the guarded one.
"""

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from catalog.data.keys import Along, along, returned
from catalog.data.remote import Link
from catalog.data.undecoded import undecoded
from catalog.errors import CatalogError, DataUnreadable, NotSubsettable

MOST_TOGETHER = 4_000_000
"""Bytes that are asked for at once, of all variables together."""

_MOST_PIECES = 16
_Slices = tuple[tuple[int, int, int], ...]
_Asked = tuple[str, _Slices]
_Array = npt.NDArray[Any]


@contextlib.contextmanager
def opened(link: Link, address: str) -> Iterator[xr.Dataset]:
    """Open a DAP2 address as an undecoded, lazy dataset; its coordinates are read, in one request, where they are few.

    Raises:
        NotSubsettable: It is no such address. DataUnreadable: The answer is none of DAP2. Others as `Link.get`.
    """
    place = urlsplit(address)
    path = place.path.removesuffix(".html")
    if place.scheme not in {"http", "https"} or path.endswith(".dmrpp"):
        raise NotSubsettable("the address is no OPeNDAP address of http or https")
    plain = urlunsplit((place.scheme, place.netloc, path, place.query, ""))
    with _said():
        import pydap.client  # noqa: PLC0415 - it is slow to import, and not for whoever reads files only

        described = pydap.client.open_url(plain, application=_application(link, place), output_grid=False)
        dataset = undecoded(_store(described))
    server = Server(link, plain)
    arrays = {
        name: _array(server, described, str(name), dataset.variables[name]) for name in dataset.variables
    }
    lines = [a for name, a in arrays.items() if a is not None and dataset.variables[name].dims == (name,)]
    server.ask_together(
        [(one.name, _whole(one.shape)) for one in lines if one.shape[0]], [one.dtype for one in lines]
    )
    for name, array in arrays.items():
        if array is not None:
            dataset.variables[name].data = indexing.LazilyIndexedArray(array)
    with dataset:
        yield dataset


def ask_together(part: xr.Dataset) -> None:
    """Ask for all that a lazy part of such a dataset reads in one request, where it is little; for others do nothing.

    What comes is kept for as long as the dataset is open. Raises as reading the variables.
    """
    asked: dict[Server, list[tuple[_Asked, Any]]] = {}
    for variable in part.variables.values():
        data = variable._data  # noqa: SLF001 - `data` would read it
        if isinstance(data, indexing.LazilyIndexedArray) and isinstance(data.array, Hyperslabs):
            array = data.array
            for piece in pieces([along(k, n) for k, n in zip(data.key.tuple, array.shape, strict=True)]):
                asked.setdefault(array.server, []).append(((array.name, piece.slices), array.dtype))
    for server, listed in asked.items():
        server.ask_together([one for one, _ in listed], [dtype for _, dtype in listed])


class Server:
    """One dataset of a DAP2 server: hyperslabs by name, each asked for once where it is kept.

    Args:
        link: The way there.
        address: Of the dataset, without suffix; a query is kept.
    """

    def __init__(self, link: Link, address: str) -> None:
        self._link, self._place = link, urlsplit(address)
        self._kept: dict[_Asked, _Array] = {}

    def hyperslab(self, name: str, slices: _Slices) -> _Array:
        """Return the cells at (start, stride, stop) along each dimension, stop included. Raises DataUnreadable."""
        found = self._kept.get((name, slices))
        return self._got([(name, slices)])[0] if found is None else found

    def ask_together(self, asked: Sequence[_Asked], dtypes: Sequence[Any]) -> None:
        """Ask for hyperslabs in one request and keep them, where they are little, and each of another variable."""
        sizes = [
            int(np.prod(_shape(slices), dtype=object)) * dtype.itemsize
            for (_, slices), dtype in zip(asked, dtypes, strict=False)
        ]
        wanted = [one for one in asked if one not in self._kept]
        if not wanted or sum(sizes) > MOST_TOGETHER or len({name for name, _ in wanted}) < len(wanted):
            return
        self._kept |= dict(zip(wanted, self._got(wanted), strict=True))

    def _got(self, asked: Sequence[_Asked]) -> list[_Array]:
        expression = ",".join(quote(name, safe="._~-") + _written(slices) for name, slices in asked)
        query = "&".join(part for part in (expression, self._place.query) if part)
        body = self._link.content(
            urlunsplit(self._place._replace(path=self._place.path + ".dods", query=query))
        )
        with _said():
            found = _read(body)
        arrays = []
        for name, slices in asked:
            array = found.get(name)
            if array is None or array.shape != _shape(slices):
                raise DataUnreadable(
                    f"the remote server answered with another part of {name[:60]} than was asked for"
                )
            arrays.append(array)
        return arrays


class Hyperslabs(BackendArray):
    """The cells of a variable there.

    Args:
        server: Who has them.
        name: The variable's full name, `grid.array` for the array of a grid.
        shape: Its shape.
        dtype: Type of its cells, in this machine's byte order.
    """

    def __init__(self, server: Server, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.server, self.name, self.shape, self.dtype = server, name, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the cells at a key."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> _Array:
        asked = [along(part, size) for part, size in zip(key, self.shape, strict=True)]
        found = np.empty([one.count for one in asked], self.dtype)
        for piece in pieces(asked) if found.size else ():
            cells = self.server.hyperslab(self.name, piece.slices)
            for axis, chosen in enumerate(piece.chosen):
                cells = cells if chosen is None else np.take(cells, chosen, axis)
            found[piece.at] = cells
        return returned(found, asked)


@dataclass(frozen=True, slots=True)
class Piece:
    """A hyperslab that holds some of what is asked for.

    Args:
        at: Where in the answer its cells go.
        slices: (start, stride, stop) along each dimension, stop included.
        chosen: Which of its indices along each dimension are asked for; None for all.
    """

    at: tuple[slice, ...]
    slices: _Slices
    chosen: tuple[npt.NDArray[np.intp] | None, ...]


def pieces(asked: Sequence[Along]) -> list[Piece]:
    """Return the hyperslabs that hold what is asked for.

    Indices at various distances are asked for by runs of one distance; where those were too many, with what lies
    between them.
    """
    runs = [_runs(one) for one in asked]
    if np.prod([len(one) for one in runs], dtype=object) > _MOST_PIECES:
        runs = [[_span(one)] for one in asked]
    return [
        Piece(*zip(*chosen, strict=True)) if chosen else Piece((), (), ())
        for chosen in itertools.product(*runs)
    ]


_Run = tuple[slice, tuple[int, int, int], npt.NDArray[np.intp] | None]


def _span(one: Along) -> _Run:
    """All from the first index to the last, with those that are asked for."""
    if one.indices is None:
        return _runs(one)[0]
    return slice(0, one.count), (one.first, 1, one.last), one.indices - one.first


def _runs(one: Along) -> list[_Run]:
    """Ranges of one distance along a dimension."""
    if one.indices is None:
        return [(slice(0, one.count), (one.first, max(1, one.step), one.last), None)]
    found: list[_Run] = []
    start, indices = 0, one.indices.tolist()
    while start < len(indices):
        stop = start + 1
        step = indices[stop] - indices[start] if stop < len(indices) else 1
        while stop < len(indices) and indices[stop] - indices[stop - 1] == step:
            stop += 1
        found.append((slice(start, stop), (indices[start], step, indices[stop - 1]), None))
        start = stop
    return found


def _shape(slices: _Slices) -> tuple[int, ...]:
    return tuple((stop - start) // stride + 1 for start, stride, stop in slices)


def _whole(shape: tuple[int, ...]) -> _Slices:
    return tuple((0, 1, size - 1) for size in shape)


def _written(slices: _Slices) -> str:
    """The slices as they stand in an address; newer servers refuse brackets that are not encoded (RFC 3986)."""
    return "".join(f"%5B{start}:{stride}:{stop}%5D" for start, stride, stop in slices)


def _store(described: Any) -> Any:
    make: Any = xr.backends.PydapDataStore
    return make(described)


def _array(server: Server, described: Any, name: str, variable: xr.Variable) -> Hyperslabs | None:
    """The cells of a variable of numbers; None for text, which pydap reads."""
    if variable.dtype.kind not in "iuf" or not variable.ndim:
        return None
    known = described[name]
    full = getattr(known, "array", known).id if hasattr(known, "maps") else known.id
    return Hyperslabs(server, full, variable.shape, variable.dtype.newbyteorder("="))


def _read(body: bytes) -> dict[str, _Array]:
    """The arrays of an answer by full name (ESE-RFC-004.1.2 §6.2: description, a line, XDR)."""
    from pydap.handlers.dap import old_BytesReader, unpack_dap2_data  # noqa: PLC0415 - as above
    from pydap.lib import walk  # noqa: PLC0415
    from pydap.model import BaseType  # noqa: PLC0415
    from pydap.parsers.dds import dds_to_dataset  # noqa: PLC0415

    head, line, data = body.partition(b"\nData:\n")
    if not line:
        raise DataUnreadable("the remote server's answer has no data")
    dataset = dds_to_dataset(_text(head))
    dataset.data = unpack_dap2_data(old_BytesReader(data), dataset)
    found = {known.id: np.asarray(known.data) for known in walk(dataset, BaseType)}
    return {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in found.items()}


def _application(link: Link, place: Any) -> Callable[..., list[bytes]]:
    """What pydap asks instead of the network; texts are given to it as UTF-8, whatever the server wrote."""

    def application(environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        asked = quote(environ["PATH_INFO"].encode("latin-1"))
        body = link.content(f"{place.scheme}://{place.netloc}{asked}?{environ['QUERY_STRING']}".rstrip("?"))
        if asked.endswith((".dds", ".das")):
            body = _text(body).encode()
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return application


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Say what pydap meets in an answer: it raises any exception."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that DAP2 is old
            yield
    except CatalogError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        said = f"the remote server's answer cannot be read: {type(error).__name__}: {first}"
        raise DataUnreadable(said[:300]) from error
