"""Positions on the sphere: unit vectors, distances along great circles, and the nearest of many positions."""

from typing import Any

import numpy as np
import numpy.typing as npt

RADIUS = 6_371_008.8
"""Metres: the mean radius of the Earth (IUGG; Moritz, Geodetic Reference System 1980, R1)."""

MOST_SINGLE = 100_000
"""Positions of which each is in a tree; of more, blocks of neighbours are."""

_BITS = 20  # of a position along each of three axes, where neighbours are sought
_BLOCK = 16  # positions of a block, at most
_ALIKE = 4  # times as far as the smallest of them, or as half of all, blocks of one tree may reach
_SLAB = 1_000_000
_AT_ONCE = 1_024
_ROUNDED = 4e-7  # of a unit vector in single precision: 2.5 m
_Floats = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]


def vectors(longitudes: npt.ArrayLike, latitudes: npt.ArrayLike) -> _Floats:
    """Return unit vectors, of the positions' shape and a last dimension of 3; NaN where a position is missing."""
    x, y = np.radians(np.asarray(longitudes, np.float64)), np.radians(np.asarray(latitudes, np.float64))
    return np.stack((np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)), axis=-1)


def degrees(directions: _Floats) -> tuple[_Floats, _Floats]:
    """Return longitudes and latitudes of vectors of any length, the inverse of `vectors`."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def metres(chords: npt.ArrayLike) -> _Floats:
    """Return the lengths in metres along great circles of chords between unit vectors."""
    found: _Floats = 2 * RADIUS * np.arcsin(np.minimum(np.asarray(chords, np.float64) / 2, 1.0))
    return found


def distance(
    longitude: npt.ArrayLike, latitude: npt.ArrayLike, longitudes: npt.ArrayLike, latitudes: npt.ArrayLike
) -> _Floats:
    """Return the distances in metres along great circles between positions; shapes are broadcast."""
    apart = vectors(longitude, latitude) - vectors(longitudes, latitudes)
    return metres(np.sqrt(np.sum(apart * apart, axis=-1)))


def _tree(points: _Floats) -> Any:
    """A tree in space of points, (number, 3)."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - a tenth of a server's start, and only grids of two axes have one

    return cKDTree(points)


def haversines(
    longitude: float, latitude: float, longitudes: npt.ArrayLike, latitudes: npt.ArrayLike
) -> _Floats:
    """Return the haversines of the angles between a position and others; shapes are broadcast.

    They grow with the distance, which is 2 R arcsin of their root, and of two axes cost no more than the axes' own.
    """
    x, y = np.radians(np.asarray(longitudes, np.float64)), np.radians(np.asarray(latitudes, np.float64))
    row = np.radians(latitude)
    found: _Floats = (
        np.sin((y - row) / 2) ** 2 + np.cos(row) * np.cos(y) * np.sin((x - np.radians(longitude)) / 2) ** 2
    )
    return found


class Index:
    """The legal ones of many positions, in an order in which the nearest are found at once.

    Args:
        longitudes: Degrees, of any shape.
        latitudes: Degrees, of the same shape; positions that are missing or beyond a pole are left out.
    """

    def __init__(self, longitudes: _Floats, latitudes: _Floats) -> None:
        self._x, self._y = longitudes.ravel(), latitudes.ravel()
        with np.errstate(invalid="ignore"):
            places = np.flatnonzero(np.isfinite(self._x) & (np.abs(self._y) <= 90))  # noqa: PLR2004
        self.size = int(places.size)
        self._places, self._trees = places, tuple[_Blocks, ...]()
        if self.size > MOST_SINGLE:
            self._places, self._trees = _neighbours(self._x, self._y, places)
        else:
            self._tree = _tree(vectors(self._x[places], self._y[places]))

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that it has beside the positions, about."""
        of_trees = sum(blocks.held_bytes for blocks in self._trees) if self._trees else 42 * self.size
        return int(self._places.nbytes) + of_trees

    def nearest(
        self, longitudes: npt.ArrayLike, latitudes: npt.ArrayLike, count: int
    ) -> tuple[_Indices, _Floats]:
        """Return flat indices of the `count` nearest positions (fewer where there are fewer) and metres to them.

        Both are of the points' shape and a last dimension of at most `count`, the nearest first.
        """
        count = min(count, self.size)
        asked = vectors(longitudes, latitudes)
        if not self._trees:
            chords, at = self._tree.query(asked, k=np.arange(1, count + 1))
            return self._places[at], metres(chords)
        points = asked.reshape(-1, 3)
        found = [
            self._among(points[at : at + _AT_ONCE], count) for at in range(0, len(points), _AT_ONCE)
        ] or [(np.empty((0, count), np.intp), np.empty((0, count)))]
        places, chords = (
            np.concatenate(part).reshape(*asked.shape[:-1], count) for part in zip(*found, strict=True)
        )
        return places, metres(chords)

    def _among(self, points: _Floats, count: int) -> tuple[_Indices, _Floats]:
        """The nearest to some unit vectors, and chords to them: only blocks that may hold one of them are looked at."""
        bound = np.min([blocks.bound(points, count) for blocks in self._trees], axis=0)
        parts = [blocks.within(points, bound) for blocks in self._trees]
        which, starts, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(which, kind="stable")
        which, starts, counts = which[order], starts[order], counts[order]
        at = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        which, places = np.repeat(which, counts), self._places[at].astype(np.intp)
        apart = vectors(self._x[places], self._y[places]) - points[which]
        several = np.bincount(which, minlength=len(points))
        column = np.arange(which.size) - np.repeat(np.cumsum(several) - several, several)
        chords = np.full((len(points), several.max(initial=0)), np.inf)
        chords[which, column] = np.sqrt(np.sum(apart * apart, axis=-1))
        there = np.zeros(chords.shape, np.intp)
        there[which, column] = places
        best = np.argpartition(chords, count - 1, axis=1)[:, :count]
        chords, there = (np.take_along_axis(known, best, axis=1) for known in (chords, there))
        order = np.lexsort((there, chords), axis=-1)
        return np.take_along_axis(there, order, axis=1), np.take_along_axis(chords, order, axis=1)


class _Blocks:
    """Blocks of neighbouring positions that reach about as far: a tree of their centres.

    Args:
        centres: (blocks, 3).
        reaches: The longest chord from each centre to a position of its block.
        starts: Where each block begins in the list of positions.
        counts: How many positions it has, at least one.
    """

    def __init__(self, centres: _Floats, reaches: _Floats, starts: _Indices, counts: _Indices) -> None:
        self._tree, self._reaches, self._starts, self._counts = _tree(centres), reaches, starts, counts
        self._widest = float(reaches.max())

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that it has, about."""
        return 66 * self._starts.size

    def bound(self, points: _Floats, count: int) -> _Floats:
        """Return chords within which `count` positions of the blocks lie, of each point; infinite: they are fewer."""
        chords, at = self._tree.query(points, k=np.arange(1, min(count, self._starts.size) + 1))
        most = chords + self._reaches[at]
        order = np.argsort(most, axis=1)
        several = np.cumsum(np.take_along_axis(self._counts[at], order, axis=1), axis=1) >= count
        found: _Floats = np.where(several, np.take_along_axis(most, order, axis=1), np.inf).min(axis=1)
        return found

    def within(self, points: _Floats, bound: _Floats) -> tuple[_Indices, _Indices, _Indices]:
        """Return which point, and start and count of a block that may hold a position within its bound; for each."""
        found = self._tree.query_ball_point(points, np.minimum(bound + self._widest, 3.0))
        which = np.repeat(np.arange(len(points)), [len(several) for several in found])
        at = np.array([block for several in found for block in several], np.intp)
        far = np.linalg.norm(self._tree.data[at] - points[which], axis=-1)
        near = far <= bound[which] + self._reaches[at]
        return which[near], self._starts[at[near]], self._counts[at[near]]


def _neighbours(x: _Floats, y: _Floats, places: _Indices) -> tuple[npt.NDArray[Any], tuple[_Blocks, ...]]:
    """Positions in an order along which neighbours follow one another (Morton's), and their blocks."""
    points = np.empty((3, places.size), np.float32)
    for start in range(0, places.size, _SLAB):
        part = places[start : start + _SLAB]
        points[:, start : start + _SLAB] = vectors(x[part], y[part]).T
    codes = _codes(points)
    order = np.argsort(codes)
    starts, counts = _runs(codes[order])
    points = points[:, order]
    places = places[order].astype(np.uint32 if x.size < 1 << 32 else np.int64)
    centres = np.add.reduceat(points, starts, axis=1) / counts.astype(np.float32)
    apart = np.zeros(places.size, np.float32)
    for axis in range(3):
        apart += (points[axis] - np.repeat(centres[axis], counts)) ** 2
    reaches = np.sqrt(np.maximum.reduceat(apart, starts)).astype(np.float64) + _ROUNDED
    kinds = np.floor(np.log(np.maximum(reaches / np.median(reaches), 1)) / np.log(_ALIKE))
    alike = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    centres = centres.T.astype(np.float64)
    return places, tuple(_Blocks(centres[at], reaches[at], starts[at], counts[at]) for at in alike)


def _codes(points: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    """Numbers of positions (3, n) whose bits are those of three axes in turn, within the smallest cube around all."""
    least = points.min(axis=1)
    scale = ((1 << _BITS) - 1) / max(float((points.max(axis=1) - least).max()), 1e-9)
    found = np.zeros(points.shape[1], np.uint64)
    for axis, low in enumerate(least):
        bits = ((points[axis] - low) * np.float32(scale)).astype(np.uint64)
        for shift, mask in _SPREADS:
            bits = (bits | bits << shift) & mask
        found |= bits << np.uint64(axis)
    return found


_SPREADS = tuple(
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in (
        (32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    )
)  # fmt: skip
"""How 21 bits are set three apart, in five steps."""


def _runs(codes: npt.NDArray[np.uint64]) -> tuple[_Indices, _Indices]:
    """Starts and lengths of runs of rising codes that lie in one cube each, few cubes having less than a run."""
    low, high = 0, 3 * _BITS
    while low < high:
        middle = (low + high) // 2
        cubes = 1 + np.count_nonzero(np.diff(codes >> np.uint64(middle)))
        low, high = (low, middle) if cubes <= codes.size / _BLOCK else (middle + 1, high)
    begins = np.append(0, np.flatnonzero(np.diff(codes >> np.uint64(low))) + 1)
    lengths = np.diff(begins, append=codes.size)
    pieces = -(-lengths // _BLOCK)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(begins, pieces) + number * np.repeat(lengths, pieces) // np.repeat(pieces, pieces)
    return starts, np.diff(starts, append=codes.size)
