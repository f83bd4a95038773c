"""The law of tables: whatever the file's form, a query's rows are those that a plain walk through all rows finds."""

import contextlib
import csv
import datetime as dt
import math
import re
from itertools import groupby
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.data import constraints, opening, tabular
from catalog.data.delimited import Delimited
from catalog.data.parquets import Parquets
from catalog.data.sampled import Sampled
from catalog.errors import BadRequest, DataUnreadable, NotFound, NotSubsettable, TooLarge
from catalog.record import Distribution

NAMES = ("station", "lon", "lat", "time", "temp", "single", "count", "remark")
MOST = 1_000_000_000
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
TYPES = {
    "station": "string", "lon": "float64", "lat": "float64", "time": "datetime64[us]", "temp": "float64",
    "single": "float64", "count": "int64", "remark": "string",
}  # fmt: skip

numbers = st.one_of(
    st.sampled_from([0.0, 0.1, -1.5, 5.1, 20.0]), st.none(), st.floats(-1e9, 1e9, allow_nan=False)
)
texts = st.sampled_from(["", "tốt", "good", "HN1", 'a"b', "x,y", "=1", "a\\b", "Z"])
samples = st.tuples(st.integers(0, 90), numbers, numbers, st.integers(-3, 3), texts)
stations = st.lists(
    st.tuples(
        st.sampled_from([-170.25, 0.0, 106.5]), st.sampled_from([-5.5, 20.5]), st.lists(samples, max_size=5)
    ),
    min_size=1,
    max_size=4,
)


def rows_of(made):
    """The rows as dicts; a missing value is None, a time a datetime."""
    return [
        {
            "station": f"HN{at}", "lon": lon, "lat": lat, "time": EPOCH + dt.timedelta(hours=hour), "temp": temp,
            "single": None if single is None else float(np.float32(single)), "count": count, "remark": remark or None,
        }
        for at, (lon, lat, observed) in enumerate(made)
        for hour, temp, single, count, remark in observed
    ]  # fmt: skip


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def as_csv(rows, path):
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(NAMES)
        for row in rows:
            cells = {**row, "time": iso(row["time"])}
            out.writerow(
                [
                    "" if cells[n] is None else repr(cells[n]) if isinstance(cells[n], float) else cells[n]
                    for n in NAMES
                ]
            )
    return Delimited(path, TYPES)


def as_parquet(rows, path):
    kinds = {
        "time": pa.timestamp("ns", "UTC"),
        "single": pa.float32(),
        "count": pa.int16(),
        "station": pa.string(),
    }
    kinds |= {
        "remark": pa.dictionary(pa.int8(), pa.string()),
        **dict.fromkeys(("lon", "lat", "temp"), pa.float64()),
    }
    table = pa.table({n: pa.array([row[n] for row in rows], kinds[n]) for n in NAMES})
    pq.write_table(table, path, row_group_size=2)
    return Parquets(path)


TIME = {"units": "hours since 2000-01-01", "standard_name": "time"}
PLACE = {
    "lon": {"units": "degrees_east"}, "lat": {"units": "degrees_north"}, "station": {"cf_role": "timeseries_id"},
}  # fmt: skip


def hours(row):
    return (row["time"] - EPOCH).total_seconds() / 3600


def observed(rows, dims, shape=None, at=None):
    """The variables of samples, in a shape of their own with fills where there is no sample."""
    found = {}
    for name in ("time", "temp", "single", "count", "remark"):
        kind = {"count": "i2", "remark": object, "single": "f4"}.get(name, "f8")
        values = [hours(row) if name == "time" else row[name] for row in rows]
        empty = "" if name == "remark" else np.nan
        values = [empty if value is None else value for value in values]
        if shape is None:
            array = np.array(values, kind)
        else:
            array = np.full(shape, -9 if name == "count" else "fill" if name == "remark" else np.nan, kind)
            for place, value in zip(at, values, strict=True):
                array[place] = value
        attributes = TIME if name == "time" else {"coordinates": "time lat lon"}
        found[name] = (dims, array, attributes)
    return found


def placed(made):
    return {
        "station": ("instance", np.array([f"HN{at}" for at in range(len(made))], object), PLACE["station"]),
        "lon": ("instance", np.array([m[0] for m in made]), PLACE["lon"]),
        "lat": ("instance", np.array([m[1] for m in made]), PLACE["lat"]),
    }


def as_contiguous(made):
    sizes = ("instance", np.array([len(m[2]) for m in made], "i4"), {"sample_dimension": "obs"})
    return Sampled(xr.Dataset({**placed(made), "row_size": sizes, **observed(rows_of(made), ("obs",))}))


def as_indexed(made):
    index = np.array([at for at, m in enumerate(made) for _ in m[2]], "i4")
    link = ("obs", index, {"instance_dimension": "instance"})
    return Sampled(xr.Dataset({**placed(made), "station_index": link, **observed(rows_of(made), ("obs",))}))


def as_incomplete(made):
    at = [(i, j) for i, m in enumerate(made) for j in range(len(m[2]))]
    shape = (len(made), max(len(m[2]) for m in made))
    return Sampled(xr.Dataset({**placed(made), **observed(rows_of(made), ("instance", "obs"), shape, at)}))


def known(row, name):
    return row[name].timestamp() if name == "time" and row[name] is not None else row[name]


def holds(row, name, operator, value):
    """What a constraint means, by the words of the documentation."""
    there = known(row, name)
    missing = value is None
    if missing:
        return {"=": there is None, "!=": there is not None}.get(operator, False)
    if operator in {"=~", "!~"}:
        return there is not None and (re.fullmatch(value, there) is not None) == (operator == "=~")
    if there is None:
        return operator == "!="
    if name == "single":
        value = float(np.float32(value))
    if isinstance(value, str):
        there, value = there.encode(), value.encode()
    return {
        "=": there == value, "!=": there != value, "<": there < value, "<=": there <= value, ">": there > value,
        ">=": there >= value,
    }[operator]  # fmt: skip


def written(name, operator, value):
    if value is None:
        return f"{name}{operator}{'NaN' if name not in {'station', 'remark'} else chr(34) * 2}"
    if isinstance(value, str):
        return f"{name}{operator}" + '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if name == "time":
        return f"{name}{operator}{iso(dt.datetime.fromtimestamp(value, dt.UTC)) if value % 7200 else value}"
    return f"{name}{operator}{value!r}"


comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
moments = st.integers(-1, 91).map(lambda hour: (EPOCH + dt.timedelta(hours=hour)).timestamp())
asked = st.one_of(
    st.tuples(st.sampled_from(["temp", "single"]), comparisons, numbers),
    st.tuples(
        st.just("count"),
        comparisons,
        st.one_of(st.integers(-4, 4), st.sampled_from([0.5, -3.5, 1e30, -1e30, None])),
    ),
    st.tuples(st.sampled_from(["lon", "lat"]), comparisons, st.sampled_from([-170.25, 0.0, 20.5, 200.0])),
    st.tuples(st.just("time"), comparisons, st.one_of(st.none(), moments)),
    st.tuples(st.sampled_from(["station", "remark"]), comparisons, st.one_of(st.none(), texts.filter(bool))),
    st.tuples(
        st.sampled_from(["station", "remark"]),
        st.sampled_from(["=~", "!~"]),
        st.sampled_from(["HN.*", "HN[01]", ".", "good|tốt", '.*".*', r"a\\b", "HN1|Z"]),
    ),
)
queries = st.tuples(
    st.lists(st.sampled_from(NAMES), unique=True, max_size=6), st.lists(asked, max_size=3), st.booleans()
)


def order(value):
    return (value is None, value.encode() if isinstance(value, str) else 0 if value is None else value)


def forms(made, folder):
    rows = rows_of(made)
    yield "csv", as_csv(rows, folder / "rows.csv")
    yield "parquet", as_parquet(rows, folder / "rows.parquet")
    if rows:
        yield "contiguous", as_contiguous(made)
        yield "indexed", as_indexed(made)
        yield "incomplete", as_incomplete(made)


def got(sheet, text):
    """The rows of an answer, none where it says that there is none."""
    try:
        found = tabular.answer(sheet, constraints.parse(text), MOST, MOST)
    except NotFound:
        return []
    return pa.Table.from_batches(list(found.batches), found.schema).to_pylist()


def same(first, second):
    """Tell whether two values are the same, means but for their last digits."""
    if isinstance(first, float) and isinstance(second, float):
        return first == second or math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(first, dt.datetime) and isinstance(second, dt.datetime):
        return abs(first - second) < dt.timedelta(microseconds=2)
    return first == second


@pytest.fixture
def folder(tmp_path):
    return tmp_path


SEVERAL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@SEVERAL
@given(made=stations, query=queries)
def test_every_form_gives_the_rows_that_a_plain_walk_finds(folder, made, query):
    columns, tests, encoded = query
    text = ",".join(columns) + "".join("&" + written(*test) for test in tests)
    wanted = [
        {name: row[name] for name in columns or NAMES}
        for row in rows_of(made)
        if all(holds(row, *test) for test in tests)
    ]
    for form, sheet in forms(made, folder):
        rows = got(sheet, quote(text, safe="") if encoded else text)
        plain = [{name: row[name] for name in columns or NAMES} for row in rows]
        assert plain == wanted, (form, text)


keys = st.lists(
    st.sampled_from(["station", "temp", "single", "count", "remark", "time"]),
    unique=True,
    min_size=1,
    max_size=3,
)


def expected(function, keys, rows):
    """What a function makes of rows, by sorting and grouping plain dicts."""

    def by(row, names=keys):
        return tuple(order(row[name]) for name in names)

    ordered = sorted(rows, key=by)
    if function == "orderBy":
        return ordered
    if function == "orderByLimit":
        return [row for _, group in groupby(ordered, by) for row in list(group)[:2]]
    if function in {"orderByMax", "orderByMin"}:
        found = []
        for first, group in grouped(ordered, lambda row: by(row, keys[:-1])):
            there = [row for row in group if row[keys[-1]] is not None]
            best = (max if function == "orderByMax" else min)(
                (r[keys[-1]] for r in there), key=order, default=None
            )
            found.append(next(row for row in group_in(rows, first, keys[:-1]) if row[keys[-1]] == best))
        return found
    if function == "orderByCount":
        return [
            {n: row[n] if n in keys else sum(r[n] is not None for r in group) for n in NAMES}
            for row, group in grouped(ordered, by)
        ]
    return [
        {
            n: row[n] if n in keys else mean([r[n] for r in group])
            for n in NAMES
            if n in keys or n not in {"station", "remark"}
        }
        for row, group in grouped(ordered, by)
    ]


def group_in(rows, like, names):
    return [row for row in rows if all(row[name] == like[name] for name in names)]


def grouped(ordered, by):
    for _, rows in groupby(ordered, by):
        group = list(rows)
        yield group[0], group


def mean(values):
    there = [value for value in values if value is not None]
    if not there:
        return None
    if isinstance(there[0], dt.datetime):
        return EPOCH + sum((value - EPOCH for value in there), dt.timedelta()) / len(there)
    return math.fsum(there) / len(there)


@SEVERAL
@given(
    made=stations,
    keys=keys,
    function=st.sampled_from(
        ["orderBy", "orderByMax", "orderByMin", "orderByMean", "orderByCount", "orderByLimit"]
    ),
    pieces=st.integers(1, 5),
)
def test_functions_do_what_sorting_and_grouping_rows_does(folder, made, keys, function, pieces):
    rows = rows_of(made)
    argument = ",".join(keys) + (",2" if function == "orderByLimit" else "")
    sheet = Cut(as_parquet(rows, folder / "rows.parquet"), pieces)
    found = got(sheet, f'&{function}("{argument}")')
    wanted = expected(function, keys, rows)
    assert len(found) == len(wanted)
    for row, should in zip(found, wanted, strict=True):
        assert row.keys() == should.keys()
        assert all(same(row[name], should[name]) for name in row), (row, should)


class Cut:
    """A sheet whose batches are cut into pieces of so many rows, so that functions must merge them."""

    def __init__(self, sheet, size):
        self._sheet, self._size = sheet, size
        self.schema, self.default, self.rows = sheet.schema, sheet.default, sheet.rows
        self.cost = sheet.cost

    def batches(self, names, where):
        for batch in self._sheet.batches(names, where):
            for start in range(0, batch.num_rows, self._size):
                yield batch.slice(start, self._size)


@SEVERAL
@given(made=stations)
def test_distinct_and_intervals(folder, made):
    rows = rows_of(made)
    sheet = as_parquet(rows, folder / "rows.parquet")
    pairs = {(row["remark"], row["count"]) for row in rows}
    found = [(row["remark"], row["count"]) for row in got(sheet, "remark,count&distinct()")]
    assert found == sorted(pairs, key=lambda pair: tuple(map(order, pair)))
    days = {row["time"].replace(hour=0) for row in rows}
    assert [row["time"] for row in got(sheet, 'time,temp&orderByMean("time/1day")')] == sorted(days)
    closest = got(sheet, 'time&orderByClosest("time/10hours")')
    best = {}
    for at in map(hours, rows):
        nearest = round((at + 262_968) / 10)  # hours from 1970 to 2000
        away = abs(at + 262_968 - nearest * 10)
        if nearest not in best or away < best[nearest][0]:
            best[nearest] = (away, at)
    assert {hours(row) for row in closest} == {at for _, at in best.values()}


@settings(max_examples=300)
@given(text=st.one_of(st.text(max_size=60), st.lists(st.sampled_from([
    "station", "time", "temp", "count", ",", "&", "=", "!=", "<", ">=", "=~", "!~", '"', "\\", "(", ")", "orderBy",
    "orderByMean", "orderByLimit", "orderByClosest", "distinct()", "time/1day", "max(", "min(time)", "now", "-7days",
    "5", "1e400", "-", "NaN", "2020-02-30", "2020", "%22", "%ff", "%", "+", "[", "*", "{2}", "inf", "/",
]), max_size=12).map("".join)))  # fmt: skip
def test_any_query_is_answered_or_refused(text):
    sheet = as_indexed([(1.0, 2.0, [(3, 1.5, None, 1, "good"), (4, None, 2.0, 2, "")])])
    with contextlib.suppress(BadRequest, NotFound, TooLarge):
        list(tabular.answer(sheet, constraints.parse(text), MOST, MOST).batches)


def test_partitions_and_statistics_leave_out_row_groups(tmp_path):
    days = np.arange(360)
    table = pa.table({
        "year": 2000 + days // 90, "day": days, "temp": days / 10.0, "time": days.astype("M8[D]").astype("M8[us]"),
    })  # fmt: skip
    for year in range(2000, 2004):
        folder = tmp_path / "parts" / f"year={year}"
        folder.mkdir(parents=True)
        part = table.filter(pa.compute.equal(table["year"], year)).drop_columns(["year"])
        pq.write_table(part, folder / "part.parquet", row_group_size=30)
    sheet = Parquets(tmp_path / "parts")

    def plan(text):
        where = [
            tabular.conditions.bind(c, sheet.schema.field(c.column), None)
            for c in constraints.parse(text).constraints
        ]
        return sheet.plan(where)

    assert plan("") == (12, 12)
    assert plan("&year=2001") == (3, 12)
    assert plan("&year>=2002&day<185") == (1, 12)
    assert plan("&time>=1970-12-26&temp!=3") == (1, 12)
    assert plan('&year=~"2001"') == (12, 12)
    assert [row["day"] for row in got(sheet, "day&time>=1970-12-26&year=2003")] == [359]
    assert [row["day"] for row in got(sheet, 'day&year=~"2001"&day<=91')] == [90, 91]


def test_the_header_of_a_text_file_is_read_as_it_is_written(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"\xef\xbb\xbf"
        b"# made by hand\n"
        b"mooring;day;sea temp (degree_C);depth [m];wmo\n"
        + "Hòn Dấu;2020-01-01;12,5;1;00123\n".encode()
        + b"Caf\xe9;2020-01-02 06:00:00+07:00;NaN;2;00124\n"
    )
    sheet = Delimited(path)
    assert sheet.schema.names == ["mooring", "day", "sea temp", "depth", "wmo"]
    assert [str(kind) for kind in sheet.schema.types] == [
        "string",
        "timestamp[us, tz=UTC]",
        "string",
        "int64",
        "string",
    ]
    first, second = got(sheet, "mooring,day,wmo")
    assert (first["mooring"], first["wmo"], second["mooring"]) == ("Hòn Dấu", "00123", "Café")
    assert second["day"] == dt.datetime(2020, 1, 1, 23, tzinfo=dt.UTC)


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"1,2\n3,4\n", b"a,b\n1,2,3\n", b"a,b\n1\n"])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataUnreadable):
        list(Delimited(tmp_path / "rows.csv").batches(["a"], ()))


def test_what_functions_keep_and_what_is_answered_is_bounded():
    made = [(1.0, 2.0, [(hour, float(hour), None, 1, "good") for hour in range(90)])]
    for text in ("", "&count=1", '&orderBy("time")', '&orderByMax("time,temp")'):
        with pytest.raises(TooLarge) as caught:
            list(tabular.answer(as_indexed(made), constraints.parse(text), 500, MOST).batches)
        assert caught.value.details["setting"] == "BIENMO_MAX_RESULT_BYTES"


def test_what_a_query_would_read_is_known_before_it_is_read():
    time = ("time", np.arange(1e6), {"units": "days since 2000-01-01"})
    huge = xr.Variable(("time", "x"), np.broadcast_to(np.float32(1), (1_000_000, 250_000)))
    huge.encoding["chunksizes"] = (100, 1_000)
    sheet = Sampled(xr.Dataset({"time": time, "huge": huge}))
    with pytest.raises(TooLarge) as caught:
        tabular.answer(sheet, constraints.parse("time,huge&huge<0"), MOST, MOST)
    assert (caught.value.details["asked"], caught.value.details["limit"]) == (10**12, MOST)
    where = [
        tabular.conditions.bind(
            constraints.parse("&time<2000-01-02").constraints[0], sheet.schema.field("time"), None
        )
    ]
    assert sheet.cost(["huge"], where) == 100 * 250_000 * 4


def opened(path, query):
    with opening.opened(Distribution(protocol="file", address=str(path)), opening.Reach()) as dataset:
        return got(Sampled(dataset), query)


def test_argo_profiles_are_rows_of_levels(shared_real):
    path = shared_real / "files/argo/13857_prof.nc"
    with xr.open_dataset(path) as real:
        pressure, temperature = real["PRES"].values, real["TEMP"].values
        cycles = real["CYCLE_NUMBER"].values
    rows = opened(path, "CYCLE_NUMBER,JULD,PRES,TEMP,PLATFORM_NUMBER")
    there = np.zeros(pressure.shape, bool)
    for cycle, levels in enumerate(
        pressure
    ):  # a level without pressure between others is a row, those after are not
        there[cycle, : np.flatnonzero(~np.isnan(levels))[-1] + 1] = True
    assert len(rows) == np.count_nonzero(there)
    np.testing.assert_array_equal(np.array([row["PRES"] for row in rows], "f4"), pressure[there])
    np.testing.assert_array_equal(
        np.array([row["TEMP"] for row in rows], float), temperature[there].astype(float)
    )
    shallow = opened(path, "CYCLE_NUMBER,TEMP&PRES<=10&CYCLE_NUMBER>=100")
    place = (pressure <= 10) & (cycles >= 100)[:, None]
    np.testing.assert_array_equal(
        np.array([row["TEMP"] for row in shallow], float), temperature[place].astype(float)
    )
    assert {row["PLATFORM_NUMBER"].strip() for row in rows} == {"13857"}
    assert opened(path, '&PLATFORM_NUMBER="13858"') == []


def test_real_files_of_each_geometry_are_tables(shared_real):
    files = sorted((shared_real / "files/argo").glob("*.nc"))
    files += sorted((shared_real / "responses/erddap_argo/nc").glob("*.nc"))
    files += [
        shared_real / f"files/compliance_checker/{name}" for name in ("bad-trajectory.nc", "trajectory.zarr")
    ]
    counted = {}
    for path in files:
        try:
            counted[path.name] = len(opened(path, ""))
        except (NotSubsettable, DataUnreadable) as error:
            counted[path.name] = error.message
    refused = {name: said for name, said in counted.items() if not isinstance(said, int)}
    assert all("neither NetCDF" in said for said in refused.values()), (
        refused
    )  # a recorded answer of a failure
    assert len(counted) - len(refused) >= 20
    assert all(counted[name] for name in counted if name not in refused)
