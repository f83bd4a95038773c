"""Which sources answer: each is listed as far as its first dataset, politely and in a limited time; nothing is kept."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from catalog.data.workers import Workers
from catalog.record import Model
from catalog.settings import Settings
from catalog.source import Source
from harvesters import Harvester
from harvesters._fetch import Fetch
from harvesters._polite import Hosts
from harvesters._reading import told
from harvesters._run import protocols

SECONDS = 60.0
"""How long a source may take."""


class Checked(Model):
    """What a source answered.

    Args:
        id: The source's.
        protocol: Its protocol.
        url: Its address; of a folder of this machine nothing.
        answers: Whether it lists anything that can be read, or says that it has nothing.
        said: The title of its first dataset, or what is wrong.
        seconds: How long it took.
    """

    id: str
    protocol: str
    url: str
    answers: bool
    said: str
    seconds: float


def check_all(
    sources: Sequence[Source],
    settings: Settings,
    *,
    workers: Workers | None,
    seconds: float = SECONDS,
    known: Mapping[str, Harvester] | None = None,
) -> list[Checked]:
    """Ask some sources at once, each without its filters for its first dataset.

    Args:
        sources: Whom to ask.
        settings: The limits.
        workers: Processes that read files; None where no source has files.
        seconds: How long each may take.
        known: Harvesters by protocol; `protocols()` if not given.

    Returns:
        What each answered, in their order.
    """
    ask = partial(
        _check,
        settings=settings,
        workers=workers,
        seconds=seconds,
        known=protocols() if known is None else known,
        hosts=Hosts(),
    )
    with ThreadPoolExecutor(settings.harvests, thread_name_prefix="check") as pool:
        return list(pool.map(ask, sources))


def _check(  # noqa: PLR0913 - as `check_all` asks
    source: Source,
    *,
    settings: Settings,
    workers: Workers | None,
    seconds: float,
    known: Mapping[str, Harvester],
    hosts: Hosts,
) -> Checked:
    begun = time.monotonic()
    try:
        answers, said = _first(source, settings, workers, begun + seconds, known, hosts)
    except Exception as error:  # noqa: BLE001 - told
        answers, said = False, told(error)
    return Checked(
        id=source.id,
        protocol=source.protocol,
        url="" if source.protocol == "files" else source.url,
        answers=answers,
        said=said,
        seconds=round(time.monotonic() - begun, 2),
    )


def _first(  # noqa: PLR0913 - as `check_all` asks
    source: Source,
    settings: Settings,
    workers: Workers | None,
    until: float,
    known: Mapping[str, Harvester],
    hosts: Hosts,
) -> tuple[bool, str]:
    """Whether a source answers, and what there is to say of its first dataset."""
    harvester = known.get(source.protocol)
    if harvester is None:
        return False, f"bad-source: there is no protocol {source.protocol!r}"
    whole = source.model_copy(update={"bbox": None, "search": ""})
    robots = getattr(harvester, "ROBOTS", False)
    with Fetch(settings, source, workers, until=until, hosts=hosts, robots=robots) as door:
        document = next(islice(harvester.harvest(whole, door), 1), None)
    if document is None:
        return True, "it lists no dataset"
    if document.problem:
        return False, document.problem
    return True, harvester.read(document).title.best("vi")
