"""The command `bienmo quality`: how well records and sources are described, and what is missing."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from catalog.commands import HomeOption, JsonOption, opened, out, print_json
from catalog.errors import BadRequest, DataError, NotFound

_LanguageOption = Annotated[Literal["vi", "en"], typer.Option("--lang", help="Language of the advice.")]


def quality(  # noqa: PLR0913 - options are arguments
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="Datasets; all sources if none.")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="This source only.")] = "",
    files: Annotated[  # noqa: FBT002
        bool, typer.Option("--files", help="Check local NetCDF files, too: needs bienmo[quality].")
    ] = False,
    lang: _LanguageOption = "en",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Tell how well datasets are described, and what their providers could add."""
    if (source and names) or (files and not names):
        raise BadRequest("say datasets or a source", hint="bienmo quality [ID… [--files] | --source SOURCE]")
    with opened(home) as catalog:
        if names:
            _tell_records(
                [_appraised(catalog, name, files=files) for name in names], lang=lang, as_json=as_json
            )
        else:
            _tell_sources(_summaries(catalog, source), lang=lang, as_json=as_json)


def _appraised(catalog: Any, name: str, *, files: bool) -> Any:
    def refused(file: str, error: DataError) -> None:
        Console(stderr=True).print(f"{file}: {error.message}", markup=False, highlight=False, soft_wrap=True)

    if files:
        return catalog.appraisals.checked(name, catalog.workers, refused)
    return catalog.appraisals.record(name)


def _summaries(catalog: Any, source: str) -> list[Any]:
    there = catalog.store.sources()
    if source and source not in there:
        raise NotFound(
            f"there are no records of a source {source[:60]!r}", hint="sources: " + ", ".join(there)
        )
    return [catalog.appraisals.source(name) for name in ([source] if source else there)]


def _tell_records(appraisals: Sequence[Any], *, lang: str, as_json: bool) -> None:
    if as_json:
        answers = [appraisal.model_dump(mode="json") for appraisal in appraisals]
        print_json(answers[0] if len(answers) == 1 else {"datasets": answers})
        return
    for appraisal in appraisals:
        out().print(f"{appraisal.id}: {appraisal.score} of 100", markup=False, highlight=False)
        table = Table(Column("points", justify="right"), "what to add", "asked for by", box=None)
        for gap in appraisal.gaps:
            table.add_row(f"+{gap.points:g}", escape(_words(gap, lang)), escape("; ".join(gap.sources)))
        out().print(table)
        for check in appraisal.files:
            marks = ", ".join(f"{name} {got} of {of}" for name, (got, of) in check.scores.items())
            said = f"{check.file}, by compliance-checker {check.checker}: {marks}"
            out().print(said, markup=False, highlight=False)
            table = Table("what was found", "asked for by", box=None)
            for gap in check.gaps:
                table.add_row(escape(gap.text.best(lang)), escape("; ".join(gap.sources)))
            out().print(table)


def _words(gap: Any, lang: str) -> str:
    more = f" (+{gap.lacking - len(gap.about)})" if gap.lacking > len(gap.about) else ""
    names = f" [{', '.join(gap.about)}{more}]" if gap.about else ""
    return f"{gap.text.best(lang)}{names}"


def _tell_sources(summaries: Sequence[Any], *, lang: str, as_json: bool) -> None:
    if as_json:
        print_json({"sources": [summary.model_dump(mode="json") for summary in summaries]})
        return
    table = Table(
        Column("source", no_wrap=True), "score", "records", "missing most (share of the records)", box=None
    )
    for summary in summaries:
        gaps = ", ".join(f"{gap.code} {gap.share:.0%}" for gap in summary.gaps)
        looked = "" if summary.assessed == summary.records else f" ({summary.assessed} looked at)"
        table.add_row(summary.source, f"{summary.score:.0f}", f"{summary.records}{looked}", gaps)
    out().print(table)
    shown = {gap.code: gap for summary in summaries for gap in summary.gaps}
    for gap in shown.values():
        out().print(f"{gap.code}: {gap.text.best(lang)}", markup=False, highlight=False, soft_wrap=True)


__all__ = ["quality"]
