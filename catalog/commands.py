"""The command `bienmo runs`: what harvests did, and what an operator makes of it; and what all commands share."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from rich.console import Console
from rich.table import Column, Table
from typer.core import TyperGroup

from catalog.settings import Settings

PIPE_WIDTH = 240
"""Columns of a table that is printed to no terminal."""

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Data home; also BIENMO_HOME.", file_okay=False, show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print exactly what the API answers.")]
_Run = Annotated[int, typer.Argument(metavar="RUN", help="Its number, as `bienmo runs` tells.")]


class RunsGroup(TyperGroup):
    """Words of `runs`; anything else that follows it, or nothing, lists them: `bienmo runs sample --json`."""

    LISTING: ClassVar[str] = "list"

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Take what is no word of the group as what is to be listed."""
        named = args and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else [self.LISTING, *args])


runs = typer.Typer(
    cls=RunsGroup, name="runs", help="List the harvests; compare them, undo them, decide on held ones."
)


@runs.command()
def diff(
    earlier: Annotated[int, typer.Argument(metavar="A", help="The run that ended first.")],
    later: Annotated[int, typer.Argument(metavar="B", help="The other.")],
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Tell what became of the records of two runs' sources between the ends of the runs."""
    from catalog.interfaces import api

    with opened(home) as catalog:
        answer = api.diff(catalog, earlier, later, None)
    if as_json:
        print_json(answer)
        return
    table = Table("what", Column("id", no_wrap=True), "fields", box=None)
    for change in answer["changes"]:
        table.add_row(change["what"], change["id"], ", ".join(change["fields"]))
    out().print(table)
    said = ", ".join(f"{count} {what}" for what, count in answer["counts"].items())
    Console(stderr=True).print(f"{answer['since']} to {answer['until']}: {said}", highlight=False)


@runs.command()
def rollback(run: _Run, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Bring a source's records back to what they were before RUN; the next harvest may change them again."""
    with opened(home) as catalog:
        _tell(catalog.histories.rollback(run), as_json=as_json)


@runs.command()
def release(run: _Run, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Withdraw what the held RUN missed and no run has seen since."""
    with opened(home) as catalog:
        _tell(catalog.histories.release(run), as_json=as_json)


@runs.command()
def drop(run: _Run, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Mark the held RUN as dropped: it withdraws nothing."""
    with opened(home) as catalog:
        _tell(catalog.histories.drop(run), as_json=as_json)


def _tell(run: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(run.model_dump(mode="json"))
        return
    counted = f"{run.counts.changed} changed, {run.restored} of them restored, {run.withdrawn} withdrawn"
    out().print(f"run {run.id} of {run.source}: {run.state}; {counted}", markup=False, highlight=False)
    if run.note:
        Console(stderr=True).print(run.note, markup=False, highlight=False, soft_wrap=True)


def opened(home: Path | None) -> Any:
    """Open the catalog of a data home, without its sources' file."""
    from catalog.service import open_catalog

    return open_catalog(Settings() if home is None else Settings(home=home))


def out() -> Console:
    """Return the console of answers: as wide as the terminal, or wide enough for a pipe."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_json(answer: Any) -> None:
    """Print an answer as the API sends it."""
    from catalog.interfaces.api import dump

    sys.stdout.buffer.write(dump(answer) + b"\n")


def write_whole(output: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that is there whole or not at all. Raises OSError."""
    partial = output.with_name(f".{output.name}.part")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


__all__ = [
    "PIPE_WIDTH",
    "HomeOption",
    "JsonOption",
    "RunsGroup",
    "opened",
    "out",
    "print_json",
    "runs",
    "write_whole",
]
