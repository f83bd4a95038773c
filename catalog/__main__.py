"""The command line: demo, harvest, serve, search, show, subset, optimize, sources, runs, same, quality, health.

Exit codes: 0 well; 1 an error, said on stderr; 2 wrong usage; 3 a harvest of which a source did not end complete, or a
check of which one did not answer.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from catalog.commands import HomeOption, JsonOption, RunsGroup, out, print_json, runs, write_whole
from catalog.errors import BadRequest, CatalogError, NotFound
from catalog.health_command import health
from catalog.quality_command import quality
from catalog.same_command import same_commands
from catalog.settings import Settings
from catalog.source import Source, read_sources

app = typer.Typer(
    name="bienmo",
    help="Biển Mở: harvest, search and cut public marine data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_err = Console(stderr=True)
app.add_typer(runs)
app.add_typer(same_commands)
app.command()(quality)
app.command()(health)

SourcesOption = Annotated[
    Path | None,
    typer.Option("--sources", help="The sources.toml to use.", dir_okay=False, show_default=False),
]


def main() -> None:
    """Run the command line, and say errors in a sentence."""
    try:
        app()
    except CatalogError as error:
        _say(error.code, error.message, error.hint)
    except ValidationError as error:
        first = error.errors()[0]
        _say(
            "bad-setting",
            f"{error.title}.{'.'.join(map(str, first['loc']))}: {first['msg']}",
            "see docs/reference/settings.md",
        )
    except OSError as error:
        _say("system", f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    sys.exit(1)


def _say(code: str, message: str, hint: str = "") -> None:
    _err.print(f"[red]{code}[/red]: ", end="", highlight=False)
    _err.print(message, markup=False, highlight=False, soft_wrap=True)
    if hint:
        _err.print(f"  {hint}", markup=False, highlight=False, soft_wrap=True)


def _settings(home: Path | None, sources: Path | None = None) -> Settings:
    given: dict[str, Any] = {"home": home, "sources": sources}
    return Settings(**{key: value for key, value in given.items() if value is not None})


def _built_in() -> Path:
    import harvesters

    return Path(harvesters.__file__).parent / "sources.toml"


def configured(settings: Settings) -> tuple[Source, ...]:
    """Return the sources in use."""
    return read_sources(sources_file(settings))


def sources_file(settings: Settings) -> Path:
    """Return the file of the sources in use: the setting's, else HOME/sources.toml, else the built-in list."""
    at_home = settings.home / "sources.toml"
    return settings.sources or (at_home if at_home.exists() else _built_in())


@app.command()
def harvest(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]…", help="Sources; all enabled if none.")
    ] = None,
    sources: SourcesOption = None,
    home: HomeOption = None,
    due: Annotated[bool, typer.Option("--due", help="Those that are due by their schedule.")] = False,  # noqa: FBT002
    watch: Annotated[bool, typer.Option("--watch", help="Harvest by schedule until stopped.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, keep nothing.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print events, a JSON object a line.")] = False,  # noqa: FBT002
) -> None:
    """Harvest sources into the catalog."""
    from harvesters import _command

    settings = _settings(home, sources)
    asked = _command.Asked(_err, as_json, dry_run)
    if watch and (names or due or dry_run):
        raise BadRequest("--watch takes all sources with a schedule", hint="bienmo harvest --watch [--json]")
    if watch:
        _command.watch(settings, lambda: sources_file(settings), asked)
        return
    runs = _command.once(settings, _chosen(configured(settings), names or []), asked, due=due)
    if not as_json:
        _print_runs(runs, quarantine=True)
    if any(run.state != "complete" for run in runs):
        raise typer.Exit(3)


def _chosen(sources: Sequence[Source], names: Sequence[str]) -> list[Source]:
    if not names:
        return [source for source in sources if source.enabled]
    known = {source.id: source for source in sources}
    for name in names:
        if name not in known:
            raise NotFound(f"there is no source {name!r}", hint="sources: " + ", ".join(known))
    return [known[name] for name in names]


@app.command()
def demo(
    home: HomeOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Harvest the built-in sample and serve it, with no network."""
    from harvesters import _command

    settings = _settings(home, _built_in())
    runs = _command.once(settings, _chosen(configured(settings), ["sample"]), _command.Asked(_err))
    _print_runs(runs, quarantine=True)
    if any(run.state != "complete" for run in runs):
        raise typer.Exit(3)
    _serve(settings, host, port, workers=1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Server processes.")] = 1,
    sources: SourcesOption = None,
    home: HomeOption = None,
) -> None:
    """Serve the catalog: pages, API and subsets."""
    _serve(_settings(home, sources), host, port, workers=workers)


def _serve(settings: Settings, host: str, port: int, *, workers: int) -> None:
    from catalog import server

    os.environ["BIENMO_HOME"] = str(settings.home)
    if settings.sources:
        os.environ["BIENMO_SOURCES"] = str(settings.sources)
    _err.print(f"Biển Mở: http://{host}:{port}/", highlight=False)
    server.run("catalog.__main__:application", host=host, port=port, workers=workers)


def application() -> Any:
    """Return the ASGI application of the settings in the environment: what `serve` runs, for any ASGI server.

    The reading processes import their libraries while this one imports its own.
    """
    from catalog import tuning
    from catalog.data.workers import Nursery

    settings = Settings()
    sources = configured(settings)
    tuning.frugal()
    nursery = Nursery()
    with tuning.loading():
        from catalog.app import create_app
        from catalog.service import open_catalog

        app = create_app(open_catalog(settings, sources, nursery))
    tuning.settle()
    return app


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="Words, in Vietnamese or English.")] = "",
    bbox: Annotated[str, typer.Option(help="west,south,east,north in degrees.")] = "",
    time: Annotated[str, typer.Option(help="first/last, ISO 8601.")] = "",
    limit: Annotated[int, typer.Option(help="Records to show.")] = 20,
    asof: Annotated[str, typer.Option(help="As they were at this instant, ISO 8601.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Search the catalog."""
    from catalog.interfaces import api

    given = {"q": text, "bbox": bbox, "time": time, "asof": asof, "limit": str(limit) if limit != 20 else ""}  # noqa: PLR2004
    with _opened(home) as catalog:
        answer = api.datasets(catalog, {key: value for key, value in given.items() if value})
    if as_json:
        print_json(answer)
        return
    table = Table(Column("id", no_wrap=True), "title", "kind", Column("time", no_wrap=True), box=None)
    for item in answer["items"]:
        span = item["extent"]["time"] or {}
        when = "/".join((span.get(end) or "..")[:10] for end in ("start", "end")) if span else ""
        words = item["title"]
        table.add_row(
            item["id"], words.get("vi") or words.get("en") or next(iter(words.values())), item["kind"], when
        )
    out().print(table)
    _err.print(f"{answer['numberReturned']} of {answer['numberMatched']}", highlight=False)


@app.command()
def show(
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    asof: Annotated[str, typer.Option(help="As it was at this instant, ISO 8601.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Show one record."""
    from catalog.interfaces import api

    with _opened(home) as catalog:
        answer = api.dataset(catalog, record_id, asof or None)
    if as_json:
        print_json(answer)
    else:
        out().print_json(data=answer)


@app.command("subset")
def cut(
    record_id: Annotated[str, typer.Argument(metavar="ID")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; its ending is the format.")],
    variables: Annotated[str, typer.Option(help="Names, comma-separated; all if empty.")] = "",
    bbox: Annotated[str, typer.Option(help="west,south,east,north in degrees.")] = "",
    time: Annotated[str, typer.Option(help="first/last in the data's own calendar.")] = "",
    depth: Annotated[str, typer.Option(help="min/max in metres, positive down.")] = "",
    stride: Annotated[str, typer.Option(help="Every n-th along an axis: 2 or time:2,latitude:4.")] = "",
    indices: Annotated[str, typer.Option(help="Exact indices, by dimension: time[0:2:10],lat[5].")] = "",
    coords: Annotated[str, typer.Option(help="A place as WKT or GeoJSON: POINT(107.2 20.5).")] = "",
    method: Annotated[str, typer.Option(help="nearest or linear, for points.")] = "",
    qc: Annotated[str, typer.Option(help="good: only values that their flags call good.")] = "",
    reduce: Annotated[str, typer.Option(help="mean(time), max(longitude,latitude), mean(time:month).")] = "",
    home: HomeOption = None,
) -> None:
    """Cut a dataset into a file."""
    from catalog import formats
    from catalog.data import subset

    known = sorted(formats.all_formats(), key=len, reverse=True)
    suffix = next(
        (s for s in known if output.name.lower().endswith(f".{s}")), output.suffix.lstrip(".").lower()
    )
    if not suffix:
        raise BadRequest(f"{output} has no ending", hint=f"end it in one of: {', '.join(sorted(known))}")
    given = {"variables": variables, "bbox": bbox, "time": time, "depth": depth, "stride": stride}
    given |= {"indices": indices, "coords": coords, "method": method, "qc": qc, "reduce": reduce}
    with _opened(home) as catalog, _err.status(f"cutting {record_id}"):
        answer = catalog.subset(record_id, subset.parse({k: v for k, v in given.items() if v}), suffix)
        write_whole(output, answer.pieces())
    for note in answer.notes:
        _err.print(note, highlight=False)
    _err.print(f"{output}: {output.stat().st_size:,} bytes", highlight=False)


@app.command()
def optimize(
    record_id: Annotated[str, typer.Argument(metavar="[ID]", help="The dataset.")] = "",
    auto: Annotated[bool, typer.Option("--auto", help="Those for which a month's requests pay it.")] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the gain, make nothing.")] = False,  # noqa: FBT002
    drop: Annotated[bool, typer.Option("--drop", help="Remove the twin.")] = False,  # noqa: FBT002
    home: HomeOption = None,
) -> None:
    """Keep a twin of a dataset in chunks that serve series; of one that is there, check it."""
    from catalog import optimizing

    if bool(record_id) == auto or (drop and (auto or dry_run)):
        raise BadRequest("say a dataset or --auto", hint="bienmo optimize ID [--dry-run | --drop]")
    with _opened(home) as catalog, Progress(console=_err, transient=True) as bar:
        for line in optimizing.run(catalog, record_id, bar, dry_run=dry_run, drop=drop):
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


sources_group = typer.Typer(cls=RunsGroup, name="sources", help="List the sources; see which of them answer.")
app.add_typer(sources_group)


@sources_group.command("check")
def check_sources(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE]…", help="Sources; all enabled if none.")
    ] = None,
    sources: SourcesOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Ask each source for its first dataset, and tell which answer; nothing is kept."""
    from harvesters import _checking

    settings = _settings(home, sources)
    chosen = _chosen(configured(settings), names or [])
    with _opened(home, sources) as catalog:
        found = _checking.check_all(chosen, settings, workers=catalog.workers)
    if as_json:
        print_json({"sources": [each.model_dump() for each in found]})
    else:
        table = Table(Column("id", no_wrap=True), "answers", "seconds", "said", box=None)
        for each in found:
            table.add_row(each.id, "yes" if each.answers else "no", f"{each.seconds:.1f}", escape(each.said))
        out().print(table)
    if not all(each.answers for each in found):
        raise typer.Exit(3)


@sources_group.command("list")
def list_sources(sources: SourcesOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002
    """List the sources: how many records each has, its last run, and when it is due by its schedule."""
    from catalog.interfaces import api
    from harvesters._watch import next_times

    settings = _settings(home, sources)
    with _opened(home, sources) as catalog:
        answer = api.sources(catalog)
        due = {} if as_json else next_times(configured(settings), catalog.store, settings)
    if as_json:
        print_json(answer)
        return
    table = Table(Column("id", no_wrap=True), "protocol", "records", "last run", "due", "url", box=None)
    for item in answer["sources"]:
        run = item["last_run"]
        last = f"{run['state']} {run['started'][:16]}" if run else ""
        where = item["url"] or item["title"]
        table.add_row(
            item["id"], item["protocol"] or "", str(item["records"]), last, due.get(item["id"], ""), where
        )
    out().print(table)


@runs.command("list")
def list_runs(
    source: Annotated[str | None, typer.Argument(help="Runs of this source only.")] = None,
    sources: SourcesOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """List the harvest runs, newest first."""
    from catalog.interfaces import api

    with _opened(home, sources) as catalog:
        if as_json:
            print_json(api.runs(catalog, source))
        else:
            _print_runs(catalog.runs(source), quarantine=False)


def _opened(home: Path | None, sources: Path | None = None) -> Any:
    from catalog.service import open_catalog

    settings = _settings(home, sources)
    return open_catalog(settings, configured(settings))


def _print_runs(runs: Sequence[Any], *, quarantine: bool) -> None:
    counted = ("seen", "new", "changed", "unchanged", "quarantined", "held", "withdrawn")
    columns = ("run", "source", "state", *counted, "seconds")
    table = Table(*(Column(name, no_wrap=True, min_width=len(name)) for name in columns), box=None)
    for run in runs:
        counts = run.counts
        table.add_row(
            *map(str, (run.id, run.source, run.state, run.seen, counts.new, counts.changed, counts.unchanged)),
            *map(str, (counts.quarantined, run.held, run.withdrawn, f"{run.seconds:.1f}")),
        )  # fmt: skip
    out().print(table)
    for run in runs:
        if run.note:
            _err.print(f"{run.source}: {run.note}", markup=False, highlight=False)
        for item in run.quarantine if quarantine else ():
            _err.print(
                f"{run.source}: quarantined {item.native_id}: {item.reason}", markup=False, highlight=False
            )


if __name__ == "__main__":
    main()
