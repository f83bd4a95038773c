"""Whether two records of different sources describe one dataset, and why: `judged`.

What is measured speaks first: two records whose times, places, depths, variables or steps contradict are two datasets,
whatever else agrees. So are two titles that name different versions, years, sizes, or another rhythm, statistic or
stage of processing (`catalog.vocabulary.titles`). What then says that two records are one, the strongest first:

    doi        both have a DOI, which stands for one record of each source, and they are alike in something
    uuid       the UUID of the one's id or page is that of the other's, or stands in an address of it
    native-id  both have an id that portals pass on (ERDDAP's datasetID, a catalogue's identifier) and agree in title
               or organisation
    address    both give data at one address (without scheme, port, ending of a form, and THREDDS' kind of service)
    likeness   title, place, time and variables agree to `FLOOR` or more, where at least two of the last three are
               known, and the titles share a name or the records an organisation

An identifier that several records of one source have says nothing of them (`crowded`).
"""

import math
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Literal
from urllib.parse import unquote, urlsplit

from catalog.contrasting import Contrast, contrast, titles_of
from catalog.record import Distribution, Model, Record
from catalog.vocabulary.titles import Title

Rule = Literal["doi", "uuid", "native-id", "address", "likeness"]
FLOOR = 0.85
"""The likeness from which on two records without a common identifier are one dataset."""

EDITION = "1"
"""What `keys` and `judged` are: records that were judged by another edition are judged again."""

LIKELY = "like:"
"""How keys begin that identify nothing."""

_SCORES = {"doi": 0.99, "uuid": 0.98, "native-id": 0.96, "address": 0.95}
_TITLES_AGREE = 0.8
_TITLES_TOUCH = 0.3
_TITLES_ALIKE = 0.55
_WEIGHTS = {"title": 0.5, "place": 0.2, "time": 0.15, "variables": 0.15}
_PARTS_ALIKE = 0.5
_UUID = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
_DOI = re.compile(r"doi\.org/(10\.\d{4,9}/[^\s?#]+)", re.IGNORECASE)
_ERDDAP = re.compile(r"(.*/erddap)/(?:griddap|tabledap|info|wms|files)/([^/.]+)(?:[./].*)?", re.IGNORECASE)
_THREDDS = re.compile(r"/(?:dodsC|fileServer|ncss(?:/grid|/point)?|wms|wcs|iso|ncml|uddc|cdmremote|dap4)/")
_FORM = re.compile(r"\.(?:html?|dds|das|dods|ascii|asc|info|dmr(?:\.xml|\.html)?|ddx|graph)$", re.IGNORECASE)
_FORM_OF_DATA = re.compile(
    r"\.(?:dds|das|dods|ddx|dmr(?:\.xml|\.html)?)$|(?:/(?:opendap|dods|dap)/.*|\.(?:nc4?|hdf5?|h5|grb2?|csv))\.(?:html?|info|asc"
    r"|ascii)$",
    re.IGNORECASE,
)
_DATA_PROTOCOLS = frozenset({"opendap", "griddap", "tabledap", "zarr", "http"})
_DATA_FORMATS = frozenset(
    {"netcdf", "hdf5", "zarr", "csv", "tsv", "parquet", "grib", "tiff", "geotiff", "cog", "xlsx", "xls", "zip", "gz",
     "tgz", "tar.gz", "shp", "geojson", "gpkg", "kml", "kmz", "erddap", "opendap", "txt", "dwca", "mat", "odv", "cnv"}
)  # fmt: skip
_IDS = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9_.:/-]{4,199}")
_TELLING = re.compile(r"[0-9_.:/-]")
_RANKED = 5  # words of a title, the rarest, of which pairs are keys
_LONGEST_KEY = 500
_LONGEST_ADDRESS = 1_000
_WAYS = 100  # distributions of a record that are looked at


class Judgement(Model):
    """Two records are one dataset.

    Args:
        rule: The strongest rule that says so.
        score: How sure it is, 0 to 1.
        evidence: Why, a sentence each, the strongest first; the same whichever record comes first.
    """

    rule: Rule
    score: float
    evidence: tuple[str, ...]


def judged(a: Record, b: Record, crowded: frozenset[str] = frozenset()) -> Judgement | None:
    """Return why two records are one dataset, or None where they are two, or nothing says that they are one.

    Args:
        a: A record, as its source gave it.
        b: One of another source; of the same one they are never one dataset.
        crowded: Keys (`keys`) that more than one record of a's or of b's source has: they say nothing.
    """
    if a.source == b.source:
        return None
    found = contrast(a, b)
    if found.facts:
        return None
    said = [*_identified(a, b, crowded, found)]
    likeness = _likeness(found)
    if said:
        score = _SCORES[said[0][0]]
        return Judgement(rule=said[0][0], score=score, evidence=(*(why for _, why in said), *_told(found)))
    if likeness is None or likeness < FLOOR:
        return None
    sentence = f"title, place, time and variables agree to {likeness:.2f}, of which {FLOOR} is enough"
    return Judgement(rule="likeness", score=round(likeness, 3), evidence=(sentence, *_told(found)))


def contradiction(a: Record, b: Record) -> str | None:
    """Return why two records cannot be one dataset, in a sentence; None where nothing says so."""
    found = contrast(a, b)
    return next(iter((*found.facts, *found.product)), None)


def _identified(a: Record, b: Record, crowded: frozenset[str], found: Contrast) -> Iterator[tuple[Rule, str]]:
    """The rules by identifiers that hold, the strongest first, each with its sentence."""
    common = sorted((keys(a, likely=False) & keys(b, likely=False)) - crowded)
    shared = {
        kind: [key.partition(":")[2] for key in common if key.startswith(f"{kind}:")] for kind in _KINDS
    }
    if found.product:
        return
    if shared["doi"] and _alike_somehow(found):
        yield "doi", f"both have the DOI {shared['doi'][0]}"
    own = _uuids(a, own=True) | _uuids(b, own=True)
    if telling := [uuid for uuid in shared["uuid"] if uuid in own]:
        yield "uuid", f"both are known by the UUID {telling[0]}"
    agree = found.title >= _TITLES_AGREE or (found.organisations and found.title >= _TITLES_TOUCH)
    if shared["id"] and agree:
        in_what = "title" if found.title >= _TITLES_AGREE else "organisation"
        yield "native-id", f"portals pass both on as {shared['id'][0]}, and they agree in {in_what}"
    if shared["at"]:
        yield "address", f"both give data at {shared['at'][0]}"


_KINDS = ("doi", "uuid", "id", "at")


def _alike_somehow(found: Contrast) -> bool:
    """Tell whether two records have more in common than a number that one of them may only cite."""
    placed = (found.place or 0) >= _PARTS_ALIKE and (found.time or 0) >= _PARTS_ALIKE
    return found.title >= _TITLES_TOUCH or bool(found.variables) or placed


def _likeness(found: Contrast) -> float | None:
    """How alike two records are by title, place, time and variables; None where too little is known, or it differs."""
    parts = {"place": found.place, "time": found.time, "variables": found.variables}
    known = {name: value for name, value in parts.items() if value is not None}
    if found.product or found.unexplained or not (found.shared or found.organisations):
        return None
    if len(known) + bool(found.organisations) < 2:  # noqa: PLR2004 - two facts, or one and the organisation
        return None
    if found.title < _TITLES_ALIKE or not known or min(known.values()) < _PARTS_ALIKE:
        return None
    known["title"] = found.title
    whole = math.fsum(_WEIGHTS[name] for name in known)
    return math.fsum(_WEIGHTS[name] * value for name, value in known.items()) / whole


def _told(found: Contrast) -> Iterator[str]:
    """What agrees, measured, in sentences."""
    if found.title >= _TITLES_TOUCH:
        also = f", among them {', '.join(found.shared)}" if found.shared else ""
        yield f"{found.title:.0%} of what the titles say is the same{also}"
    if found.place is not None:
        yield f"{found.place:.0%} of the area that either covers is common to both"
    if found.time is not None:
        yield f"{found.time:.0%} of the time that either covers is common to both"
    if found.variables:
        yield f"variables in common: {', '.join(found.common)}"
    if found.organisations:
        yield f"organisation in common: {found.organisations[0]}"


# --- what records are found by


def keys(record: Record, *, likely: bool = True) -> frozenset[str]:
    """Return what a record may share with others that are the same dataset; two that share nothing never are.

    A key is `doi:`, `uuid:`, `id:` or `at:` and an identifier, or `like:` and words of the title.

    Args:
        record: As its source gave it.
        likely: With those of likeness; else those of identifiers only.
    """
    found = {f"doi:{doi}" for doi in _dois(record)}
    found |= {f"uuid:{uuid}" for uuid in _uuids(record)}
    found |= {f"id:{name}" for name in _passed_on(record)}
    found |= {f"at:{address}" for address in _addresses(record)}
    if likely:
        found |= {f"{LIKELY}{words}" for title in titles_of(record) for words in _title_keys(title)}
    return frozenset(key[:_LONGEST_KEY] for key in found)


def _dois(record: Record) -> Iterator[str]:
    if record.doi:
        yield record.doi.lower()
    if found := _DOI.search(unquote(record.landing_page or "")):
        yield found[1].lower().rstrip("/")


def _uuids(record: Record, *, own: bool = False) -> frozenset[str]:
    """The UUIDs of a record's id and page, and of its addresses unless only its own are asked for."""
    said = [record.native_id, record.landing_page or ""]
    said += [] if own else [way.address for way in record.distributions[:_WAYS]]
    return frozenset(uuid.lower() for text in said for uuid in _UUID.findall(text))


def _passed_on(record: Record) -> Iterator[str]:
    """Ids that portals pass on with a dataset: its own one where it tells, and datasetIDs of ERDDAP."""
    own = record.native_id.strip().lower()
    if _UUID.search(own) is None and _IDS.fullmatch(own) and _TELLING.search(own):
        yield own
    for way in record.distributions[:_WAYS]:
        path = _path(way.address) if way.protocol in {"griddap", "tabledap"} else ""
        found = _ERDDAP.fullmatch(path)
        if found and len(found[2]) > 3:  # noqa: PLR2004
            yield found[2].lower()


def _path(address: str) -> str:
    try:
        return urlsplit(address[:_LONGEST_ADDRESS]).path
    except ValueError:
        return ""


def _addresses(record: Record) -> Iterator[str]:
    """The addresses of the record's data, in one form; that of its page where it is a page of a data server."""
    for way in record.distributions[:_WAYS]:
        if _is_data(way) and (found := plain_address(way.address)):
            yield found
    page = record.landing_page or ""
    if (_ERDDAP.search(page) or _THREDDS.search(page)) and (found := plain_address(page)):
        yield found


def _is_data(way: Distribution) -> bool:
    return way.protocol in _DATA_PROTOCOLS and (way.protocol != "http" or way.format in _DATA_FORMATS)


def plain_address(address: str) -> str | None:
    """Return an address of data in the one form of all its spellings; None for what is none, or a portal's front page.

    Scheme, letter case of the host, default port, trailing slash, percent-encoding, the ending of a form of DAP, and
    the service by which THREDDS or ERDDAP gives the same dataset make no difference.
    """
    if len(address) > _LONGEST_ADDRESS:
        return None
    try:
        parts = urlsplit(address.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or not host:
        return None
    path = unquote(parts.path).rstrip("/")
    query = parts.query
    if served := _ERDDAP.fullmatch(path):
        path, query = f"{served[1]}/{served[2]}", ""
    elif _THREDDS.search(path):
        path, query = _FORM.sub("", _THREDDS.sub("/dodsC/", path, count=1)), ""
    elif _FORM_OF_DATA.search(path):
        path, query = _FORM.sub("", path), ""
    if path.count("/") < 2 and not query and "." not in path:  # noqa: PLR2004 - a front page, or a part of a portal
        return None
    return f"{host}{'' if port in {None, 80, 443} else f':{port}'}{path}{f'?{query}' if query else ''}"


def _title_keys(title: Title) -> Iterator[str]:
    """Pairs of a title's rarest words, and all its places and things at once, so that few words differ in no key."""
    ranked = sorted(title.words, key=lambda word: (-title.words[word], -len(word), word))
    if len(ranked) == 1:
        yield ranked[0]
    for pair in combinations(sorted(ranked[:_RANKED]), 2):
        yield "+".join(pair)
    rest = sorted(word for word in ranked if word not in title.names)
    if len(rest) > 2:  # noqa: PLR2004 - shorter ones are pairs already
        yield "+".join(rest)


__all__ = [
    "EDITION",
    "FLOOR",
    "LIKELY",
    "Judgement",
    "Rule",
    "contradiction",
    "judged",
    "keys",
    "plain_address",
]
