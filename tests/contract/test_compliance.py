"""What we write as NetCDF is judged by the IOOS compliance checker (CF, ACDD): a cut is no worse than its source."""

import functools

import numpy as np
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite

from catalog import formats
from catalog.data import opening, subset
from catalog.record import Distribution

pytestmark = pytest.mark.filterwarnings("ignore")  # the checker's own, of its deprecated parts
LIMITS = subset.Limits(result_bytes=500_000_000, decoded_bytes=2_000_000_000)
NETCDF = sorted({"nc", "nc3"} & set(formats.all_formats()))
CHECKERS = ("cf:1.8", "acdd:1.3")
SAMPLES = (
    "cmems_sea_level_20190223", "coads_climatology", "etopo5", "levitus_climatology", "navy_monthly_winds",
)  # fmt: skip
REAL = (
    "erddap_griddap/MWsstd1day.nc",
    "hfradar/hfr_rtv_midatl_6km_oi_maracoos_2022_02_21_1200.nc",
    "cmems_aviso/nrt_global_allsat_phy_l4_20190223_20190226.nc",
    "iris/SOI_Darwin.nc",
)


@functools.cache
def _suite():
    CheckSuite.load_all_available_checkers()
    return CheckSuite()


@functools.cache
def faults(path):
    """What the checkers find, as (checker, check, message), and the points got of those there are, by checker."""
    suite = _suite()
    with suite.load_dataset(str(path)) as file:
        found, points = set(), {}
        for checker in CHECKERS:
            ((groups, errors),) = suite.run_all(file, [checker]).values()
            assert not errors
            scores = [
                group.value if isinstance(group.value, tuple) else (int(bool(group.value)), 1)
                for group in groups
            ]
            points[checker] = sum(got for got, _ in scores) / sum(of for _, of in scores)
            bad = [group for group, (got, of) in zip(groups, scores, strict=True) if got < of]
            found |= {(checker, str(group.name), message) for group in bad for message in group.msgs}
    return found, points


def cut(path, target, suffix, **parameters):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as source:
        part = subset.cut(source, subset.parse(parameters), "some-id", LIMITS)
        target.write_bytes(b"".join(formats.named(suffix).write(part)))


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A file that the checkers find next to nothing against: CF 1.8 and all of ACDD 1.3."""
    path = tmp_path_factory.mktemp("described") / "source.nc"
    content = {"coverage_content_type": "physicalMeasurement", "grid_mapping": "crs"}
    axis = {"coverage_content_type": "coordinate"}
    rng = np.random.default_rng(0)
    attributes = {
        "Conventions": "CF-1.8, ACDD-1.3",
        "title": "Sea surface temperature of a made sea",
        "summary": "Made for a test of what a cut keeps.",
        "keywords": "OCEANS > OCEAN TEMPERATURE > SEA SURFACE TEMPERATURE",
        "keywords_vocabulary": "GCMD Science Keywords",
        "standard_name_vocabulary": "CF Standard Name Table v79",
        "license": "CC-BY-4.0",
        "id": "made-sst",
        "naming_authority": "org.example",
        "history": "2020-01-01T00:00:00Z made",
        "source": "numpy",
        "processing_level": "L4",
        "comment": "none",
        "acknowledgement": "nobody",
        "references": "https://example.org/made",
        "institution": "Example institute",
        "project": "Made",
        "program": "Made",
        "platform": "made",
        "platform_vocabulary": "https://example.org/platforms",
        "instrument": "made",
        "instrument_vocabulary": "https://example.org/instruments",
        "product_version": "1",
        "cdm_data_type": "Grid",
        "metadata_link": "https://example.org/made.xml",
        **{f"date_{what}": "2020-01-01T00:00:00Z" for what in ("created", "issued", "modified", "metadata_modified")},
        **{
            f"{who}_{what}": value
            for who in ("creator", "publisher")
            for what, value in {
                "name": "A. Author", "url": "https://example.org", "email": "a@example.org", "type": "person",
                "institution": "Example institute",
            }.items()
        },
        "contributor_name": "B. Author",
        "contributor_role": "author",
        "geospatial_lat_min": 15.25, "geospatial_lat_max": 22.75,
        "geospatial_lat_units": "degrees_north", "geospatial_lat_resolution": "0.5 degree",
        "geospatial_lon_min": 104.25, "geospatial_lon_max": 111.75,
        "geospatial_lon_units": "degrees_east", "geospatial_lon_resolution": "0.5 degree",
        "geospatial_vertical_min": 0.0, "geospatial_vertical_max": 0.0, "geospatial_vertical_units": "m",
        "geospatial_vertical_resolution": "point", "geospatial_vertical_positive": "down",
        "geospatial_bounds": "POLYGON ((15.25 104.25, 15.25 111.75, 22.75 111.75, 22.75 104.25, 15.25 104.25))",
        "geospatial_bounds_crs": "EPSG:4326", "geospatial_bounds_vertical_crs": "EPSG:5831",
        "time_coverage_start": "2019-02-23T00:00:00Z", "time_coverage_end": "2019-03-04T00:00:00Z",
        "time_coverage_duration": "P9D", "time_coverage_resolution": "P1D",
    }  # fmt: skip
    crs = {
        "grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
        "coverage_content_type": "referenceInformation", "long_name": "WGS 84", "epsg_code": "EPSG:4326",
        "longitude_of_prime_meridian": 0.0,
    }  # fmt: skip
    sst = {
        "standard_name": "sea_surface_temperature",
        "long_name": "Sea surface temperature",
        "units": "degree_Celsius",
    }
    dataset = xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), rng.normal(25, 2, (10, 16, 16)).astype("f4"), {**sst, **content}),
            "crs": ((), np.int32(0), crs),
        },
        {
            "time": ("time", np.arange(10.0), {
                "standard_name": "time", "long_name": "Time", "units": "days since 2019-02-23T00:00:00Z",
                "calendar": "standard", "axis": "T", **axis,
            }),
            "lat": ("lat", np.arange(15.25, 23, 0.5), {
                "standard_name": "latitude", "long_name": "Latitude", "units": "degrees_north", "axis": "Y", **axis,
            }),
            "lon": ("lon", np.arange(104.25, 112, 0.5), {
                "standard_name": "longitude", "long_name": "Longitude", "units": "degrees_east", "axis": "X", **axis,
            }),
        },
        attributes,
    )  # fmt: skip
    packing = {name: {"_FillValue": None} for name in ("time", "lat", "lon", "crs")}
    dataset.to_netcdf(path, encoding={**packing, "sst": {"_FillValue": np.float32(-999)}})
    return path


@pytest.mark.parametrize("suffix", NETCDF)
@pytest.mark.parametrize(
    "parameters", [{}, {"bbox": "105,16,110,20", "time": "2019-02-24/2019-02-26"}, {"stride": "2"}]
)
def test_a_cut_of_a_well_described_file_is_described_as_well(suffix, parameters, described, tmp_path):
    before, score = faults(described)
    assert min(score.values()) > 0.98, before
    cut(described, tmp_path / "cut.nc", suffix, **parameters)
    after, reached = faults(tmp_path / "cut.nc")
    gone = {fault for fault in after - before if "_resolution not present" in fault[2]}
    assert after - gone <= before
    if "stride" not in parameters:  # the source's resolutions are no longer true of every second cell
        assert not gone
        assert all(reached[checker] >= score[checker] for checker in CHECKERS)


@pytest.mark.parametrize("suffix", NETCDF)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_cut_of_the_sample_has_no_fault_of_its_own(suffix, sample, shared_sample, tmp_path):
    path = shared_sample / f"{sample}_bien_dong.nc"
    cut(path, tmp_path / "cut.nc", suffix, bbox="105.5,17,110,22")
    assert faults(tmp_path / "cut.nc")[0] <= faults(path)[0]


@pytest.mark.parametrize("suffix", NETCDF)
@pytest.mark.parametrize("name", REAL)
def test_a_cut_of_a_real_file_has_no_fault_of_its_own(suffix, name, shared_real, tmp_path):
    path = shared_real / "files" / name
    cut(path, tmp_path / "cut.nc", suffix)
    assert faults(tmp_path / "cut.nc")[0] <= faults(path)[0]
