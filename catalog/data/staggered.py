"""Grids of several positions, of which some do not hold a place: their variables are left out, and it is said.

On a staggered grid (ROMS, NEMO) the outermost velocities lie half a cell beyond the outermost centres, so that a place
at the edge may be in the grid of some variables only. Where none is asked for by name, those that it is in are given.
"""

from collections.abc import Collection
from dataclasses import dataclass

from catalog.data.grids import Grid
from catalog.data.positions import Pair, pair_of


@dataclass(frozen=True)
class Missed:
    """What is left out.

    Args:
        wanted: The variables that are left out.
        beside: Their positions, and what else lies only on grids that are left out.
        kept: The variables that are given.
    """

    wanted: tuple[str, ...]
    beside: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def dropped(self) -> tuple[str, ...]:
        """All names that the part does not have."""
        return (*self.wanted, *self.beside)

    def note(self, why: str) -> str:
        """Return the sentence that the answer must say, with the reason."""
        return f"without {', '.join(self.wanted)}: {why}"[:600]


def missed(grid: Grid, pairs: Collection[Pair], names: Collection[str]) -> Missed | None:
    """Return what is left out where some pairs of coordinates do not hold a place; None where nothing would be left.

    Args:
        grid: The data.
        pairs: Those of the variables that do not hold it.
        names: All variables that are wanted, none of them asked for by name.
    """
    variables = grid.dataset.variables
    own = {name: pair for name in names if (pair := pair_of(grid, name)) is not None}
    held = {pair for pair in own.values() if pair not in pairs}
    if not held:
        return None
    lost = {d for pair in pairs for part in pair for d in variables[part].dims}
    lost -= {d for pair in held for part in pair for d in variables[part].dims}
    gone = {str(name) for name, variable in variables.items() if lost & set(variable.dims)}
    gone |= {name for name, pair in own.items() if pair in pairs}
    beside = {part for pair in pairs for part in pair} - {part for pair in held for part in pair}
    wanted = tuple(name for name in names if name in gone | beside)
    kept = tuple(name for name in names if name not in wanted)
    return Missed(wanted, tuple(sorted((gone | beside) - set(wanted))), kept)
