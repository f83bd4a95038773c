"""Positions on the sphere: unit vectors, distances along great circles, and the nearest of many positions."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

RADIUS = 6_371_008.8
"""Metres: the mean radius of the Earth (IUGG; Moritz, Geodetic Reference System 1980, R1)."""

_MOST_INDEXED = 4_000_000
_BLOCK = 1_000_000
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


class Index:
    """The legal ones of many positions, in an order in which the nearest are found at once.

    Args:
        longitudes: Degrees, of any shape.
        latitudes: Degrees, of the same shape; positions that are missing or beyond a pole are left out.
    """

    def __init__(self, longitudes: _Floats, latitudes: _Floats) -> None:
        x, y = longitudes.ravel(), latitudes.ravel()
        legal = np.isfinite(x) & (np.abs(y) <= 90)  # noqa: PLR2004
        self.places: _Indices = np.flatnonzero(legal)
        self._points = vectors(x[legal], y[legal])
        self._tree = cKDTree(self._points) if self.places.size <= _MOST_INDEXED else None

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that it has; of its tree, about what it takes with 16 positions a leaf."""
        return int(self.places.nbytes + self._points.nbytes) + (18 * self.places.size if self._tree else 0)

    def nearest(
        self, longitudes: npt.ArrayLike, latitudes: npt.ArrayLike, count: int
    ) -> tuple[_Indices, _Floats]:
        """Return flat indices of the `count` nearest positions (fewer where there are fewer) and metres to them.

        Both are of the points' shape and a last dimension of at most `count`, the nearest first.
        """
        count = min(count, self.places.size)
        asked = vectors(longitudes, latitudes)
        if self._tree is None:
            found = [self._searched(point, count) for point in asked.reshape(-1, 3)]
            shape = (*asked.shape[:-1], count)
            return (
                np.array([places for places, _ in found], np.intp).reshape(shape),
                np.array([far for _, far in found]).reshape(shape),
            )
        chords, at = self._tree.query(asked, k=np.arange(1, count + 1))
        return self.places[at], metres(chords)

    def spacing(self, count: int) -> _Floats:
        """Return metres from each legal position to its `count`-th nearest other place (0: there is none)."""
        if self.places.size <= 1 or self._tree is None:
            return np.zeros(self.places.size)
        chords, _ = self._tree.query(self._points, k=min(count + 1, self.places.size))
        return metres(chords[:, -1])

    def _searched(self, point: _Floats, count: int) -> tuple[_Indices, _Floats]:
        """The nearest of more positions than an index is made for: block by block."""
        places, far = np.empty(0, np.intp), np.empty(0)
        for start in range(0, len(self._points), _BLOCK):
            chords = np.linalg.norm(self._points[start : start + _BLOCK] - point, axis=-1)
            best = np.argpartition(chords, min(count, chords.size) - 1)[:count]
            places, far = np.append(places, best + start), np.append(far, chords[best])
        order = np.argsort(far, kind="stable")[:count]
        return self.places[places[order]], metres(far[order])
