"""What became of records between two moments, and what an operator undoes; pure functions that every store shares."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from catalog.errors import BadRequest, NotFound
from catalog.record import Record
from catalog.stores import Change, Diff, Run, State, What, _rules

COMPARED = tuple(name for name in Record.model_fields if name != "document_hash")
"""The fields in which two versions of a record may differ; a document's bytes are no difference (`Record.same`)."""

HELD: tuple[State, ...] = ("held", "released", "dropped")
"""The states of runs that were held once."""

_WHATS: tuple[What, ...] = ("new", "changed", "withdrawn", "restored")


def became(
    before: Record | None, after: Record | None, *, known: bool
) -> tuple[What, tuple[str, ...]] | None:
    """Tell what became of a record, and which fields of it changed; None: it is as it was.

    Args:
        before: The record at the first moment; None: withdrawn, or not there yet.
        after: The record at the second.
        known: Whether it had been there at or before the first moment.
    """
    if before is None:
        return None if after is None else ("restored" if known else "new", ())
    if after is None:
        return "withdrawn", ()
    fields = tuple(name for name in COMPARED if getattr(before, name) != getattr(after, name))
    return ("changed", fields) if fields else None


def ends(earlier: Run, later: Run) -> tuple[str, str]:
    """Return when two runs ended. Raises BadRequest where one has not, or they ended the other way round."""
    for run in (earlier, later):
        if run.ended is None:
            raise BadRequest(f"run {run.id} has not ended", hint="compare runs that have an end")
    since, until = str(earlier.ended), str(later.ended)
    if _rules.sortable(since) > _rules.sortable(until):
        raise BadRequest(
            f"run {earlier.id} ended at {since}, after run {later.id}",
            hint=f"compare {later.id} with {earlier.id}",
        )
    return since, until


def difference(earlier: Run, later: Run, changes: Sequence[Change], limit: int | None, offset: int) -> Diff:
    """Return the changes between two runs' ends as a page by id, with the counts of all."""
    since, until = ends(earlier, later)
    counted = Counter(change.what for change in changes)
    shown = sorted(changes, key=lambda change: change.id)
    return Diff(
        earlier=earlier.id,
        later=later.id,
        since=since,
        until=until,
        counts={what: counted[what] for what in _WHATS},
        changes=tuple(islice(shown, offset, None if limit is None else offset + limit)),
    )


def no_run(number: int) -> NotFound:
    """Return the error for a run that there is not."""
    return NotFound(f"there is no run {number}", hint="bienmo runs lists those there are")


def held(run: Run, newest: Run | None, wanted: State) -> bool:
    """Tell whether a held run has yet to be released or dropped; not, where just that was done.

    Args:
        run: The run.
        newest: The newest run of its source that was held once.
        wanted: `released` or `dropped`.

    Raises:
        BadRequest: It is not held, or a newer one is.
    """
    if run.state == wanted:
        return False
    if run.state != "held":
        raise BadRequest(
            f"run {run.id} of {run.source} is {run.state}, not held",
            hint="a rollback undoes what a run did: bienmo runs rollback RUN" if run.state in HELD else "",
        )
    assert newest is not None
    if newest.id != run.id:
        raise BadRequest(
            f"run {run.id} is not the newest held run of {run.source}: run {newest.id} is, and it is {newest.state}",
            hint="only of the newest held run is it known what has not been seen since",
        )
    return True


def released(run: Run, withdrawn: int, moment: str) -> Run:
    """Return a held run as it is once its withdrawals took place."""
    said = f"released at {moment}: {withdrawn} of {run.held} withdrawn"
    return run.model_copy(update={"state": "released", "withdrawn": withdrawn, "note": _noted(run, said)})


def dropped(run: Run, why: str) -> Run:
    """Return a held run as it is once it was decided that it withdraws nothing."""
    return run.model_copy(update={"state": "dropped", "note": _noted(run, f"dropped: {why}")})


def _noted(run: Run, said: str) -> str:
    return f"{run.note}; {said}" if run.note else said


def rolledback(number: int, run: Run, lasted: tuple[str, str], done: Iterable[What]) -> Run:
    """Return the run that a rollback is: a withdrawn record that is back counts as changed, as in a harvest."""
    counted = Counter(done)
    return Run(
        id=number,
        source=run.source,
        state="rolledback",
        started=lasted[0],
        ended=lasted[1],
        counts=_rules.counts(["changed"] * (counted["changed"] + counted["restored"])),
        withdrawn=counted["withdrawn"],
        restored=counted["restored"],
        note=f"back to what was there as run {run.id} started, at {run.started}",
        undoes=run.id,
    )


def last_complete(runs: Iterable[Run]) -> str | None:
    """Return when the last complete run of a source started that no rollback undid.

    Args:
        runs: The source's runs, newest first.
    """
    undone: int | None = None
    for run in runs:
        if undone is not None and run.id >= undone:
            continue
        if run.state == "rolledback":
            undone = run.undoes
        elif run.state == "complete":
            return run.started
    return None
