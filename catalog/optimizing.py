"""Which datasets gain by a twin (`catalog.data.twins`), by how much, and making it."""

from collections.abc import Iterator, Mapping

from rich.progress import Progress

from catalog.data import tiling, twinning
from catalog.data.blocks import chunks_of
from catalog.data.grids import Grid
from catalog.data.shelf import identity
from catalog.data.tallies import DAYS, Tally
from catalog.data.twinning import Tell
from catalog.data.twins import Held
from catalog.errors import CatalogError, NotSubsettable
from catalog.record import Distribution, Model
from catalog.service import CHUNKED, Catalog, openable

PAYS = 3
"""A twin costs as much as inflating its source about three times: it is read twice, written and compared."""
UNUSED_SECONDS = 7 * 86_400
"""Twins used within so many seconds are not dropped for one that nobody asked for by name."""


class Layout(Model):
    """What one variable is read from.

    Args:
        chunks: The shape of the chunks.
        series_bytes: Bytes inflated for all times at one place.
        map_bytes: Bytes inflated for all places at one time.
    """

    chunks: tuple[int, ...]
    series_bytes: int
    map_bytes: int


class Plan(Model):
    """What a twin would change, or changes.

    Args:
        record: The record.
        variables: Each variable's layout in the source and in the twin.
        raw_bytes: Bytes of the values.
        asked: What the requests of the last thirty days came to.
        held: The twin that is there.
    """

    record: str
    variables: Mapping[str, tuple[Layout, Layout]]
    raw_bytes: int
    asked: Tally
    held: Held | None

    @property
    def pays(self) -> bool:
        """Whether another month like the last spares more than making the twin costs."""
        return self.asked.spared_bytes > PAYS * self.raw_bytes


def plan(catalog: Catalog, record_id: str) -> Plan:
    """Return what a twin of a dataset would change.

    Raises:
        NotFound, Withdrawn: There is no such record.
        NotSubsettable: Its data are not in local files that the server reads itself, or gain nothing by a twin.
        DataError: They cannot be read.
    """
    distribution, grid = _source(catalog, record_id)
    shapes = twinning.tiled(grid)
    if not shapes:
        raise NotSubsettable(
            f"{record_id} gains nothing by a twin",
            hint="a series touches few of its chunks already, or it has no axis of time",
        )
    return Plan(
        record=record_id,
        variables={name: _layouts(grid, name, shape) for name, shape in shapes.items()},
        raw_bytes=twinning.raw_bytes(grid, shapes),
        asked=catalog.tallies.read().get(record_id, Tally()),
        held=catalog.shelf.twins.held(identity(distribution)),
    )


def due(catalog: Catalog) -> Iterator[Plan]:
    """Yield plans of the datasets without a twin that are worth one, those that spare most for their size first."""
    found = []
    for record_id, asked in catalog.tallies.read().items():
        if asked.spared_bytes:
            try:
                found.append(plan(catalog, record_id))
            except CatalogError:  # it is gone, or cannot have one
                continue
    worth = [one for one in found if one.pays and one.held is None]
    yield from sorted(worth, key=lambda one: one.asked.spared_bytes / one.raw_bytes, reverse=True)


def optimize(catalog: Catalog, record_id: str, tell: Tell, *, unused_seconds: float = 0) -> Held:
    """Make a dataset's twin anew and check it. Raises as `plan` and `catalog.data.twinning.make`."""
    distribution, grid = _source(catalog, record_id)
    return twinning.make(
        catalog.shelf.twins,
        grid,
        distribution,
        identity(distribution),
        record_id,
        tell=tell,
        unused_seconds=unused_seconds,
    )


def check(catalog: Catalog, record_id: str, tell: Tell) -> bool:
    """Tell whether a dataset's twin is there and equals it; one that does not is removed. Raises as `plan`."""
    distribution, grid = _source(catalog, record_id)
    return twinning.check(catalog.shelf.twins, grid, identity(distribution), tell=tell)


def remove(catalog: Catalog, record_id: str) -> bool:
    """Remove a dataset's twin; tell whether there was one. Raises NotFound, Withdrawn, NotSubsettable, LeaseHeld."""
    twins = catalog.shelf.twins
    with twins.alone():
        return twins.drop(openable(catalog.store.get(record_id)).address)


def run(
    catalog: Catalog, record_id: str, bar: Progress, *, dry_run: bool = False, drop: bool = False
) -> Iterator[str]:
    """Do what the command `bienmo optimize` does, and yield the lines that tell of it.

    Args:
        catalog: The catalog.
        record_id: The dataset; empty for those whose requests pay a twin.
        bar: Shows how far it is.
        dry_run: Only tell.
        drop: Remove the twin.

    Raises:
        CatalogError: As `plan`, `optimize` and `remove`; of those that nobody named, one that fails is told of.
    """
    if drop:
        gone = remove(catalog, record_id)
        yield f"{record_id}: {'its twin is removed' if gone else 'it has no twin'}"
        return
    if record_id:
        known = plan(catalog, record_id)
        yield from _told(known)
        yield from () if dry_run else _made(catalog, known, bar)
        return
    plans = tuple(due(catalog))
    yield "" if plans else "no dataset without a twin was asked for in a way that pays one"
    for known in plans:
        yield from _told(known)
        try:
            yield from () if dry_run else _made(catalog, known, bar, unused_seconds=UNUSED_SECONDS)
        except CatalogError as error:
            yield f"{known.record}: {error.message}"


def _told(known: Plan) -> Iterator[str]:
    """What a plan says."""
    for name, (before, after) in known.variables.items():
        yield f"{known.record}: {name} in chunks of {_by(before.chunks)}; in a twin of {_by(after.chunks)}"
        for what, one, other in (
            ("a series at a point", before.series_bytes, after.series_bytes),
            ("a map of one time", before.map_bytes, after.map_bytes),
        ):
            least = min(one, other)
            yield f"  {what} inflates {one / 1e6:,.1f} MB; with the twin {least / 1e6:,.1f} MB"
    asked = known.asked
    yield (
        f"  in {DAYS} days {asked.requests:,} requests inflated {asked.ratio:,.1f} times what they gave; a twin of all "
        f"{known.raw_bytes / 1e6:,.1f} MB spares {asked.spared_bytes / 1e6:,.1f} MB of it"
    )


def _made(catalog: Catalog, known: Plan, bar: Progress, *, unused_seconds: float = 0) -> Iterator[str]:
    """Make a twin, or check the one that is there."""
    task = bar.add_task(known.record)

    def tell(done: int, whole: int) -> None:
        bar.update(task, completed=done, total=whole)

    if known.held is not None and check(catalog, known.record, tell):
        size = known.held.size
        yield f"{known.record}: its twin of {size / 1e6:,.1f} MB on disk equals it, every value was compared"
        return
    if known.held is not None:
        yield f"{known.record}: its twin was not equal to it, and is made anew"
    held = optimize(catalog, known.record, tell, unused_seconds=unused_seconds)
    size = held.size
    yield f"{known.record}: made a twin of {size / 1e6:,.1f} MB on disk; every value was compared with the source"


def _by(chunks: tuple[int, ...]) -> str:
    return " × ".join(map(str, chunks))


def _source(catalog: Catalog, record_id: str) -> tuple[Distribution, Grid]:
    distribution = openable(catalog.store.get(record_id))
    grid = catalog.shelf.grid(distribution) if distribution.protocol in CHUNKED else None
    if grid is None:
        raise NotSubsettable(
            f"{record_id} cannot have a twin: the server does not read its data itself",
            hint="twins are of local NetCDF-4, HDF5 and Zarr whose filters the chunk index knows",
        )
    return distribution, grid


def _layouts(grid: Grid, name: str, shape: tiling.Shape) -> tuple[Layout, Layout]:
    variable, time = grid.dataset.variables[name], grid.time or ""
    first, second = (
        Layout(
            chunks=chunks,
            series_bytes=tiling.series_bytes(variable, time, chunks),
            map_bytes=tiling.map_bytes(variable, time, chunks),
        )
        for chunks in (chunks_of(variable) or shape, shape)
    )
    return first, second
