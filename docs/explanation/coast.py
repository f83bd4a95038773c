"""Draw the coast of Biển Đông out of a relief grid: its zero contour, as closed rings.

Run it from the repository root, with numpy and netCDF4:

    python docs/explanation/coast.py harvesters/sample/etopo5_bien_dong.nc catalog/web/static/coast.json

Marching squares with linear interpolation, land as the inside; a ring of sea is laid round the grid so that
every ring closes. Rings are thinned by Douglas and Peucker's method, and small ones are left out.
"""

# ruff: noqa: INP001 - a script beside the text that explains it
import json
import sys
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

TOLERANCE = 0.035  # degrees a thinned line may stray
SMALLEST = 0.012  # square degrees of the smallest ring kept
LARGEST_LAKE = 1.0  # square degrees: a smaller hole in the land is low land, not sea
SEA = -1.0

Point = tuple[float, float]
Edge = tuple[str, int, int]

# Land corners of a cell (1 south-west, 2 south-east, 4 north-east, 8 north-west) → pairs of sides from, to;
# walked with the land on the left. Sides: s, e, n, w.
WALKS = {
    1: ("sw",), 2: ("es",), 3: ("ew",), 4: ("ne",), 5: ("sw", "ne"), 6: ("ns",), 7: ("nw",),
    8: ("wn",), 9: ("sn",), 10: ("es", "wn"), 11: ("en",), 12: ("we",), 13: ("se",), 14: ("ws",),
}  # fmt: skip


def crossings(relief: np.ndarray[Any, Any]) -> dict[Edge, Edge]:
    """Return each crossed cell edge → the next one along the contour."""
    land = relief >= 0
    after: dict[Edge, Edge] = {}
    for row in range(land.shape[0] - 1):
        for column in range(land.shape[1] - 1):
            bits = land[row, column] + 2 * land[row, column + 1]
            bits += 4 * land[row + 1, column + 1] + 8 * land[row + 1, column]
            sides = {
                "s": ("h", row, column), "n": ("h", row + 1, column),
                "w": ("v", row, column), "e": ("v", row, column + 1),
            }  # fmt: skip
            for start, end in WALKS.get(int(bits), ()):
                after[sides[start]] = sides[end]
    return after


def place(
    edge: Edge, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], relief: np.ndarray[Any, Any]
) -> Point:
    """Return where the contour crosses an edge, in degrees."""
    way, row, column = edge
    other = (row, column + 1) if way == "h" else (row + 1, column)
    a, b = float(relief[row, column]), float(relief[other])
    share = a / (a - b)
    return (
        float(x[column] + share * (x[other[1]] - x[column])),
        float(y[row] + share * (y[other[0]] - y[row])),
    )


def rings(
    x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], relief: np.ndarray[Any, Any]
) -> list[list[Point]]:
    """Return the closed contours, not repeating the first point."""
    after = crossings(relief)
    found = []
    while after:
        edge, following = next(iter(after.items()))
        ring = []
        while edge in after:
            ring.append(place(edge, x, y, relief))
            edge = after.pop(edge)
        assert following is not None
        found.append(ring)
    return found


def area(ring: list[Point]) -> float:
    """Return the signed area: positive for land, negative for a hole in it (shoelace formula)."""
    turned = ring[1:] + ring[:1]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, turned, strict=True)) / 2


def thinned(line: list[Point], tolerance: float) -> list[Point]:
    """Return the line without the points that stray less than the tolerance (Douglas and Peucker, 1973)."""
    if len(line) < 3:  # noqa: PLR2004
        return line
    points = np.asarray(line)
    chord = points[-1] - points[0]
    length = float(np.hypot(*chord))
    offset = points - points[0]
    stray = (
        np.hypot(*offset.T)
        if length == 0
        else np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length
    )
    far = int(stray.argmax())
    if stray[far] <= tolerance:
        return [line[0], line[-1]]
    return thinned(line[: far + 1], tolerance)[:-1] + thinned(line[far:], tolerance)


def coast(path: Path) -> list[list[list[float]]]:
    """Return the rings of land, largest first, each a list of [longitude, latitude] to 0.02°."""
    with netCDF4.Dataset(path) as file:
        x, y = (np.asarray(file[name][:], dtype=float) for name in ("ETOPO05_X", "ETOPO05_Y"))
        relief = np.pad(np.asarray(file["ROSE"][:], dtype=float), 1, constant_values=SEA)
    x, y = (np.concatenate([axis[:1], axis, axis[-1:]]) for axis in (x, y))
    kept = []
    for ring in sorted(rings(x, y, relief), key=area, reverse=True):
        if area(ring) > SMALLEST or area(ring) < -LARGEST_LAKE:
            thin = thinned([*ring, ring[0]], TOLERANCE)[:-1]
            rounded = dict.fromkeys(
                (round(round(a / 0.02) * 0.02, 2), round(round(b / 0.02) * 0.02, 2)) for a, b in thin
            )
            kept.append([list(point) for point in rounded])
    return [ring for ring in kept if len(ring) > 2]  # noqa: PLR2004


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(coast(source), separators=(",", ":")) + "\n", "utf-8")
