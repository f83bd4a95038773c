"""Good values by the flags of QARTOD, IODE, Argo and CF, against numpy."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from catalog.data import flags, opening, subset
from catalog.errors import NotSubsettable
from catalog.record import Distribution

QARTOD = {
    "flag_values": np.array([1, 2, 3, 4, 9], "i1"),
    "flag_meanings": "PASS NOT_EVALUATED SUSPECT FAIL MISSING",
}
GHRSST = {
    "flag_values": np.arange(6, dtype="i1"),
    "flag_meanings": "no_data bad_data worst_quality low_quality acceptable_quality best_quality",
}
SEADATANET = {
    "flag_values": np.array(["0", "1", "2", "3", "4"], "S1"),
    "flag_meanings": "no_quality_control good_value probably_good_value probably_bad_value bad_value",
}
MASKS = {
    "flag_masks": np.array([1, 2, 4], "i1"),
    "flag_meanings": "land spike out_of_range",
}
CASES = [
    (QARTOD, "i1", {1}),
    (GHRSST, "i1", {4, 5}),
    (SEADATANET, "S1", {1, 2}),
    (MASKS, "i1", {0, 1, 8, 9}),
    ({"conventions": "Argo reference table 2"}, "S1", {1, 2}),
    ({"Conventions": "IODE quality flags"}, "i1", {1}),
    ({"conventions": "OceanSITES QC Flags, reference table 2"}, "i1", {1, 2}),
    ({"flag_values": "1, 2, 4", "flag_meanings": "good suspect bad"}, "i2", {1}),
]


@pytest.mark.parametrize(("attributes", "dtype", "wanted"), CASES)
def test_a_scheme_says_what_is_good(attributes, dtype, wanted):
    codes = np.arange(10)
    raw = codes.astype("U1").astype("S1") if dtype == "S1" else codes.astype(dtype)
    assert set(codes[flags.is_good(raw, attributes)]) == wanted


@pytest.mark.parametrize(
    "attributes",
    [{}, {"flag_values": np.arange(2), "flag_meanings": "ice no_ice"}, {"flag_meanings": "good bad"},
     {"flag_masks": np.array([1, 2]), "flag_meanings": "day night"}, {"long_name": "quality"},
     {"conventions": "Argo reference table 21"}],
)  # fmt: skip
def test_what_is_not_understood_is_no_flag(attributes):
    data = xr.Dataset({"t": (("x",), np.zeros(3)), "t_qc": (("x",), np.ones(3, "i1"), attributes)})
    assert flags.beside(data, ("t",)) == ()


@given(data=st.data())
def test_values_that_are_not_good_are_missing_and_others_stay(tmp_path_factory, data):
    dice = np.random.default_rng(data.draw(st.integers(0, 1000)))
    path = tmp_path_factory.mktemp("flags") / "file.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 6), ("depth", 4)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = np.arange(size)
            axis.units = "days since 2000-01-01" if name == "time" else "m"
        t = file.createVariable("t", "i2", ("time", "depth"))
        t.setncatts({"scale_factor": 0.1, "ancillary_variables": "t_all t_each"})
        t.set_auto_maskandscale(False)
        t[:] = values = dice.integers(-100, 100, (6, 4))
        for name, dims in (("t_all", ("time",)), ("t_each", ("depth", "time"))):
            flag = file.createVariable(name, "i1", dims, fill_value=-1)
            flag.setncatts(QARTOD)
            flag[:] = dice.choice([1, 1, 1, 2, 2, 3, 4, 9], [file.dimensions[d].size for d in dims])
        every, each = file["t_all"][:].filled(-1), file["t_each"][:].filled(-1)
    step = data.draw(st.sampled_from(["", "time[1:2:5]", "depth[2:3]"]))
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        request = subset.Cut(variables=("t",), qc="good", indices=step)
        limits = subset.Limits(result_bytes=10**9, decoded_bytes=10**9)
        got = xr.decode_cf(subset.cut(source, request, "x", limits))["t"].to_numpy()
    fine = np.isin(every, [1, 2])[:, None] & np.isin(each.T, [1, 2])
    is_good = fine & ((every == 1)[:, None] | (each.T == 1))
    wanted = np.where(is_good, values * 0.1, np.nan)
    wanted = {"": wanted, "time[1:2:5]": wanted[1::2], "depth[2:3]": wanted[:, 2:4]}[step]
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_test_that_was_not_evaluated_does_not_veto(shared_real):
    path = shared_real / "files" / "hfradar" / "hfr_rtv_midatl_6km_oi_maracoos_2022_02_21_1200.nc"
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        limits = subset.Limits(result_bytes=10**9, decoded_bytes=10**9)
        got = subset.cut(source, subset.Cut(variables=("u",), qc="good"), "x", limits)
        primary = source["qc_primary_flag"].to_numpy()
        numbers = xr.decode_cf(got)["u"].to_numpy()
        true = xr.decode_cf(source[["u"]].load())["u"].to_numpy()
    assert np.isfinite(numbers).sum() == 3213
    np.testing.assert_array_equal(numbers, np.where(primary == 1, true, np.nan))


def test_argo_profiles_keep_good_values_only(shared_real):
    path = shared_real / "files" / "argo" / "13857_prof.nc"
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        limits = subset.Limits(result_bytes=10**9, decoded_bytes=10**9)
        got = subset.cut(source, subset.Cut(variables=("TEMP",), qc="good"), "x", limits)
        true, codes = source["TEMP"].to_numpy(), source["TEMP_QC"].to_numpy()
        temperature = got["TEMP"].to_numpy()
    kept = np.isin(codes, [b"1", b"2"])
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(temperature[kept], true[kept])
    assert (temperature[~kept] == source["TEMP"].attrs["_FillValue"]).all()


def test_flags_of_others_and_none_are_said():
    data = xr.Dataset(
        {
            "temp": (("x",), np.zeros(3)),
            "temp_qc": (("x",), np.ones(3, "i1"), QARTOD),
            "s": (("x",), np.zeros(3)),
        }
    )
    _, notes = flags.good(data)
    assert notes == ("no quality flags are known of s: every value is kept",)
    with pytest.raises(NotSubsettable):
        flags.good(data[["s"]])
