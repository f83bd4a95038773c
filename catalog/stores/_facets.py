"""Which records have which facet values, lead others, or are broken: bitmaps of one generation of an SQLite file."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import apsw
from pyroaring import BitMap

from catalog.search import FACETS
from catalog.stores import _health
from catalog.stores._ties import ALONE, Groups


@dataclass(frozen=True)
class Values:
    """Which records there are, and which of them have which facet values, by their numbers; never changed."""

    current: BitMap
    facets: Mapping[str, Mapping[str, BitMap]]

    def counted(self, found: BitMap) -> Mapping[str, Mapping[str, int]]:
        """Return how many of the found records have each value of each facet."""
        return {
            facet: {value: bitmap.intersection_cardinality(found) for value, bitmap in values.items()}
            for facet, values in self.facets.items()
        }

    def at(self, connection: apsw.Connection, since: int) -> tuple[Self, BitMap]:
        """Return the values as the transaction sees them, and the records of later generations than `since`."""
        changed, current = BitMap(), self.current.copy()
        rows = "SELECT number, version IS NOT NULL FROM records WHERE generation > ?"
        for number, lives in connection.execute(rows, (since,)):
            changed.add(number)
            (current.add if lives else current.discard)(number)
        values = {
            facet: {value: bitmap - changed for value, bitmap in self.facets.get(facet, {}).items()}
            for facet in FACETS
        }
        rows = "SELECT facet, value, number FROM records JOIN facets USING (number) WHERE generation > ?"
        for facet, value, number in connection.execute(rows, (since,)):
            values[facet].setdefault(value, BitMap()).add(number)
        return type(self)(current, values), changed

    def led(self, own: "Values", groups: Groups, changed: BitMap) -> "Values":
        """Return these values of answers as they are once the groups of changed records are taken up whole.

        Args:
            own: The values by the records' own numbers.
            groups: Who leads whom.
            changed: The records of all groups of which anything changed.
        """

        def united(before: BitMap, now: BitMap) -> BitMap:
            return (before - changed) | groups.led(now & changed)

        facets = {
            facet: {
                value: united(self.facets.get(facet, {}).get(value, _NONE), bitmap)
                for value, bitmap in values.items()
            }
            for facet, values in own.facets.items()
        }
        return Values(united(self.current, own.current), facets)


_NONE = BitMap()


@dataclass(frozen=True)
class Facets:
    """What is kept of the records in memory, at one generation of the database; never changed.

    Args:
        generation: The database's.
        own: Values by the records' own numbers, for questions about the past, in which nobody leads.
        led: Values of answers, by the numbers of those that stand alone or lead.
        groups: Who leads whom.
        hurt: Records with broken distributions.
        sound: Records with probed distributions that are not broken.
        broken: Answers of which all probed distributions are broken.
    """

    generation: int
    own: Values
    led: Values
    groups: Groups = ALONE
    hurt: BitMap = _NONE
    sound: BitMap = _NONE
    broken: BitMap = _NONE

    def at(self, connection: apsw.Connection) -> "Facets":
        """Return the facets as the connection's transaction sees them."""
        generation = connection.execute("SELECT value FROM meta WHERE key = 'generation'").get
        if generation == self.generation:
            return self
        own, changed = self.own.at(connection, self.generation)
        groups = self.groups.at(connection, self.generation, changed)
        led = self.led.led(own, groups, changed) if groups.members else own
        hurt, sound = _health.at(connection, self.generation)
        hurt, sound = (self.hurt - changed) | hurt, (self.sound - changed) | sound
        return Facets(generation, own, led, groups, hurt, sound, groups.led(hurt) - groups.led(sound))


_NOTHING = Values(_NONE, MappingProxyType({}))
NO_FACETS = Facets(-1, _NOTHING, _NOTHING)
