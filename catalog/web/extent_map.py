"""A plain map of extents, as numbers of an inline SVG: x is longitude, y is minus latitude, in degrees."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from catalog.record import BBox

Window = tuple[float, float, float, float]
"""West, south, east, north of a view; east may exceed 180."""

REGION: Window = (98.0, -2.0, 123.0, 26.0)
CHARTED: Window = (99.0, -1.0, 121.917, 25.0)
MAX_BOXES = 500
_TURNS = (-360, 0, 360)


@dataclass(frozen=True, slots=True)
class Label:
    """A name on the map; `sort` is sea, islands or city, `anchor` the SVG text-anchor."""

    x: float
    y: float
    text: str
    sort: str
    anchor: str = "middle"


_LABELS = (
    Label(113.2, -13.6, "Biển Đông", "sea"),
    Label(107.75, -19.75, "Vịnh Bắc Bộ", "bay"),
    Label(112.0, -17.35, "Quần đảo Hoàng Sa (Việt Nam)", "islands"),
    Label(114.0, -7.55, "Quần đảo Trường Sa (Việt Nam)", "islands"),
    Label(106.45, -20.95, "Hải Phòng", "city", "end"),
    Label(108.0, -16.0, "Đà Nẵng", "city", "end"),
)
_WORLD_LABELS = (Label(110.5, -29.0, "Biển Đông", "bay"),)
_CITIES = ((106.68, 20.86), (108.22, 16.06))
_ISLANDS = (
    (112.34, 16.83), (111.61, 16.53), (111.20, 15.78), (112.73, 16.67),
    (111.92, 8.65), (114.33, 11.43), (114.37, 10.38), (114.33, 9.89), (112.91, 8.86), (115.8, 10.7),
)  # fmt: skip
"""Islands of the two archipelagos, longitude and latitude, too small for the relief grid."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of an extent, cut to the window."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything a map shows; `unit` is about a screen pixel, in degrees; parallels are latitudes, not y."""

    region: bool
    unit: float
    frame: Rectangle
    charted: tuple[Rectangle, ...]
    coast: str
    turns: tuple[int, ...]
    meridians: tuple[int, ...]
    parallels: tuple[int, ...]
    extents: tuple[Rectangle, ...]
    points: tuple[tuple[float, float], ...]
    labels: tuple[Label, ...]
    cities: tuple[tuple[float, float], ...]
    islands: tuple[tuple[float, float], ...]

    @property
    def view_box(self) -> str:
        """The SVG's viewBox."""
        return f"{self.frame.x:g} {self.frame.y:g} {self.frame.width:g} {self.frame.height:g}"


def draw(boxes: Sequence[BBox]) -> Drawing:
    """Draw boxes on Biển Đông if all lie there, else on the world (from 0° where one crosses 180°)."""
    shown = boxes[:MAX_BOXES]
    region = bool(shown) and all(_inside(box) for box in shown)
    start = 0.0 if any(box.west > box.east for box in shown) else -180.0
    window = REGION if region else (start, -90.0, start + 360.0, 90.0)
    unit = (window[2] - window[0]) / 600
    step = 5 if region else 30
    parts = [part for box in shown for part in _cut(_unwrapped(box), window)]
    least = 5 * unit
    small = [part for part in parts if part.width < least and part.height < least]
    return Drawing(
        region=region,
        unit=unit,
        frame=_rectangle(window),
        charted=tuple(_cut(CHARTED, window)),
        coast=_coast(),
        turns=tuple(turn for turn in _TURNS if window[0] <= CHARTED[0] + turn < window[2]),
        meridians=tuple(_ticks(window[0], window[2], step if region else 2 * step)),
        parallels=tuple(_ticks(window[1], window[3], step)),
        extents=tuple(part for part in parts if part not in small),
        points=tuple((round(p.x + p.width / 2, 4), round(p.y + p.height / 2, 4)) for p in small),
        labels=_LABELS if region else _WORLD_LABELS,
        cities=tuple((x, -y) for x, y in _CITIES) if region else (),
        islands=tuple((x, -y) for x, y in _ISLANDS) if region else (),
    )


def _inside(box: BBox) -> bool:
    west, south, east, north = REGION
    return west <= box.west <= box.east <= east and south <= box.south and box.north <= north


def _unwrapped(box: BBox) -> Window:
    return (box.west, box.south, box.east + (360 if box.west > box.east else 0), box.north)


def _cut(box: Window, window: Window) -> Iterator[Rectangle]:
    """The parts of a box that a window shows, on every turn of the globe; the whole circle is one part."""
    if box[2] - box[0] >= 360:  # noqa: PLR2004
        box = (window[0], box[1], window[2], box[3])
    south, north = max(box[1], window[1]), min(box[3], window[3])
    for turn in _TURNS:
        west, east = max(box[0] + turn, window[0]), min(box[2] + turn, window[2])
        slit = west == east and box[0] < box[2]
        if west <= east and south <= north and not slit:
            yield _rectangle((west, south, east, north))


def _rectangle(window: Window) -> Rectangle:
    west, south, east, north = window
    return Rectangle(round(west, 4), round(-north, 4), round(east - west, 4), round(north - south, 4))


def _ticks(first: float, last: float, step: int) -> Iterator[int]:
    at = int(first // step + 1) * step
    while at < last:
        yield at
        at += step


@cache
def _coast() -> str:
    """The land of Biển Đông as an SVG path (static/README.md says where it comes from)."""
    rings = json.loads(resources.files(__package__).joinpath("static", "coast.json").read_bytes())
    return "".join("M" + " ".join(f"{x:g},{-y:g}" for x, y in ring) + "z" for ring in rings)
