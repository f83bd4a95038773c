"""What a server bears: memory on the largest answer, clients that read slowly, two requests at once."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from benchmarks.process import OK, Server
from benchmarks.questions import ADDRESSES, SUFFIXES, TEXT, Question, ours, questions
from benchmarks.sst import Sst
from benchmarks.taker import Taker, taker

HEAD = "| load | server | measured |\n| --- | --- | --- |"
DOUBLE = "ours, two processes"
"""`bienmo serve --workers 2`, as a machine of two processors is served."""

SLOW = 20
_PACE = 64_000  # bytes a second that a slow client reads
_SLOW_SECONDS = 12.0
_MEGABYTE = 1e6


class Load(NamedTuple):
    """What was found: a name, the server, a number in its unit, and words."""

    name: str
    server: str
    number: float
    said: str

    def row(self) -> str:
        """Return the row in Markdown."""
        return f"| {self.name} | {self.server} | {self.said} |"


def loads(servers: Mapping[str, Server], sst: Sst, suffixes: Sequence[str], n: int) -> Iterator[Load]:
    """Yield what the catalog itself bears."""
    small, large = questions(sst)[2], questions(sst)[-1]
    mine = servers["ours"]
    for suffix in suffixes:
        for question in (questions(sst)[1], large):
            if suffix not in TEXT:  # the length of a text is not known before
                yield from two_at_once(servers, sst, question, suffix, n)
        yield slow(mine, ours(large, sst, "map", suffix), ours(small, sst, "cube", suffix), SUFFIXES[suffix])


def memories(servers: Mapping[str, Server], sst: Sst, suffixes: Sequence[str]) -> Iterator[Load]:
    """Yield by how much each server grows on the largest cut; asked first, while the servers are fresh."""
    small, large = questions(sst)[2], questions(sst)[-1]
    for name, server in servers.items():
        asked = ours if name == "ours" else ADDRESSES[name]
        kinds = [
            (layout, suffix)
            for suffix in suffixes
            if name == "ours" or suffix not in TEXT
            for layout in sst.files
            if asked(large, sst, layout, suffix)
        ]
        if name == "limit" or not kinds:
            continue
        with server.client() as client:
            for layout, suffix in kinds:
                client.ask(asked(small, sst, layout, suffix) or "")
        before = server.resident()
        for layout, suffix in kinds:
            path = asked(large, sst, layout, suffix) or ""
            yield _memory(server, f"{large.name}, {layout}, {SUFFIXES[suffix]}", path, before)


def _memory(server: Server, name: str, path: str, before: int) -> Load:
    """Ask once; find by how much the peaks of resident memory of all processes stand above what they had."""
    with server.client() as client:
        server.forget_peak()
        answer = client.ask(path)
        grown = (server.peak() - before) / _MEGABYTE
    said = f"+ {grown:.0f} MB over {before / _MEGABYTE:.0f} MB"
    if answer.status != OK:
        said = f"answers {answer.status}"
    return Load(f"memory, {name}", server.name, grown, said)


def slow(server: Server, path: str, small: str, form: str) -> Load:
    """Let 20 clients, each of its own address, read a large answer slowly; ask for a small one meanwhile."""
    server.forget_peak()
    before = server.resident()
    until = time.monotonic() + _SLOW_SECONDS
    with ThreadPoolExecutor(SLOW) as threads:
        reading = [threads.submit(_slow_client, server, path, number, until) for number in range(SLOW)]
        waited = []
        with server.client("127.0.0.200") as client:
            while time.monotonic() < until - 1:
                time.sleep(0.5)
                began = time.perf_counter()
                client.ask(small)
                waited.append((time.perf_counter() - began) * 1_000)
        ends = [future.result() for future in reading]
    grown = (server.peak() - before) / _MEGABYTE
    served = sum(end == "200" for end in ends)
    others = ", ".join(f"{ends.count(end)} × {end}" for end in sorted(set(ends) - {"200"}))
    said = f"+ {grown:.0f} MB; {served} of {SLOW} served{f' ({others})' if others else ''}; "
    said += f"a small box meanwhile {median(waited):.0f} ms, at worst {max(waited):.0f} ms"
    return Load(f"{SLOW} slow clients, {form}", server.name, grown, said)


def _slow_client(server: Server, path: str, number: int, until: float) -> str:
    try:
        with server.client(f"127.0.1.{number + 1}") as client:
            return str(client.ask_slowly(path, _PACE, until)[0])
    except OSError as error:
        return type(error).__name__


def two_at_once(
    servers: Mapping[str, Server], sst: Sst, question: Question, suffix: str, n: int
) -> Iterator[Load]:
    """Compare two clients asking at once with one asking alone: how many times as much is answered in a second.

    Beside ours, the limit sends as many bytes: what two clients get from it says what the machine gives just now.
    """
    times = 3 if question.large else 30
    with ExitStack() as clients, servers["ours"].client() as client:
        size = client.ask(ours(question, sst, "map", suffix)).size
        pairs = {
            name: [clients.enter_context(taker(servers[name].port)) for _ in range(2)]
            for name in ("ours", DOUBLE, "limit")
            if name in servers
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
        for at in range(n):
            for name, (first, second) in pairs.items():
                cuts = [
                    [
                        _path(name, question.moved(number, sst), sst, suffix, size)
                        for number in range(start, start + times)
                    ]
                    for start in (at * 100, at * 100 + 40, at * 100 + 80)
                ]
                alone = _seconds({first: cuts[0]})
                found[name].append((alone, _seconds({first: cuts[1], second: cuts[2]})))
    for name, seconds in found.items():
        alone, both = (median(column) for column in zip(*seconds, strict=True))
        said = f"{2 * alone / both:.2f} × the throughput of one"
        yield Load(f"two at once, {question.name}, map, {SUFFIXES[suffix]}", name, 2 * alone / both, said)


def _path(name: str, question: Question, sst: Sst, suffix: str, size: int) -> str:
    if name != "limit":
        return ours(question, sst, "map", suffix)
    return f"{ADDRESSES[name](question, sst, 'map', suffix)}&send={size}"


def _seconds(asked: Mapping[Taker, Sequence[str]]) -> float:
    """Let clients ask at once; return how long it takes until all have all."""
    began = time.perf_counter()
    for client, paths in asked.items():
        client.begin(paths)
    for client in asked:
        client.wait()
    return time.perf_counter() - began
