"""Remote data through the whole catalog: cut there, kept for repeats, and no server holds up the others."""

import contextlib
import threading
import time

import netCDF4
import numpy as np
import pytest

from catalog import reaching
from catalog.data import queues, subset
from catalog.data.repeats import Repeats
from catalog.data.strikes import Strikes
from catalog.errors import CatalogError, DataUnreadable, TooBusy, Unreachable
from catalog.interfaces._sending import send
from catalog.record import Distribution, Record, Text
from catalog.service import Catalog
from catalog.settings import Settings
from elsewhere import files, grid, hyperslabs

LIMITS = subset.Limits(result_bytes=10_000_000, decoded_bytes=10_000_000)


class Store:
    """A store of records."""

    def __init__(self, *records):
        self._records = {record.id: record for record in records}

    def get(self, record_id):
        return self._records[record_id]

    def close(self):
        pass


def record(name, address, protocol="http"):
    return Record(
        id=name,
        source="s",
        native_id=name,
        title=Text(und=name),
        distributions=(Distribution(protocol=protocol, address=address),),
        document_hash="0" * 64,
    )


@contextlib.contextmanager
def catalog_of(home, *records, **limits):
    known = {"home": home, "allow_hosts": ("127.0.0.1", "localhost"), "remote_readers": 2, **limits}
    with Catalog(Store(*records), Settings(**known)) as catalog:
        yield catalog


def asked(catalog, name, suffix="csv", **parameters):
    answer = catalog.subset(name, subset.parse(parameters), suffix)
    return b"".join(answer.pieces()), answer.notes


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    grid(folder / "grid.nc")
    with files(folder) as served:
        yield served


BOX = {"variables": "sst,wind", "bbox": "10,10,20,20", "time": "2000-01-01/2000-01-20", "stride": "time:2"}


def test_a_server_of_hyperslabs_is_asked_for_just_the_cut(tmp_path):
    path = grid(tmp_path / "grid.nc")
    with hyperslabs(path, ("sst", "wind")) as server:
        remote = Distribution(protocol="opendap", address=server.address)
        reach = reaching.Reach(allow_hosts=("127.0.0.1",))
        body = b"".join(reaching.written(remote, subset.parse(BOX), "nc3", "x", {}, reach, LIMITS, None))
        queries = [query for path, query in server.asked if path.endswith(".dods")]
        assert len(queries) == 2  # the coordinates, then all variables
        assert set(queries[0].split(",")) == {"time[0:1:6]", "lat[0:1:39]", "lon[0:1:49]"}
        assert set(queries[1].split(",")) == {f"{v}.{v}[0:2:2][13:1:26][17:1:32]" for v in ("sst", "wind")}
        cells = 2 * 14 * 16
        assert (
            server.sent < cells * (4 + 4) + (7 + 40 + 50) * 8 + 6_000
        )  # values as XDR, coordinates, descriptions
    with netCDF4.Dataset("x", memory=body[: body.rindex(b"[")]) as found, netCDF4.Dataset(path) as file:
        for name in ("sst", "wind"):
            for one in (found, file):
                one.set_auto_maskandscale(False)
            np.testing.assert_array_equal(found[name][:], file[name][0:3:2, 13:27, 17:33])


def test_an_answer_is_given_again_with_its_age(site, tmp_path):
    one = record("grid", f"{site.address}/grid.nc")
    with catalog_of(tmp_path / "home", one) as catalog:
        first, notes = asked(catalog, "grid", **BOX)
        assert notes == ()
        site.forget()
        again, notes = asked(catalog, "grid", **BOX)
        assert again == first
        assert notes == ("this answer was kept for repeats: 127.0.0.1 was asked 0 seconds ago",)
        assert [path for _, path, _ in site.asked] == ["/grid.nc"]  # whether it is still the same
        assert site.sent == 1
        with netCDF4.Dataset(site.folder / "grid.nc", "a") as file:
            file.set_auto_maskandscale(False)
            file["sst"][:] = 7
        changed, notes = asked(catalog, "grid", **BOX)
        assert changed != first
        assert notes == ()
        site.instead = lambda handler: handler.send_error(503) is None
        with pytest.raises(Unreachable):
            asked(catalog, "grid", **BOX)


def test_nothing_is_given_again_where_that_is_turned_off(site, tmp_path):
    one = record("grid", f"{site.address}/grid.nc")
    with catalog_of(tmp_path / "home", one, remote_cache_seconds=0) as catalog:
        assert asked(catalog, "grid", **BOX)[1] == asked(catalog, "grid", **BOX)[1] == ()
        assert not list((tmp_path / "home/cache").glob("*.kept"))


def test_the_formats_and_cuts_are_kept_apart(site, tmp_path):
    one = record("grid", f"{site.address}/grid.nc")
    with catalog_of(tmp_path / "home", one) as catalog:
        answers = {asked(catalog, "grid", suffix, **BOX)[0] for suffix in ("csv", "tsv", "nc")}
        answers |= {
            asked(catalog, "grid", **{**BOX, "stride": "time:3"})[0],
            asked(catalog, "grid", bbox="0,0,9,9")[0],
        }
        assert len(answers) == 5
        assert "every" not in catalog.estimate("grid", subset.parse(BOX), "csv").model_dump()


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def test_what_is_kept_is_whole_young_and_bounded(tmp_path):
    clock = Clock()
    kept = Repeats(tmp_path / "cache", 10_000, clock)
    kept.put(("a",), b"x" * 4_000, ("said",))
    clock.now += 60
    found = kept.get(("a",), 60)
    assert (found.body, found.age, found.notes) == (b"x" * 4_000, 60, ("said",))
    assert kept.get(("a",), 59) is None
    assert kept.get(("b",), 60) is None
    clock.now -= 61  # a clock that was put back
    assert kept.get(("a",), 60) is None
    clock.now += 61
    (file,) = (tmp_path / "cache").iterdir()
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"y", b"", b"\n", b"[]\n" + b"x" * 4_000):
        file.write_bytes(damaged)
        assert kept.get(("a",), 60) is None
    for number in range(5):
        time.sleep(0.01)
        kept.put((str(number),), b"x" * 4_000)
    file.write_bytes(b"")
    left = [number for number in range(5) if kept.get((str(number),), 60)]
    assert left == [3, 4]
    kept.put(("large",), b"x" * 10_001)
    assert kept.get(("large",), 60) is None
    Repeats(file / "no folder", 10_000).put(("a",), b"x")


def test_a_server_that_does_not_answer_is_left_alone(site, tmp_path):
    """FAULTS row 14: after three failures its requests are refused at once; those of others are not."""
    stop = threading.Event()
    site.instead = lambda handler: "stalled" in handler.path and bool(stop.wait(20) or True)
    address = site.address.replace("127.0.0.1", "localhost")
    ways = [record("grid", f"{site.address}/grid.nc")]
    ways += [record(f"stalled{n}", f"{address}/stalled{n}.nc") for n in range(5)]
    with catalog_of(tmp_path / "home", *ways, fetch_stall_seconds=0.3) as catalog:
        for number in range(3):
            with pytest.raises(Unreachable):
                asked(catalog, f"stalled{number}", **BOX)
        site.forget()
        with pytest.raises(DataUnreadable, match="did not answer 3 times") as caught:
            asked(catalog, "stalled4", **BOX)
        assert 55 <= caught.value.details["retry_after"] <= 60
        assert site.asked == []
        assert asked(catalog, "grid", **BOX)[0]
    stop.set()


def test_after_a_minute_one_request_tries_again():
    clock = Clock()
    strikes = Strikes(clock, most=3, trial_seconds=10)
    for _ in range(3):
        strikes.admit("host")
        strikes.strike("host", 60)
    for _ in range(2):
        with pytest.raises(DataUnreadable):
            strikes.admit("host")
    strikes.admit("other")
    clock.now += 60
    strikes.refuse("host")
    strikes.admit("host")
    with pytest.raises(DataUnreadable):  # the others wait for what becomes of it
        strikes.admit("host")
    strikes.strike("host", 60)
    clock.now += 59
    with pytest.raises(DataUnreadable):
        strikes.admit("host")
    clock.now += 1
    strikes.admit("host")
    clock.now += 10  # what became of it was never told
    strikes.admit("host")
    strikes.clear("host")
    for _ in range(3):
        strikes.admit("host")


def test_one_server_has_half_of_the_places_and_of_the_queue():
    strikes = Strikes(most=3)
    queue = queues.Queue(4, 6, 2, strikes)
    outcomes = []
    with contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(queue.place("slow"))

        def wait():
            try:
                with queue.place("slow"):
                    outcomes.append("served")
            except CatalogError as error:
                outcomes.append(type(error))

        crowd = [threading.Thread(target=wait) for _ in range(5)]
        for thread in crowd:
            thread.start()
        for _ in range(2):  # there is room for others, however many wait for the slow one
            with queue.place("good"):
                pass
        until = time.monotonic() + 10
        while outcomes.count(TooBusy) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert outcomes == [TooBusy, TooBusy]  # three may wait for one
        for _ in range(3):
            queue.strike("slow", 60)
        for thread in crowd:
            thread.join(10)
    assert outcomes[2:] == [DataUnreadable] * 3  # and are told at once that it is left alone


def test_a_kept_answer_tells_its_age_as_a_header(site, tmp_path):
    with catalog_of(tmp_path / "home", record("grid", f"{site.address}/grid.nc")) as catalog:
        cut = subset.parse({"variables": "sst", "bbox": BOX["bbox"]})
        fresh, kept = (send(catalog.subset("grid", cut, "nc3")).headers for _ in range(2))
        assert "age" not in fresh
        assert 0 <= int(kept["age"]) < 60
