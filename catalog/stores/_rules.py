"""The arithmetic that every store shares: ids, outcomes, leases, retirement and order; pure functions."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from catalog import vocabulary
from catalog.errors import LeaseHeld, LeaseLost, NotFound, Withdrawn
from catalog.instant import canonical, now, of_seconds, seconds
from catalog.record import Record
from catalog.search import Hit, Query, exact_tokens, tokens
from catalog.source import slug
from catalog.stores import Counts, Entry, Health, Lease, Run, State

Outcome = Literal["quarantined", "unchanged", "changed", "restored", "new"]
"""What a sighting of a dataset did, the lesser first: of two sightings in one run the greater counts."""

OUTCOMES: tuple[Outcome, ...] = ("quarantined", "unchanged", "changed", "restored", "new")
KEY_LENGTH = 500
_COUNTED_AS: Mapping[Outcome, str] = {
    "quarantined": "quarantined",
    "unchanged": "unchanged",
    "changed": "changed",
    "restored": "changed",
    "new": "new",
}


def identified(entry: Entry, known: str | None, taken: Callable[[str], bool]) -> Record:
    """Return the entry's record under the id it is known by, else its own, made distinct where taken."""
    record = entry.record
    assert record is not None
    if known is not None:
        return record if record.id == known else record.model_copy(update={"id": known})
    wanted, tries, native_id = record.id, 0, entry.document.native_id
    while taken(wanted):
        told = native_id if tries == 0 else f"{native_id}\n{tries}"
        wanted, tries = (
            slug(entry.document.source, entry.document.name or native_id, distinct_by=told),
            tries + 1,
        )
    return record if wanted == record.id else record.model_copy(update={"id": wanted})


def outcome(record: Record, kept: Record | None, *, known: bool) -> Outcome:
    """Tell what keeping a record does, given the current one (None: withdrawn, or never there)."""
    if not known:
        return "new"
    if kept is None:
        return "restored"
    return "unchanged" if kept.same(record) else "changed"


def reason(entry: Entry) -> str:
    """Return why an entry has no record."""
    return entry.reason or entry.document.problem or "the document gave no record"


def counts(outcomes: Iterable[Outcome]) -> Counts:
    """Count outcomes; a restored record counts as changed."""
    return Counts(**Counter(_COUNTED_AS[done] for done in outcomes))


def greater(first: Outcome | None, second: Outcome) -> Outcome:
    """Return the outcome that counts for a dataset seen twice in one run (a page that was taken up again)."""
    return second if first is None else max(first, second, key=OUTCOMES.index)


def tallied(run: Run, moves: Sequence[tuple[Outcome | None, Outcome]], page: str | None) -> Run:
    """Return the run after a write: `moves` is a dataset's outcome in this run before and after it."""
    tally: Counter[str] = Counter(run.counts.model_dump())
    for before, after in moves:
        tally[_COUNTED_AS[after]] += 1
        if before is not None:
            tally[_COUNTED_AS[before]] -= 1
    fresh = sum(before is None for before, _ in moves)
    restored = sum((after == "restored") - (before == "restored") for before, after in moves)
    return run.model_copy(
        update={
            "counts": Counts(**tally),
            "seen": run.seen + fresh,
            "restored": run.restored + restored,
            "checkpoint": page if page is not None else run.checkpoint,
        }
    )


class Hold(NamedTuple):
    """A lease as a store keeps it: who holds it, until when (seconds since 1970), its length in seconds."""

    run: int
    holder: str
    until: float
    length: float


def free(source: str, hold: Hold | None, holder: str, clock: float) -> None:
    """Pass if `holder` may take a source's lease.

    Raises:
        LeaseHeld: Another holder's lease lives; says who, and until when.
    """
    if hold is None or hold.until <= clock or hold.holder == holder:
        return
    raise LeaseHeld(
        f"{source} is being harvested by {hold.holder} (run {hold.run}),"
        f" whose lease lives for {hold.until - clock:.0f} s more",
        hint="wait until it ends, or end that process: its lease then ends by itself",
        details={"source": source, "holder": hold.holder, "run": hold.run, "until": hold.until},
    )


def fence(lease: Lease, hold: Hold | None, clock: float) -> Hold:
    """Return the hold behind a lease that still lives.

    Raises:
        LeaseLost: It ended, or another run or holder has it.
    """
    if hold is None or (hold.run, hold.holder) != (lease.run, lease.holder) or hold.until <= clock:
        by = (
            f"{hold.holder} (run {hold.run}) has it"
            if hold is not None and hold.until > clock
            else "it ended"
        )
        raise LeaseLost(
            f"the lease of run {lease.run} on {lease.source} is lost: {by}; nothing was written",
            details={"source": lease.source, "run": lease.run},
        )
    return hold


def later(last: str | None) -> str:
    """Return the moment of a write: now, or just after the last one where the clock went back or stood still."""
    moment = now()
    if last is None or seconds(moment) > seconds(last):
        return moment
    return of_seconds(seconds(last) + 1e-6)


def sortable(instant: str) -> str:
    """Return a canonical instant in a form whose order as text is that of time, for moments of the years 0 to 9999.

    An instant outside of them comes before or after them all.
    """
    if not instant[0].isdigit():
        return "" if instant[0] == "-" else "~"
    whole, _, fraction = instant[:-1].partition(".")
    return f"{whole}.{fraction:0<6}Z"


def abandoned(run: Run, moment: str, instead: str = "a run of the other sort was begun") -> Run:
    """Return an unfinished run as ended: one of the other sort (full, incremental) was begun instead, say."""
    return ended(run, "failed", f"its holder died, and {instead}", moment)


def ended(run: Run, state: State, note: str, moment: str) -> Run:
    """Return the run as it ends at a moment."""
    return run.model_copy(
        update={
            "state": state,
            "note": note,
            "ended": moment,
            "seconds": max(0.0, seconds(moment) - seconds(run.started)),
        }
    )


class Retirement(NamedTuple):
    """What the end of a run does: the run as it ends, the misses that change, the native ids withdrawn, those held."""

    run: Run
    misses: Mapping[str, int]
    withdrawn: tuple[str, ...]
    held: tuple[str, ...] = ()


def retire(  # noqa: PLR0913 - options by name
    run: Run,
    misses: Mapping[str, int],
    seen: AbstractSet[str],
    deleted: AbstractSet[str],
    *,
    missed_runs: int,
    shrink_hold: float,
) -> Retirement:
    """Work out what a run that is complete retires; a store forgets a record's misses when it is put.

    Args:
        run: The run as it ends; only a full one, which lists everything, counts misses.
        misses: Misses so far by native id, of every current record of the source.
        seen: Native ids that the run saw, quarantined ones included.
        deleted: Native ids of which the source said last that it has deleted them; they need no misses.
        missed_runs: Misses that withdraw a record.
        shrink_hold: Share of the current records that may be missing or deleted unheld.
    """
    if run.state != "complete":
        return Retirement(run, {}, ())
    told = misses.keys() & deleted
    unseen = set() if run.incremental else misses.keys() - seen - told
    if unseen and not seen:
        suspect = {"state": "suspect", "missing": len(unseen | told)}
        return Retirement(run.model_copy(update=suspect), {}, ())
    missing = sorted(unseen | told)
    if len(missing) > shrink_hold * len(misses):
        held = {"state": "held", "missing": len(missing), "held": len(missing)}
        return Retirement(run.model_copy(update=held), {}, (), tuple(missing))
    counted = {native_id: misses[native_id] + 1 for native_id in unseen}
    withdrawn = tuple(name for name in missing if name in told or counted[name] >= missed_runs)
    update = {"missing": len(missing), "withdrawn": len(withdrawn)}
    return Retirement(run.model_copy(update=update), counted, withdrawn)


def withdrawn(record_id: str, since: str) -> Withdrawn:
    """Return the error that a withdrawn record is answered with."""
    return Withdrawn(
        f"the dataset {record_id!r} was withdrawn at {since}",
        hint="its source no longer had it, or it came with a run that was rolled back; its history is kept",
        details={"id": record_id, "withdrawn": since},
    )


def unknown(record_id: str, asof: str | None = None) -> NotFound:
    """Return the error for a record that there is not, or was not yet at an instant."""
    if asof is None:
        return NotFound(f"there is no dataset {record_id[:100]!r}")
    return NotFound(
        f"there was no dataset {record_id[:100]!r} at {asof}", hint="it is younger: see its history"
    )


def in_order(record: Record, known: Iterable[Health]) -> tuple[Health, ...]:
    """Return what is known of a record's distributions in their order; of two that know one address, the first."""
    by_address: dict[str, Health] = {}
    for one in known:
        by_address.setdefault(one.address, one)
    addresses = dict.fromkeys(way.address for way in record.distributions)
    return tuple(by_address[address] for address in addresses if address in by_address)


def title_key(record: Record, language: str) -> str:
    """Return what a title is sorted by: its folded words."""
    return " ".join(tokens(record.title.best(language)))[:KEY_LENGTH]


def modified_key(record: Record) -> float:
    """Return what `modified` is sorted by, seconds since 1970; an undated record counts as the oldest."""
    return seconds(canonical(record.modified)) if record.modified else -math.inf


def hits(facet: str, counted: Mapping[str, int], language: str) -> tuple[Hit, ...]:
    """Return a facet's values with their counts and labels, the most frequent first, then by value."""
    ordered = sorted(
        ((value, count) for value, count in counted.items() if count), key=lambda hit: (-hit[1], hit[0])
    )
    return tuple(
        Hit(value=value, count=count, label=vocabulary.label(facet, value, language))
        for value, count in ordered
    )


def exact_terms(query: Query) -> tuple[tuple[str, ...], ...]:
    """Return the terms of a query with their diacritics: records that have them all as written rank first."""
    return query.terms(exact_tokens)
