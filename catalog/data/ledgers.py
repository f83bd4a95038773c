"""A chunk index as bytes, and back: whatever the bytes, what comes back is an index that fits together, or nothing."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from catalog.data.contents import Index, Variable
from catalog.data.layouts import MOST_RANK, Chunks, Place, Plain, Stored
from catalog.data.sealing import Array, Sealed, Sealer
from catalog.errors import DataUnreadable

_Number = Annotated[int, pydantic.Field(ge=0, lt=1 << 62)]
_Shape = Annotated[tuple[_Number, ...], pydantic.Field(max_length=MOST_RANK)]
_Table = tuple[tuple[str, _Shape, _Number], ...]
_Pairs = tuple[tuple[str, Any], ...]
_TUPLES = frozenset({"chunksizes", "chunks", "original_shape", "groups"})
_SETS = frozenset({"unlimited_dims"})
_DTYPE = re.compile(r"[<>|][biufcSU]\d{1,7}|\|O")
_STORED_DTYPE = re.compile(r"[<>|][biufS]\d")
_MOST_TEXT = 1 << 28


class _Form(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True)


class _Plain(_Form):
    offset: _Number | None
    strides: _Shape


class _Place(_Form):
    folder: tuple[str, ...]
    prefix: tuple[str, ...]
    separator: str
    scalar: tuple[str, ...]


class _Chunks(_Form):
    chunk: _Shape
    filters: tuple[tuple[str, int], ...]
    offsets: int
    sizes: int
    masks: int
    mtimes: int | None
    place: _Place | None


class _Stored(_Form):
    shape: _Shape
    dtype: str
    fill: str
    plain: _Plain | None
    chunks: _Chunks | None


class _Variable(_Form):
    name: str
    dims: tuple[str, ...]
    shape: _Shape
    dtype: tuple[str, Any]
    attributes: _Pairs
    encoding: _Pairs
    values: int | None
    texts: tuple[str, ...] | None
    stored: _Stored | None


class _Index(_Form):
    form: Literal["netcdf3", "netcdf4", "zarr"]
    size: _Number
    mtime_ns: int
    attributes: _Pairs
    encoding: _Pairs
    sizes: tuple[tuple[str, _Number], ...]
    files: tuple[tuple[tuple[str, ...], _Number, int], ...]
    variables: tuple[_Variable, ...]
    arrays: _Table


def written(index: Index) -> bytes:
    """Return the bytes of an index.

    Raises:
        TypeError: An attribute or a value has a type for which there is no form.
    """
    sealer = Sealer()
    return sealer.sealed(
        {
            "form": index.form,
            "size": index.size,
            "mtime_ns": index.mtime_ns,
            "attributes": [[name, _value(sealer, value)] for name, value in index.attributes.items()],
            "encoding": _encoding(sealer, index.encoding),
            "sizes": [list(pair) for pair in index.sizes.items()],
            "files": index.files,
            "variables": [_variable(sealer, variable) for variable in index.variables],
        }
    )


def read(data: bytes) -> Index:
    """Return the index that `written` wrote.

    Raises:
        DataUnreadable: The bytes are damaged, or no index that fits together.
    """
    try:
        sealed = Sealed(data)
        found = _Index.model_validate_json(sealed.document)
        reader = _Reader(sealed, found.arrays)
        index = Index(
            form=found.form,
            size=found.size,
            mtime_ns=found.mtime_ns,
            attributes=reader.pairs(found.attributes),
            encoding=reader.encoding(found.encoding),
            sizes=dict(found.sizes),
            variables=tuple(reader.variable(variable) for variable in found.variables),
            files=found.files,
        )
        index.check()
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        said = f"the chunk index is damaged: {str(error)[:200]}"
        raise DataUnreadable(said, hint="index the file again") from error
    return index


def _value(sealer: Sealer, value: Any) -> list[Any]:  # noqa: PLR0911 - a return a form
    """An attribute's value as the document has it, of exactly its type."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO":
        return ["texts", value.dtype.str, list(value.shape), _texts(value)]
    if isinstance(value, np.ndarray):
        return ["array", sealer.array(value)]
    if isinstance(value, np.str_):
        return ["str_", str(value)]
    if isinstance(value, np.generic):
        return ["scalar", sealer.array(np.asarray(value))]
    if isinstance(value, np.dtype):
        return ["dtype", _dtype(value)]
    if value is str:
        return ["dtype", ["str", None]]
    if not _is_plain(value):
        raise TypeError(f"no form for values of the type {type(value).__name__}")
    return ["plain", value]


def _is_plain(value: Any) -> bool:
    """Tell whether a value is just what JSON makes of it."""
    if isinstance(value, list):
        return type(value) is list and all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in {str, bool, int, float}


def _texts(values: Array) -> list[str]:
    found = [str(text) for text in values.ravel().tolist() if isinstance(text, str)]
    if len(found) != values.size:
        raise TypeError("no form for objects that are no text")
    return found


def _dtype(dtype: np.dtype[Any]) -> list[Any]:
    """A type: its code, and what xarray notes of it (the members of an enumeration; that objects are text)."""
    notes = dict(dtype.metadata or {})
    if notes.pop("element_type", None) is str:
        return ["vlen", None]
    if "enum" in notes:
        notes["enum"] = {str(name): int(number) for name, number in notes["enum"].items()}
    if dtype.kind == "T" or not (_DTYPE.fullmatch(dtype.str) and _is_plain(notes)):
        raise TypeError(f"no form for the type {dtype}")
    return [dtype.str, notes or None]


def _encoding(sealer: Sealer, encoding: Mapping[str, Any]) -> list[Any]:
    """The pairs of an encoding; tuples and sets are lists there, and what has no form is left out."""
    found = []
    for name, value in encoding.items():
        plain = sorted(value) if name in _SETS else list(value) if isinstance(value, tuple) else value
        try:
            found.append([name, _value(sealer, plain)])
        except TypeError:
            continue
    return found


def _variable(sealer: Sealer, variable: Variable) -> dict[str, Any]:
    values = variable.values
    is_text = values is not None and values.dtype.kind in "OU"
    return {
        "name": variable.name,
        "dims": variable.dims,
        "shape": variable.shape,
        "dtype": _dtype(variable.dtype),
        "attributes": [[name, _value(sealer, value)] for name, value in variable.attributes.items()],
        "encoding": _encoding(sealer, variable.encoding),
        "values": None if values is None or is_text else sealer.array(values),
        "texts": _texts(values) if values is not None and is_text else None,
        "stored": None if variable.stored is None else _stored(sealer, variable.stored),
    }


def _stored(sealer: Sealer, stored: Stored) -> dict[str, Any]:
    layout = stored.layout
    plain = chunks = None
    if isinstance(layout, Plain):
        plain = {"offset": layout.offset, "strides": layout.strides}
    else:
        place = layout.place
        chunks = {
            "chunk": layout.chunk,
            "filters": layout.filters,
            "offsets": sealer.array(layout.offsets),
            "sizes": sealer.array(layout.sizes),
            "masks": sealer.array(layout.masks),
            "mtimes": None if layout.mtimes is None else sealer.array(layout.mtimes),
            "place": place
            and {name: getattr(place, name) for name in ("folder", "prefix", "separator", "scalar")},
        }
    return {
        "shape": stored.shape,
        "dtype": stored.dtype.str,
        "fill": stored.fill.hex(),
        "plain": plain,
        "chunks": chunks,
    }


class _Reader:
    """Makes the parts of an index from those of its document. Every method raises ValueError or TypeError."""

    def __init__(self, sealed: Sealed, table: _Table) -> None:
        self._sealed, self._table = sealed, table

    def array(self, number: int) -> Array:
        if not 0 <= number < len(self._table):
            raise ValueError("an array that is not there")
        return self._sealed.array(self._table[number])

    def pairs(self, pairs: _Pairs) -> dict[str, Any]:
        return {name: self.value(value) for name, value in pairs}

    def encoding(self, pairs: _Pairs) -> dict[str, Any]:
        found = self.pairs(pairs)
        found |= {name: tuple(found[name]) for name in _TUPLES & set(found) if found[name] is not None}
        return found | {name: set(found[name]) for name in _SETS & set(found)}

    def value(self, value: Any) -> Any:  # noqa: PLR0911 - a return a form
        match value:
            case ["plain", plain]:
                return plain
            case ["str_", str(text)]:
                return np.str_(text)
            case ["array", int(number)]:
                return self.array(number).copy()
            case ["scalar", int(number)]:
                return self.array(number).reshape(())[()]
            case ["texts", str(kind), [*shape], [*texts]]:
                return self.texts(texts, self.dtype(kind, None), tuple(shape))
            case ["dtype", ["str", None]]:
                return str
            case ["dtype", [str(kind), notes]]:
                return self.dtype(kind, notes)
        raise ValueError("a value of no known form")

    def dtype(self, kind: str, notes: Any) -> np.dtype[Any]:
        if kind == "vlen":
            return np.dtype("O", metadata={"element_type": str})
        if not _DTYPE.fullmatch(kind) or not isinstance(notes, dict | None):
            raise ValueError("a type of no known form")
        return np.dtype(kind, metadata=notes) if notes else np.dtype(kind)

    def texts(self, texts: Sequence[Any], dtype: np.dtype[Any], shape: tuple[Any, ...]) -> Array:
        if dtype.kind not in "OU" or not all(isinstance(text, str) for text in texts):
            raise ValueError("texts that are none")
        if dtype.itemsize * len(texts) > _MOST_TEXT:
            raise ValueError("texts that are too long")
        return np.array(texts, dtype).reshape(shape)

    def variable(self, found: _Variable) -> Variable:
        dtype = self.dtype(*found.dtype)
        values = None if found.values is None else self.array(found.values)
        if found.texts is not None:
            values = self.texts(found.texts, dtype, found.shape)
        return Variable(
            name=found.name,
            dims=found.dims,
            shape=found.shape,
            dtype=dtype,
            attributes=self.pairs(found.attributes),
            encoding=self.encoding(found.encoding),
            values=values,
            stored=None if found.stored is None else self.stored(found.stored),
        )

    def stored(self, found: _Stored) -> Stored:
        if not _STORED_DTYPE.fullmatch(found.dtype):
            raise ValueError("cells of no known type")
        layout: Plain | Chunks
        if found.plain is not None:
            layout = Plain(found.plain.offset, found.plain.strides)
        elif found.chunks is not None:
            layout = self.chunks(found.chunks)
        else:
            raise ValueError("cells that lie nowhere")
        return Stored(found.shape, np.dtype(found.dtype), bytes.fromhex(found.fill), layout)

    def chunks(self, found: _Chunks) -> Chunks:
        place = found.place
        return Chunks(
            chunk=found.chunk,
            filters=found.filters,
            offsets=self.array(found.offsets),
            sizes=self.array(found.sizes),
            masks=self.array(found.masks),
            mtimes=None if found.mtimes is None else self.array(found.mtimes),
            place=None if place is None else Place(place.folder, place.prefix, place.separator, place.scalar),
        )
