"""The commands `bienmo same`, `merge` and `unmerge`: which records are one dataset, and what an operator says of it."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from catalog.commands import HomeOption, JsonOption, RunsGroup, opened, out, print_json

same_commands = typer.Typer()


class _SameGroup(RunsGroup):
    """What follows `same` and is no word of it is a dataset; nothing lists the groups."""

    LISTING: ClassVar[str] = "show"


_same = typer.Typer(cls=_SameGroup, name="same", help="List the groups of records that are one dataset.")
same_commands.add_typer(_same)


@_same.command("show")
def show_same(
    record_id: Annotated[
        str, typer.Argument(metavar="[ID]", help="A dataset, to see its group and why; all if none.")
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """List the groups of records that are one dataset, or one group with the evidence."""
    from catalog.interfaces import same as api  # noqa: PLC0415 - a command imports when it runs

    with opened(home) as catalog:
        if record_id:
            answer: Any = api.same(catalog, record_id)
            groups = [answer] if answer["records"] else []
        else:
            groups = [api.told(catalog, group) for group in catalog.tying.groups()]
            answer = {"groups": groups}
    if as_json:
        print_json(answer)
        return
    out().print(_table(groups, evidence=bool(record_id)))
    Console(stderr=True).print(f"{len(groups)} group{'s' * (len(groups) != 1)}", highlight=False)


@_same.command("find")
def find_same(
    again: Annotated[  # noqa: FBT002
        bool, typer.Option("--again", help="Compare all records, not only changed ones.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Look for records that are one dataset, as each harvest does at its end."""
    with opened(home) as catalog:
        passed = catalog.tying.look(again=again)
    out().print(f"{passed.judged} records compared, {passed.tied} new ties", highlight=False)


@same_commands.command()
def merge(
    leader: Annotated[str, typer.Argument(metavar="LEADER", help="The record that is shown for both.")],
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="The other.")],
    home: HomeOption = None,
) -> None:
    """Say that two records are one dataset."""
    with opened(home) as catalog:
        group = catalog.tying.merge(leader, member)
    members = ", ".join(tie.member for tie in group.ties)
    out().print(f"{group.leader} is shown for {members}", markup=False, highlight=False, soft_wrap=True)


@same_commands.command()
def unmerge(
    record_id: Annotated[str, typer.Argument(metavar="ID", help="The record that is a dataset of its own.")],
    home: HomeOption = None,
) -> None:
    """Say that a record is not the dataset that it was merged with; later harvests leave it so."""
    with opened(home) as catalog:
        ended = catalog.tying.unmerge(record_id)
    others = sorted({one for tie in ended for one in (tie.leader, tie.member)} - {record_id})
    said = f"no longer merged with {', '.join(others)}" if others else "was merged with nothing"
    out().print(f"{record_id}: {said}", markup=False, highlight=False, soft_wrap=True)


def _table(groups: Iterable[Any], *, evidence: bool) -> Table:
    table = Table(
        Column("shown", no_wrap=True),
        Column("is also", no_wrap=True),
        "by",
        "score",
        *["why"] * evidence,
        box=None,
    )
    for group in groups:
        for tie in group["ties"]:
            why = [escape("; ".join(tie["evidence"]))] * evidence
            table.add_row(group["leader"], tie["member"], tie["by"], f"{tie['score']:.2f}", *why)
    return table


__all__ = ["same_commands"]
