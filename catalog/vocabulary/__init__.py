"""The names of marine variables and themes in Vietnamese and English, by CF standard name.

`variables.tsv` is the table: CF standard name and canonical units (CF Standard Name Table, version 93,
https://cfconventions.org), theme, labels, synonyms that occur in titles, and short names that files
use. A record is found by the words of its variables' concepts, so a question in one language finds data that are
described in the other.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType

from catalog.record import Model, Text, Variable
from catalog.words import tokens

THEMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ocean-physics": ("Vật lý biển", "Ocean physics"),
        "sea-level-tides": ("Mực nước và thủy triều", "Sea level and tides"),
        "waves": ("Sóng biển", "Waves"),
        "currents": ("Dòng chảy", "Currents"),
        "ocean-chemistry": ("Hóa học biển", "Ocean chemistry"),
        "ocean-biology": ("Sinh học và sinh thái biển", "Marine biology and ecosystems"),
        "ocean-optics": ("Màu và quang học nước biển", "Ocean colour and optics"),
        "water-quality": ("Chất lượng nước và ô nhiễm", "Water quality and pollution"),
        "atmosphere": ("Khí tượng", "Atmosphere and weather"),
        "climate": ("Khí hậu và trao đổi biển – khí", "Climate and air–sea exchange"),
        "cryosphere": ("Băng biển", "Sea ice"),
        "bathymetry": ("Địa hình đáy biển", "Bathymetry and relief"),
        "sediment": ("Trầm tích", "Sediment"),
        "hydrology": ("Sông và cửa sông", "Rivers and estuaries"),
        "coast-hazards": ("Bờ biển và thiên tai", "Coasts and hazards"),
        "fisheries": ("Nghề cá", "Fisheries"),
        "aquaculture": ("Nuôi trồng thủy sản", "Aquaculture"),
        "conservation": ("Bảo tồn biển", "Marine conservation"),
        "tourism": ("Du lịch biển", "Marine tourism"),
        "ports-logistics": ("Cảng biển và hậu cần", "Ports and logistics"),
        "energy": ("Năng lượng biển", "Marine energy"),
        "planning": ("Quy hoạch không gian biển", "Marine spatial planning"),
    }
)
"""Themes of the marine programme: id → (Vietnamese, English) label."""

_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "grid": ("Lưới", "Grid"),
        "timeseries": ("Chuỗi thời gian", "Time series"),
        "profile": ("Mặt cắt thẳng đứng", "Vertical profile"),
        "trajectory": ("Quỹ đạo", "Trajectory"),
        "points": ("Điểm đo", "Points"),
        "mesh": ("Lưới không cấu trúc", "Unstructured mesh"),
        "features": ("Đối tượng bản đồ", "Map features"),
        "document": ("Tài liệu", "Document"),
    }
)

_NOT_THE_QUANTITY = frozenset(
    {
        "calibration", "correction", "count", "counts", "covariance", "deviation", "ellipse", "error", "errors",
        "flag", "flags", "index", "indicator", "number", "numobs", "qc", "quality", "status", "stderr", "test",
        "uncertainty", "variance",
    }
)  # fmt: skip
"""Words in a title that say: about the quantity, but not the quantity itself."""


class Concept(Model):
    """A measured quantity: what it is called in both languages, and by files.

    Args:
        standard_name: CF standard name. theme: Its one theme. units: Canonical units of the standard name.
        label_vi: Vietnamese label. label_en: English label.
        synonyms: Other words for it in either language; found inside titles, too.
        aliases: Whole names that files give to the variable.
    """

    standard_name: str
    theme: str
    units: str
    label_vi: str
    label_en: str
    synonyms: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def words(self) -> tuple[str, ...]:
        """Return every name in both languages, the standard name included."""
        return (self.standard_name, self.label_vi, self.label_en, *self.synonyms)


def _table() -> bytes:
    return resources.files(__name__).joinpath("variables.tsv").read_bytes()


@cache
def fingerprint() -> str:
    """Return what tells editions of the vocabulary apart: an index made with another one is stale."""
    return hashlib.sha256(_table()).hexdigest()[:16]


@cache
def vocabulary() -> Mapping[str, Concept]:
    """Return every concept by its standard name, in the table's order."""
    found: dict[str, Concept] = {}
    for line in _table().decode("utf-8").splitlines()[1:]:
        name, theme, units, label_vi, label_en, synonyms, aliases = line.split("\t")
        found[name] = Concept(
            standard_name=name,
            theme=theme,
            units=units,
            label_vi=label_vi,
            label_en=label_en,
            synonyms=tuple(word for word in synonyms.split("|") if word),
            aliases=tuple(aliases.split()),
        )
    return MappingProxyType(found)


@cache
def _names() -> Mapping[tuple[str, ...], Concept]:
    """Folded words of every standard name, label and synonym → concept; the first in the table has a name."""
    found: dict[tuple[str, ...], Concept] = {}
    for part in ("standard_name", "label_en", "label_vi", "synonyms"):
        for concept in vocabulary().values():
            value = getattr(concept, part)
            for words in (value,) if isinstance(value, str) else value:
                found.setdefault(tokens(words), concept)
    return MappingProxyType(found)


@cache
def _aliases() -> Mapping[tuple[str, ...], Concept]:
    found: dict[tuple[str, ...], Concept] = {}
    for concept in vocabulary().values():
        for alias in concept.aliases:
            found.setdefault(tokens(alias), concept)
    return MappingProxyType(found)


@cache
def _longest() -> int:
    return max(len(words) for words in _names())


def concepts(variables: Sequence[Variable]) -> tuple[Concept, ...]:
    """Return the concepts of data variables, each once, in order.

    A variable is known by its standard name; else by its title; else, without a standard name, by its name.
    """
    found = (_concept_of(variable) for variable in variables if not variable.coordinate)
    return tuple({concept.standard_name: concept for concept in found if concept is not None}.values())


def _concept_of(variable: Variable) -> Concept | None:
    """The concept of a variable; those of variables with short names are remembered."""
    said = variable.title.words.values() if variable.title else ()
    length = len(variable.name) + len(variable.standard_name or "") + sum(map(len, said))
    find = _remembered if length <= _REMEMBERED_LENGTH else _concept
    return find(variable.name, variable.standard_name, variable.title)


def _concept(name: str, standard_name: str | None, title: Text | None) -> Concept | None:
    if standard_name is not None:
        said = tokens(standard_name)
        if said in _names():
            return _names()[said]
        if _NOT_THE_QUANTITY.intersection(said):
            return None
    titles = [tokens(words) for words in title.words.values()] if title else []
    for words in titles:
        if words in _names():
            return _names()[words]
    if any(_NOT_THE_QUANTITY.intersection(words) for words in (*titles, tokens(name))):
        return None
    for words in titles:
        concept = _titled(words)
        if concept is not None:
            return concept
    return _aliases().get(tokens(name)) if standard_name is None else None


_REMEMBERED_LENGTH = 300
_remembered = lru_cache(maxsize=8_192)(_concept)


def _titled(title: tuple[str, ...]) -> Concept | None:
    """The concept that a title names: the longest name in it; a bare alias only as the whole title."""
    for size in range(min(len(title), _longest()), 0, -1):
        for at in range(len(title) - size + 1):
            concept = _names().get(title[at : at + size])
            if concept is not None:
                return concept
    return _aliases().get(title)


def label(facet: str, value: str, language: str) -> str:
    """Return what a facet's value is called in a language (`vi`, else English): itself where unnamed."""
    column = 0 if language == "vi" else 1
    if facet == "variable" and value in vocabulary():
        concept = vocabulary()[value]
        return (concept.label_vi, concept.label_en)[column]
    named = {"theme": THEMES, "kind": _KINDS}.get(facet, {})
    return named[value][column] if value in named else value


__all__ = ["THEMES", "Concept", "concepts", "fingerprint", "label", "vocabulary"]
