"""PNG: a map, a section, a profile or a series, ready for a report, with units, instant, licence, source and citation.

A grid is drawn as a map, the first time and depth where there are several, which the title says; scattered points,
meshes and curvilinear grids as coloured points; a series as a line; a profile with depth downwards; depth against time
or distance as a section. Missing cells are grey. Too many cells are thinned, which the title says, too. Colours keep
their order for colour-blind readers: viridis, and a diverging scale around zero for anomalies and components of
motion. Titles are Vietnamese and English where the vocabulary knows the quantity.
"""

import io
import json
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import xarray as xr

from catalog.data.plain import words
from catalog.formats._credits import said
from catalog.formats._fields import titled
from catalog.formats._shown import Scale, Shown, degrees, shown
from catalog.record import Text, Variable
from catalog.vocabulary import Concept, concepts

SUFFIX = "png"
MEDIA_TYPE = "image/png"
STREAMS = False
WIDTH, HEIGHT = 1_200, 900
"""Pixels of every picture."""

MISSING = "#c8c8c8"
GREY_MEANS = "xám: không có số liệu hoặc ngoài vùng · grey: no data or outside"
_DPI = 150
_INK, _LINE = "#222222", "#1f6f8b"
_TONES = ("#1f6f8b", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7a5195", "#222222")
_DIVERGING = ("anomal", "dị thường", "eastward", "northward", "upward", "tendency", "difference", "_velocity")
_CREDITS = (
    ("license", "Giấy phép · Licence"),
    ("source", "Nguồn · Source"),
    ("citation", "Trích dẫn · Citation"),
)
_TALL, _MOST_WIDE, _LABEL = (
    640.0,
    940.0,
    90.0,
)  # pixels of a map, at most, and of a label below it with some room
_REGIONAL = 60.0  # degrees: on a wider map, the coast of one sea is a blot
_CHARTED = (99.0, -1.0, 121.92, 25.0)
_NAMES = (
    (113.2, 13.6, "Biển Đông"),
    (112.0, 16.4, "Quần đảo Hoàng Sa\n(Việt Nam)"),
    (114.0, 8.6, "Quần đảo Trường Sa\n(Việt Nam)"),
)
_DEGREE = {"longitude": "EW", "latitude": "NS"}


def write(dataset: xr.Dataset) -> Iterator[bytes]:
    """Yield the picture.

    Raises:
        NotSubsettable: There is nothing to draw: no numbers, a single one, or a ragged array.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to load, only for pictures
    from matplotlib.figure import Figure  # noqa: PLC0415

    what = shown(dataset)
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, layout="compressed", facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    about = said(dataset)
    with warnings.catch_warnings(
        action="ignore"
    ):  # letters that the font has not, axes too narrow for their ticks
        _title(figure, what)
        _foot(figure, about, grey=what.y is not None)
        plane = figure.add_subplot()
        _DRAWN[what.kind](figure, plane, what)
        file = io.BytesIO()
        canvas.print_png(file, metadata=_metadata(about, what))
    yield file.getvalue()


def _metadata(about: Mapping[str, str], what: Shown) -> dict[str, str]:
    named = {
        "Title": "title",
        "Copyright": "license",
        "Source": "source",
        "Comment": "request",
        "Author": "creator",
    }
    found = {key: about[name] for key, name in named.items() if name in about}
    return {"Software": "Bien Mo", "Description": titled(what.name, what.attributes), **found}


def _concept(what: Shown) -> Concept | None:
    standard = words(what.attributes.get("standard_name", "")).strip()[:1_000] or None
    title = words(what.attributes.get("long_name", "")).strip()
    variable = Variable(
        name=what.name[:1_000], standard_name=standard, title=Text.of(title) if title else None
    )
    return next(iter(concepts([variable])), None)


def _title(figure: Any, what: Shown) -> None:
    """The quantity in two languages, its own name and units; below it when, where, and what is left out."""
    concept = _concept(what)
    first = f"{concept.label_vi} · {concept.label_en}" if concept else titled(what.name, what.attributes)
    units = words(what.attributes.get("units", "")).strip()
    head = textwrap.shorten(f"{first} ({what.name})", 112, placeholder="…") + (
        f" [{units[:20]}]" if units else ""
    )
    size = 10 if len(head) <= 84 else 7.5  # noqa: PLR2004
    figure.text(
        0.5,
        0.985,
        _clean(head),
        ha="center",
        va="top",
        size=size,
        weight="bold",
        color=_INK,
        parse_math=False,
    )
    said_ = " · ".join(what.told)
    lines = textwrap.wrap(said_, 118, max_lines=2, placeholder="…")
    figure.text(
        0.5, 0.948, _clean("\n".join(lines)), ha="center", va="top", size=7.5, color=_INK, parse_math=False
    )


def _foot(figure: Any, about: Mapping[str, str], *, grey: bool) -> None:
    """Licence, source and citation, and what grey means."""
    told = [f"{label}: {about.get(key, 'không nêu · not stated')}" for key, label in _CREDITS]
    told += [about[key] for key in ("notes",) if key in about]
    lines = [_short(line, 165) for line in told]
    lines[0] += f"   ·   {GREY_MEANS}" if grey else ""
    figure.text(
        0.012, 0.012, _clean("\n".join(lines)), va="bottom", size=5.5, color="#444444", parse_math=False
    )
    figure.get_layout_engine().set(rect=(0, 0.018 + 0.019 * len(lines), 1, 0.885 - 0.019 * len(lines)))


def _short(text: str, most: int) -> str:
    """Text on one line, cut where it is too long."""
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _clean(text: str) -> str:
    """Text that can be drawn: no control characters but line ends."""
    return "".join(letter for letter in text if letter == "\n" or letter.isprintable())


def _colours(what: Shown) -> dict[str, Any]:
    """The colour scale: its map and limits, which leave the outermost hundredths to the arrows."""
    known = what.numbers[np.isfinite(what.numbers)]
    if not known.size:
        return {"cmap": "viridis", "vmin": 0, "vmax": 1}
    low, high = (float(n) for n in np.percentile(known, (1, 99)))
    text = f"{what.attributes.get('standard_name', '')} {what.attributes.get('long_name', '')}".lower()
    if any(word in text for word in _DIVERGING) and known.min() < 0 < known.max():
        most = max(abs(low), abs(high))
        return {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1}


def _bar(figure: Any, plane: Any, image: Any, what: Shown) -> None:
    known = what.numbers[np.isfinite(what.numbers)]
    if not known.size:  # limits of no number would be invented
        return
    below, above = known.min() < image.norm.vmin, known.max() > image.norm.vmax
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (bool(below), bool(above)), "neither"
    )
    bar = figure.colorbar(image, ax=plane, extend=extend, shrink=0.9, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(_clean(words(what.attributes.get("units", ""))), size=8, parse_math=False)


def _edges(values: Any) -> Any:
    """The edges of cells around centres, half way between them."""
    if values.size == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middles = values[:-1] + (values[1:] - values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middles[0]], middles, [2 * values[-1] - middles[-1]]])


def _numbers(scale: Scale) -> Any:
    """The values as matplotlib counts them."""
    return _dates().date2num(scale.values) if scale.values.dtype.kind == "M" else scale.values


def _dates() -> Any:
    from matplotlib import dates  # noqa: PLC0415 - as above

    return dates


def _image(figure: Any, plane: Any, what: Shown) -> None:
    assert what.y is not None
    x, y = _edges(_numbers(what.x)), _edges(_numbers(what.y))
    plane.set_facecolor(MISSING)
    image = plane.pcolormesh(x, y, np.ma.masked_invalid(what.numbers), rasterized=True, **_colours(what))
    _bar(figure, plane, image, what)
    _side(plane.xaxis, what.x)
    _side(plane.yaxis, what.y)
    if what.y.down:
        plane.invert_yaxis()


def _map(figure: Any, plane: Any, what: Shown) -> None:
    _image(figure, plane, what)
    _world(plane)


def _scatter(figure: Any, plane: Any, what: Shown) -> None:
    assert what.y is not None
    plane.set_facecolor("white")
    x, y, missing = what.x.values, what.y.values, ~np.isfinite(what.numbers)
    side = float(np.clip(420 / np.sqrt(max(1, x.size)), 0.8, 7))
    plane.scatter(x[missing], y[missing], s=side**2, c=MISSING, marker="s", linewidths=0)
    image = plane.scatter(
        x[~missing],
        y[~missing],
        s=side**2,
        c=what.numbers[~missing],
        marker="s",
        linewidths=0,
        **_colours(what),
    )
    _bar(figure, plane, image, what)
    _side(plane.xaxis, what.x)
    _side(plane.yaxis, what.y)
    _world(plane)


def _line(_figure: Any, plane: Any, what: Shown) -> None:
    plane.plot(_numbers(what.x), what.numbers, color=_LINE, marker=_dots(what.numbers), linewidth=1)
    _side(plane.xaxis, what.x)
    _quantity(plane.yaxis, what)
    plane.grid(color="#dddddd", linewidth=0.6)


def _dots(numbers: Any) -> str:
    """Whether a line has dots: where there are few, and where a number stands between two missing ones."""
    there = np.concatenate([[False], np.isfinite(numbers), [False]])
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    return "." if numbers.size <= 400 or alone.any() else ""  # noqa: PLR2004


def _lines(_figure: Any, plane: Any, what: Shown) -> None:
    for numbers, name, tone in zip(what.numbers, what.names, _TONES, strict=False):
        plane.plot(
            _numbers(what.x), numbers, color=tone, linewidth=1, label=_clean(name)[:40].lstrip("_") or "?"
        )
    for text in plane.legend(fontsize=6).get_texts():
        text.set_parse_math(False)
    _side(plane.xaxis, what.x)
    _quantity(plane.yaxis, what)
    plane.grid(color="#dddddd", linewidth=0.6)


def _profile(_figure: Any, plane: Any, what: Shown) -> None:
    plane.plot(what.numbers, _numbers(what.x), color=_LINE, marker=".", linewidth=1)
    _side(plane.yaxis, what.x)
    _quantity(plane.xaxis, what)
    if what.x.down:
        plane.invert_yaxis()
    plane.grid(color="#dddddd", linewidth=0.6)


def _quantity(axis: Any, what: Shown) -> None:
    units = words(what.attributes.get("units", "")).strip()
    axis.set_label_text(_clean(f"{what.name} [{units}]" if units else what.name), size=8, parse_math=False)
    axis.axes.tick_params(labelsize=7)


def _side(axis: Any, scale: Scale) -> None:
    """Ticks and label of one side."""
    axis.axes.tick_params(labelsize=7)
    if scale.label:
        axis.set_label_text(_clean(scale.label)[:80], size=8, parse_math=False)
    if scale.role in _DEGREE:
        axis.set_major_formatter(lambda value, _: degrees(value, _DEGREE[scale.role]))
    elif scale.values.dtype.kind == "M":
        locator = _dates().AutoDateLocator()
        axis.set_major_locator(locator)
        axis.set_major_formatter(_dates().ConciseDateFormatter(locator))
        axis.get_offset_text().set_size(7)
        axis.set_label_text("UTC", size=7)
    elif scale.texts:
        places = np.unique(np.linspace(0, len(scale.texts) - 1, 5).round().astype(int))
        axis.set_ticks([float(scale.values[at]) for at in places], [scale.texts[at][:10] for at in places])


def _world(plane: Any) -> None:
    """The coast, where it is known, names in it, as wide a degree as it is there, and as many labels as fit."""
    from matplotlib import ticker  # noqa: PLC0415 - as above

    west, east = plane.get_xlim()
    south, north = plane.get_ylim()
    regional = east - west <= _REGIONAL
    for turn in (-360, 0, 360) if regional else ():
        if west < _CHARTED[2] + turn and _CHARTED[0] + turn < east:
            for line in _coast():
                plane.plot(line[:, 0] + turn, line[:, 1], color="#333333", linewidth=0.6)
            for x, y, name in _NAMES:
                plane.text(
                    x + turn,
                    y,
                    name,
                    ha="center",
                    va="center",
                    size=5.5,
                    style="italic",
                    color="#222222",
                    clip_on=True,
                ).set_in_layout(False)
    plane.set_xlim(west, east)
    plane.set_ylim(south, north)
    middle = np.clip((south + north) / 2, -80, 80)
    aspect = min(3.0, 1 / np.cos(np.radians(middle)))
    plane.set_aspect(aspect, adjustable="box")
    width = min(_MOST_WIDE, _TALL * (east - west) / (north - south) / aspect)
    few = ticker.FixedLocator([(west + east) / 2])  # room for one label
    many = ticker.MaxNLocator(int(np.clip(width / _LABEL, 1, 9)))
    plane.xaxis.set_major_locator(few if width < 2 * _LABEL else many)


@cache
def _coast() -> tuple[Any, ...]:
    """Coastlines of Biển Đông, each (point, [longitude, latitude]), without the frame of the relief they come from."""
    file = resources.files("catalog").joinpath("web", "static", "coast.json")  # see the README beside it
    west, south, east, north = _CHARTED
    lines = []
    for ring in json.loads(file.read_bytes()):
        points = np.array([*ring, ring[0]], dtype=float)
        x, y = points.T
        framed = (x <= west + 0.03) | (x >= east - 0.03) | (y <= south + 0.03) | (y >= north - 0.03)
        cuts = np.flatnonzero(framed[1:] & framed[:-1]) + 1
        lines += [part for part in np.split(points, cuts) if len(part) > 1]
    return tuple(lines)


_DRAWN = {
    "map": _map, "scatter": _scatter, "section": _image, "profile": _profile, "line": _line, "lines": _lines,
}  # fmt: skip
