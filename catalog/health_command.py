"""The command `bienmo health`: are the data there that records lead to?"""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from catalog.commands import HomeOption, JsonOption, opened, out, print_json


def health(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]…", help="Records; those not probed for longest if none."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0, help="Begin nothing after so long; else BIENMO_HEALTH_SECONDS.", show_default=False
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most records.", show_default=False)] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Read a cell of the data that records lead to: are they there, and as new as they promise?"""
    from catalog.healths import STATES, shown  # noqa: PLC0415 - a command imports when it runs
    from catalog.probing import Prober  # noqa: PLC0415

    errors = Console(stderr=True)
    found = []
    with opened(home) as catalog, errors.status("probing") as status:
        for one in Prober(catalog).run(names or (), seconds=seconds, limit=limit):
            found.append(shown(one))
            status.update(f"probing: {len(found)} done")
    found.sort(key=lambda one: (-STATES.index(one.state), one.id))
    if as_json:
        print_json({"health": [one.model_dump(mode="json") for one in found]})
        return
    table = Table(Column("id", no_wrap=True), "state", "newest", "address", "said", box=None)
    for one in found:
        table.add_row(one.id, one.state, (one.newest or "")[:10], escape(one.address), escape(one.reason))
    out().print(table)
    counts = [f"{sum(one.state == state for one in found)} {state}" for state in STATES]
    errors.print(", ".join(counts), highlight=False)
