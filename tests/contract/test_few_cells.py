"""Pictures and CoverageJSON of what is narrow, empty, or one profile with levels of its own."""

import itertools

import numpy as np
import pytest
import xarray as xr
from covjson_pydantic.coverage import Coverage
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from catalog import formats
from catalog.data import opening, subset
from catalog.errors import NotSubsettable
from catalog.formats import png
from catalog.formats._shown import shown
from catalog.record import Distribution

LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)


def profile(shared_real, **asked):
    path = shared_real / "files" / "argo" / "13857_prof.nc"
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        true = source[["PRES", "TEMP"]].isel(N_PROF=3).load()
        return subset.cut(source, subset.Cut(variables=("TEMP",), **asked), "argo", LIMITS).load(), true


def written(suffix, dataset):
    return b"".join(formats.named(suffix).write(dataset))


def test_one_profile_of_many_is_drawn_downwards(shared_real):
    got, true = profile(shared_real, indices="N_PROF[3]")
    what = shown(got)
    assert (what.kind, what.x.role, what.x.down, what.y) == ("profile", "depth", True, None)
    assert "pressure" in what.x.label
    pressure = xr.decode_cf(true)["PRES"].to_numpy()
    np.testing.assert_array_equal(what.x.values, pressure)
    assert written("png", got).startswith(b"\x89PNG")


def test_one_profile_is_a_vertical_profile_and_several_are_refused(shared_real):
    got, true = profile(shared_real, indices="N_PROF[3]")
    answer = Coverage.model_validate_json(written("covjson", got))
    decoded = xr.decode_cf(true)
    known = np.isfinite(decoded["PRES"].to_numpy())
    assert answer.domain.domainType.value == "VerticalProfile"
    np.testing.assert_allclose(answer.domain.axes.z.values, decoded["PRES"].to_numpy()[known], rtol=1e-6)
    numbers = [np.nan if n is None else n for n in answer.ranges["TEMP"].values]
    np.testing.assert_allclose(numbers, decoded["TEMP"].to_numpy()[known], rtol=1e-6)
    with pytest.raises(NotSubsettable, match="one profile") as refused:
        written("covjson", profile(shared_real)[0])
    assert "indices=N_PROF[0]" in refused.value.hint


def field(values, step=0.25):
    rows, columns = values.shape
    return xr.Dataset(
        {"sst": (("lat", "lon"), values, {"units": "degree_C"})},
        {
            "lat": ("lat", 8 + step * np.arange(rows), {"units": "degrees_north"}),
            "lon": ("lon", 107 + step * np.arange(columns), {"units": "degrees_east"}),
        },
    )


def drawn(dataset):
    """The figure as the format makes it, laid out."""
    what = shown(dataset)
    figure = Figure(figsize=(8, 6), dpi=150, layout="compressed")
    FigureCanvasAgg(figure)
    png._title(figure, what)
    png._foot(figure, {}, grey=True)
    png._map(figure, figure.add_subplot(), what)
    figure.canvas.draw()
    return figure


def test_a_map_without_numbers_has_no_scale_of_colours():
    assert len(drawn(field(np.full((8, 9), np.nan))).axes) == 1
    figure = drawn(field(np.arange(72.0).reshape(8, 9)))
    assert len(figure.axes) == 2
    assert any(png.GREY_MEANS in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("columns", [2, 3, 5, 8, 20, 60])
def test_labels_below_a_narrow_map_do_not_overlap(columns):
    figure = drawn(field(np.arange(40.0 * columns).reshape(40, columns)))
    axis = figure.axes[0].xaxis
    low, high = sorted(axis.get_view_interval())
    labels = [
        label.get_window_extent()
        for place, label in zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
        if low <= place <= high and label.get_text()
    ]
    labels.sort(key=lambda each: each.x0)
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(labels))
