"""What a store in memory keeps of ties and of health: plain dicts."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from catalog.record import Record
from catalog.stores import Health, Tie, _groups, _rules


class Bonds:
    """Ties by member, pairs that are apart for ever, and what probes found by record and address."""

    def __init__(self) -> None:
        self._ties: dict[str, Tie] = {}
        self._apart: set[tuple[str, str]] = set()
        self._health: dict[str, dict[str, Health]] = {}

    def group(self, record_id: str) -> _groups.Group:
        """Return the ties of a record's group, by member."""
        leader = self.leader(record_id)
        found = (tie for tie in self._ties.values() if tie.leader == leader)
        return tuple(sorted(found, key=lambda tie: tie.member))

    def leader(self, record_id: str) -> str:
        """Return the id of the record that leads a record, its own where none does."""
        return self._ties[record_id].leader if record_id in self._ties else record_id

    def tie(self, ties: Sequence[Tie], current: Callable[[str], bool]) -> int:
        """Tie those records that `current` says are there, and return how many ties are new."""
        return sum(self._tied(tie) for tie in ties if current(tie.leader) and current(tie.member))

    def _tied(self, tie: Tie) -> bool:
        first, second = self.group(tie.leader), self.group(tie.member)
        inside, outside = _groups.names(tie.leader, first), _groups.names(tie.member, second)
        apart = _groups.pairs(inside, outside) & self._apart
        if inside & outside or (apart and tie.by != "operator"):
            return False
        self._apart -= apart
        self._write(inside | outside, _groups.joined(first, second, tie))
        return True

    def _write(self, names: Collection[str], group: _groups.Group) -> None:
        self._ties = {name: tie for name, tie in self._ties.items() if name not in names}
        self._ties.update({tie.member: tie for tie in group})

    def untie(self, record_id: str, *, forever: bool) -> tuple[Tie, ...]:
        """Take a record out of its group, for ever or not, and return its ties, which end."""
        if forever:
            self._apart |= _groups.pairs({record_id}, _groups.names(record_id, self.group(record_id)))
        return self._leave(record_id)

    def _leave(self, record_id: str) -> tuple[Tie, ...]:
        group = self.group(record_id)
        self._write(_groups.names(record_id, group), _groups.without(group, {record_id}))
        return tuple(tie for tie in group if record_id in {tie.leader, tie.member})

    def turned(self, record_id: str, record: Record | None) -> None:
        """Take up that a record became another; None: it was withdrawn, and its ties end."""
        if record is None:
            self._leave(record_id)
        kept = {way.address for way in record.distributions} if record else set()
        known = self._health.get(record_id, {})
        self._health[record_id] = {address: one for address, one in known.items() if address in kept}

    def note(self, found: Iterable[Health], records: Mapping[str, Record]) -> None:
        """Keep what probes found of addresses that current records have, given by id."""
        for one in found:
            ways = records[one.id].distributions if one.id in records else ()
            if any(way.address == one.address for way in ways):
                known = self._health.setdefault(one.id, {})
                before = known.get(one.address)
                since = before.since if before and before.state == one.state else one.since
                known[one.address] = one.model_copy(update={"since": since})

    def health(self, record_id: str) -> list[Health]:
        """Return what is known of a record's distributions, and of those of the members that it leads."""
        led = [tie.member for tie in self.group(record_id) if tie.leader == record_id]
        return [one for name in (record_id, *led) for one in self._health.get(name, {}).values()]

    def broken(self, record_id: str) -> bool:
        """Tell whether all probed distributions of a record and of those it leads are broken, and there are some."""
        states = {one.state for one in self.health(record_id)}
        return states == {"broken"}

    def to_probe(self, records: Mapping[str, Record], before: str, limit: int) -> tuple[str, ...]:
        """Return ids of current records, given by id, that were not probed since an instant."""
        probed = {
            name: max(
                (_rules.sortable(one.checked) for one in self._health.get(name, {}).values()), default=""
            )
            for name, record in records.items()
            if record.distributions
        }
        due = [name for name, last in probed.items() if last < _rules.sortable(before) or not last]
        return tuple(sorted(due, key=lambda name: (probed[name], name))[:limit])
