"""Which records are one dataset: the arithmetic of groups that every store shares; pure functions.

A group is its ties: a star of one leader and its members, none where a record stands alone.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import product

from catalog.stores import Tie

Group = tuple[Tie, ...]


def names(record_id: str, group: Iterable[Tie]) -> frozenset[str]:
    """Return the ids of a record's group, its own among them."""
    return frozenset({record_id, *(name for tie in group for name in (tie.leader, tie.member))})


def pairs(first: Collection[str], second: Collection[str]) -> set[tuple[str, str]]:
    """Return the pairs of the one's and the other's records, as they are kept: the lower id first."""
    return {(min(one, other), max(one, other)) for one, other in product(first, second) if one != other}


def joined(first: Group, second: Group, tie: Tie) -> Group:
    """Return the group that the leader's and the member's groups become, led by the tie's leader.

    Each tie keeps why it was made: where a leader becomes a member, the tie of its member that now leads, or is tied
    to the one that does, says why it is one of them.
    """
    others = (*_led_by(first, tie.leader), tie, *_led_by(second, tie.member))
    return tuple(sorted((_of(other, tie.leader) for other in others), key=lambda other: other.member))


def without(group: Group, gone: Collection[str]) -> Group:
    """Return what a group is when records leave it: led as it was, or by its member of the lowest id."""
    rest = tuple(tie for tie in group if tie.member not in gone)
    if not rest or rest[0].leader not in gone:
        return rest
    leader = min(tie.member for tie in rest)
    return tuple(_of(tie, leader) for tie in rest if tie.member != leader)


def _led_by(group: Group, leader: str) -> Sequence[Tie]:
    """The ties of a group as they are when one of its records leads it."""
    return [
        tie.model_copy(update={"leader": leader, "member": tie.leader})
        if tie.member == leader
        else _of(tie, leader)
        for tie in group
    ]


def _of(tie: Tie, leader: str) -> Tie:
    return tie if tie.leader == leader else tie.model_copy(update={"leader": leader})
