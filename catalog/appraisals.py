"""Appraisals of what a store holds: of a record, of its NetCDF files, of a source; what took long is kept in the home.

Appraising a record is quick and is done when it is asked for. What the compliance checker says of a file is made in a
worker by a command, never by a server, and kept by the file's size and time. What a source's records come to is made
after a harvest that changed them, and by a command.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from catalog.completeness import Appraisal, FileCheck, SourceAppraisal, appraise, summarise
from catalog.data.places import place
from catalog.data.workers import Workers
from catalog.errors import BadRequest, CatalogError, DataError
from catalog.instant import now
from catalog.record import Distribution, Model, Record
from catalog.search import Query
from catalog.stores import Run, Store

MOST_ASSESSED = 2_000
"""Records of a source that are appraised at most for its summary, spread evenly over all."""

_PAGE = 200
_LOG = logging.getLogger(__name__)
T = TypeVar("T", bound=Model)


class _Kept(Model):
    """A check of a file as it was with a size and time (ns)."""

    size: int
    mtime_ns: int
    check: FileCheck


class Appraisals:
    """What records of a store, their files and their sources are worth as descriptions.

    Args:
        store: Where the records are.
        home: The data home; what is kept lies in `quality` there.
    """

    def __init__(self, store: Store, home: Path) -> None:
        self._store = store
        self._folder = home / "quality"

    def record(self, record_id: str) -> Appraisal:
        """Return the appraisal of a record, with what is known of its files as they are now.

        Raises:
            NotFound: There is no such record. Withdrawn: It is no more.
        """
        record = self._store.get(record_id)
        known = (self._known(way.address) for way in _files(record))
        return _with_files(record, [check for check in known if check is not None])

    def checked(
        self, record_id: str, workers: Workers, refused: Callable[[str, DataError], None]
    ) -> Appraisal:
        """Return the appraisal of a record whose local NetCDF files are checked first, where they have changed.

        Args:
            record_id: The record.
            workers: Where files are read.
            refused: Told of each file that could not be checked, by name.

        Raises:
            NotFound: There is no such record. Withdrawn: It is no more.
            BadRequest: The checker is not installed.
        """
        from catalog.data import complying  # noqa: PLC0415 - brings all that reads data; a harvest has no need of it

        record = self._store.get(record_id)
        if not complying.version():
            raise BadRequest(
                "the compliance checker is not installed", hint="pip install 'bienmo[quality]' installs it"
            )
        found: list[FileCheck] = []
        for way in _files(record):
            known = self._known(way.address)
            try:
                current = known is not None and known.checker == complying.version()
                found.append(
                    known if known and current else self._check(way.address, complying.judged, workers)
                )
            except DataError as error:
                refused(place(way.address).name, error)
        return _with_files(record, found)

    def _check(self, address: str, judged: Callable[[str], dict[str, Any]], workers: Workers) -> FileCheck:
        path = place(address)
        size, mtime_ns = _facts(path) or (-1, -1)
        said = workers.run(judged, address, key=(address, size, mtime_ns, "checked"))
        check = FileCheck.model_validate(said)
        if _facts(path) == (size, mtime_ns):
            self._keep(address, _Kept(size=size, mtime_ns=mtime_ns, check=check))
        return check

    def _known(self, address: str) -> FileCheck | None:
        """What is kept of a file, if it is still that file."""
        kept = self._read(address, _Kept)
        facts = _facts(place(address)) if kept else None
        return kept.check if kept and facts == (kept.size, kept.mtime_ns) else None

    def source(self, source: str) -> SourceAppraisal:
        """Appraise the records of a source as it gives them, and keep what they come to.

        Of more than `MOST_ASSESSED` records as many are looked at, in pages spread evenly over their ids.
        """
        at = now()
        asked = Query(
            source=source, sort="id", limit=0, asof=at
        )  # as of now: each source's own words, untied
        many = self._store.search(asked).matched
        found = [
            appraise(record)
            for offset in _offsets(many)
            for record in self._store.search(
                asked.model_copy(update={"limit": _PAGE, "offset": offset})
            ).items
        ]
        summary = summarise(source, many, found, at)
        self._keep(f"source {source}", summary)
        return summary

    def follow(self, run: Run) -> None:
        """Appraise the source of a run that changed its records; what fails is logged, and ends no harvest."""
        if not (run.counts.new or run.counts.changed or run.withdrawn or run.restored):
            return
        try:
            self.source(run.source)
        except (CatalogError, OSError):
            _LOG.exception("the descriptions of %s could not be appraised", run.source)

    def known(self, sources: Iterable[str]) -> Mapping[str, SourceAppraisal]:
        """Return what is known of sources, by id; those that were never appraised are left out."""
        read = {source: self._read(f"source {source}", SourceAppraisal) for source in sources}
        return {source: summary for source, summary in read.items() if summary is not None}

    def _place(self, name: str) -> Path:
        return (
            self._folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"
        )

    def _read(self, name: str, model: type[T]) -> T | None:
        try:
            return model.model_validate(orjson.loads(self._place(name).read_bytes()))
        except (OSError, ValidationError, orjson.JSONDecodeError):
            return None

    def _keep(self, name: str, kept: Model) -> None:
        """Write what is kept, whole or not at all."""
        target = self._place(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{hashlib.sha256(now().encode()).hexdigest()[:8]}.part")
        try:
            partial.write_bytes(orjson.dumps(kept.model_dump(mode="json")))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _with_files(record: Record, checks: list[FileCheck]) -> Appraisal:
    return appraise(record).model_copy(update={"files": tuple(checks)})


def _files(record: Record) -> tuple[Distribution, ...]:
    """The record's distributions that are local NetCDF files."""
    return tuple(way for way in record.distributions if way.protocol == "file" and way.format == "netcdf")


def _facts(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _offsets(many: int) -> list[int]:
    """Where the pages begin that are looked at."""
    pages = -(-min(many, MOST_ASSESSED) // _PAGE)
    if many <= MOST_ASSESSED:
        return [page * _PAGE for page in range(pages)]
    return [page * (many - _PAGE) // (pages - 1) for page in range(pages)]


__all__ = ["MOST_ASSESSED", "Appraisals"]
