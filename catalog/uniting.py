"""One dataset from several portals: what the record of a group says."""

from collections.abc import Sequence

from catalog.record import MOST, Distribution, QualityNote, Record


def united(leader: Record, members: Sequence[Record]) -> Record:
    """Return the leader with its members' distributions after its own, and a note of each member.

    A distribution that the leader or an earlier member has (protocol and address) is not repeated; what is beyond the
    most that a record may have is left out.

    Args:
        leader: As its source gave it.
        members: As their sources gave them; by id.
    """
    if not members:
        return leader
    ways: dict[tuple[str, str], Distribution] = {}
    for record in (leader, *members):
        for way in record.distributions:
            ways.setdefault((way.protocol, way.address), way)
    notes = tuple(
        QualityNote(code="same-dataset", text=f"{member.id}, from {member.source}, is the same dataset")
        for member in members
    )
    return leader.model_copy(
        update={
            "distributions": tuple(ways.values())[: MOST["distributions"]],
            "quality": (*leader.quality, *notes)[: MOST["quality"]],
        }
    )
