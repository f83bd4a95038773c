"""Every local dataset as a virtual Zarr store: /api/datasets/{id}/zarr, for xarray.open_zarr, GDAL and browsers."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import xarray as xr
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from catalog.crediting import credited, credits_of
from catalog.data import opening
from catalog.data.blocks import chunks_of
from catalog.errors import BadRequest, NotSubsettable, TooLarge
from catalog.formats import zarr
from catalog.interfaces._describing import PROBLEMS, Id, answers
from catalog.interfaces._sending import INERT
from catalog.record import Distribution
from catalog.service import CHUNKED, Catalog

Key = Annotated[str, Path(description="A member of the store: .zmetadata, name/.zarray, name/0.0.0.")]


def member(catalog: Catalog, record_id: str, key: str, *, client: str = "") -> bytes:
    """Return a member of a dataset's store.

    Raises:
        NotFound, Withdrawn: No such record or member.
        NotSubsettable: The data are not in local files.
        TooLarge: A chunk of the source is larger than may be inflated.
        DataError, TooBusy: As `Catalog.subset`.
    """
    record = catalog.store.get(record_id)
    distribution = catalog.way(record)
    if distribution.protocol not in CHUNKED:
        raise NotSubsettable(
            f"{record_id} is not served as Zarr: its data are not in local files",
            hint=f"ask for /api/datasets/{record_id}/subset.zarr",
        )
    limit, known = catalog.settings.max_decoded_bytes, credits_of(record)
    with catalog.turn(client) as give_back:
        grid = catalog.shelf.grid(distribution)
        if grid is not None:
            store = grid.keep(("zarr", *known.values()), lambda: _store(grid.dataset, known))
            found = _member(*store, key, limit)
        else:
            file = (distribution.address, distribution.size)
            with catalog.workers.spool(_read, distribution, known, key, limit, key=file) as spool:
                found = b"".join(spool.pieces())
        give_back()
    return found


def _read(distribution: Distribution, known: Mapping[str, str], key: str, limit: int) -> Iterator[bytes]:
    """A member, in a worker process."""
    with opening.opened(distribution, opening.Reach()) as dataset:
        yield _member(*_store(dataset, known), key, limit)


def _store(dataset: xr.Dataset, known: Mapping[str, str]) -> tuple[xr.Dataset, dict[str, Any]]:
    """The arrays of a dataset that Zarr holds, and the store's metadata."""
    names = [
        name
        for name, variable in dataset.variables.items()
        if len(set(variable.dims)) == variable.ndim and variable.dtype.kind in "iufbOSUT"
    ]
    shown = credited(dataset[names], known)
    return shown, zarr.documents(shown)


def _member(dataset: xr.Dataset, metadata: Mapping[str, Any], key: str, limit: int) -> bytes:
    variable = dataset.variables.get(key.rpartition("/")[0])
    if variable is not None and key not in metadata:
        size = math.prod(chunks_of(variable) or zarr.chunk_shape(variable)) * variable.dtype.itemsize
        if size > limit:
            raise TooLarge(
                f"a chunk of the source is {size} bytes, and {limit} are allowed",
                hint="raise BIENMO_MAX_DECODED_BYTES",
                details={"limit": limit, "asked": size, "setting": "BIENMO_MAX_DECODED_BYTES"},
            )
    return zarr.member(dataset, key, metadata)


def router(catalog: Catalog) -> APIRouter:
    """Return the routes of the stores."""
    routes = APIRouter()

    @routes.get(
        "/api/datasets/{record_id}/zarr/{key:path}",
        tags=["subsets"],
        response_class=Response,
        responses=answers(["application/octet-stream", "application/json"], *PROBLEMS),
    )
    def get_member(request: Request, record_id: Id, key: Key) -> Response:
        """Return a member of a dataset's Zarr store: metadata as JSON, or a chunk."""
        if request.query_params:
            raise BadRequest("this address takes no parameters")
        is_document = key.rpartition("/")[2].startswith(".")
        media = "application/json" if is_document else "application/octet-stream"
        client = request.client.host if request.client else ""
        found = member(catalog, record_id, key, client=client)
        return Response(found, media_type=media, headers=INERT)

    return routes
