"""One sources file with every protocol over real servers, harvested by the command: its counts are the clients' own.

pydap (opendap, thredds), pycsw (csw, oaipmh), pygeoapi (ogcrecords, edr), rustac (stac), nginx and Python's own server
(waf, dcat, schemaorg, darwincore), and a folder (files). For ckan, erddap and sensorthings there are only servers that
need Java or Solr: they are replayed. Every count is that of a client that others wrote for the protocol.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import netCDF4
import pytest
import rdflib
from rdflib.namespace import DCAT, DCTERMS, RDF

from benchmarks import hosts
from benchmarks.process import free_port, served
from catalog.dialects import iso19115
from catalog.source import Source, read_sources
from catalog.stores import Run
from counting import CLIENTS, Seen
from counting import pages as pages_of
from elsewhere import grid
from harvesters._run import protocols
from journey.command import bienmo
from portals import portal
from replay import RECORDED, replaying, whole
from strangers import record

pytestmark = pytest.mark.peers

REPLAYED = ("ckan", "erddap", "sensorthings")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CONFIGURED = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  types {{ text/html html; text/xml xml; text/turtle ttl; application/zip zip; }}
  server {{ listen 127.0.0.1:{port}; root {site}; location /waf/ {{ autoindex on; }} }}
}}
"""


def python(environment: str) -> str:
    """The Python of an environment of peers."""
    found = hosts.ROOT / environment / "bin" / "python"
    if not found.exists():
        pytest.skip(f"the environment {environment} is missing: make peers")
    return str(found)


# --- what they serve


def sea(path: Path) -> Path:
    """A grid in ASCII: other letters break off the answers of pydap's server."""
    with netCDF4.Dataset(path, "w") as file:
        file.title = f"Sea {path.stem}"
        for name, units, size in (("lat", "degrees_north", 4), ("lon", "degrees_east", 5)):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,)).units = units
            file[name][:] = range(10, 10 + size)
        file.createVariable("sst", "f4", ("lat", "lon")).units = "degC"
        file["sst"][:] = 20
    return path


def iso(folder: Path, many: int, folders: int = 3) -> None:
    """Documents of ISO 19139, in folders."""
    for number in range(many):
        west = 90 + number
        path = folder / f"y{number % folders}" / f"{number:02}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        said = record(
            f"{number:02}", title={"vi": f"Bản ghi {number}"}, extent={"boxes": [[west, 0, west + 1, 9]]}
        )
        path.write_bytes(iso19115.write(said))


def catalog(path: Path, many: int) -> None:
    """A DCAT catalog, made by rdflib."""
    graph, root = rdflib.Graph(), rdflib.URIRef("http://feed.example/")
    for at in range(many):
        node = rdflib.URIRef(f"http://feed.example/{at}")
        graph.add((root, DCAT.dataset, node))
        graph.add((node, RDF.type, DCAT.Dataset))
        graph.add((node, DCTERMS.title, rdflib.Literal(f"Dữ liệu {at}", lang="vi")))
    path.write_text(graph.serialize(format="turtle"), "utf-8")


def pages(site: Path, url: str, many: int) -> None:
    """Pages with a Dataset each, one without, one whose JSON-LD is broken, and their sitemap."""
    (site / "d").mkdir()
    said = [
        json.dumps({"@context": "https://schema.org/", "@type": "Dataset", "name": f"T{at}"})
        for at in range(many)
    ]
    for at, words in enumerate([*said, '{"@type": "Organization"}', '{"@type": "Dataset",}']):
        (site / "d" / f"{at:02}.html").write_text(
            f'<script type="application/ld+json">{words}</script>', "utf-8"
        )
    lines = "".join(f"<url><loc>{url}/d/{one.name}</loc></url>" for one in sorted((site / "d").iterdir()))
    head = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    (site / "sitemap.xml").write_text(f"{head}{lines}</urlset>", "utf-8")


def archives(site: Path, url: str) -> None:
    """The recorded archives of Darwin Core in the feed of an IPT."""
    items = ""
    for name in ("fish", "corals", "whales"):
        shutil.copy(RECORDED / "darwincore" / f"{name}.zip", site)
        items += f"<item><title>{name}</title><guid>{name}</guid><ipt:dwca>{url}/{name}.zip</ipt:dwca></item>"
    feed = f'<rss xmlns:ipt="http://ipt.gbif.org/" version="2.0"><channel>{items}</channel></rss>'
    (site / "rss.xml").write_text(feed, "utf-8")


def items(folder: Path) -> list[str]:
    """Two collections of STAC and an item of each, as files."""
    paths = []
    for at in range(2):
        box = [105 + at, 17, 106 + at, 18]
        when = "2020-01-01T00:00:00Z"
        collection = {
            "type": "Collection", "stac_version": "1.0.0", "id": f"c{at}", "description": "Made.", "license": "CC0-1.0",
            "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": [[when, None]]}}, "links": [],
        }  # fmt: skip
        ring = [[box[0], 17], [box[2], 17], [box[2], 18], [box[0], 18], [box[0], 17]]
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": f"i{at}", "collection": f"c{at}", "bbox": box,
            "links": [], "assets": {}, "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"datetime": when},
        }  # fmt: skip
        for name, value in ((f"c{at}", collection), (f"i{at}", item)):
            path = folder / f"{name}.json"
            path.write_text(json.dumps(value), "utf-8")
            paths.append(str(path))
    return paths


# --- who serves


class Street:
    """Servers that run until the stack ends, and the entries of sources.toml that they are.

    Args:
        stack: What ends them.
        folder: Where they keep what they serve, and what they say.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.entries: dict[str, dict[str, Any]] = {}

    def add(self, name: str, url: str, **also: Any) -> None:
        """Name a source after its protocol, or after a protocol and a server: `waf-python`."""
        self.entries[name] = {"id": name, "protocol": name.partition("-")[0], "url": url, **also}

    def served(self, name: str, *command: object, port: int, ready: str = "/") -> str:
        """Run a server; its address."""
        words, log = tuple(map(str, command)), self.folder / f"{name}.log"
        self.stack.enter_context(served(name, words, port, environment=hosts.QUIET, ready=ready, log=log))
        return f"http://127.0.0.1:{port}"

    def made(self, name: str) -> Path:
        """A folder of its own."""
        found = self.folder / name
        found.mkdir()
        return found

    def file(self) -> Path:
        """The sources.toml."""
        lines = []
        for entry in self.entries.values():
            lines += ["[[source]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
        path = self.folder / "sources.toml"
        path.write_text("\n".join(lines), "utf-8")
        return path


def by_pydap_server(street: Street) -> None:
    folder, port = street.made("grids"), free_port()
    pairs = [f"{name}={sea(folder / f'{name}.nc')}" for name in ("east", "gulf", "west")]
    url = street.served(
        "pydap", python(".venv-peers"), hosts.PEERS / "pydap_server.py", port, *pairs, port=port
    )
    street.add("opendap", f"{url}/", addresses=["east.nc", "gulf.nc", "lost.nc", "west.nc.html"])
    street.add("thredds", f"{url}/catalog.xml")
    street.add("files", str(folder))


def by_pycsw(street: Street) -> None:
    """A catalogue, and a repository, which gives ten records a page and refuses tokens without a prefix."""
    script, ready = hosts.PEERS / "pycsw_server.py", "/?service=CSW&version=2.0.2&request=GetCapabilities"
    for name, path, many in (("csw", "", 60), ("oaipmh", "?mode=oaipmh", 34)):
        folder, port = street.made(name), free_port()
        iso(folder, many, folders=1)
        command = (python(".venv-pycsw"), script, port, 100, folder / "y0")
        street.add(name, street.served(f"pycsw-{name}", *command, port=port, ready=ready) + f"/{path}")


def by_pygeoapi(street: Street) -> None:
    folder, port = street.made("collections"), free_port()
    table = {str(at + 1): discovery(at) for at in range(23)}
    (folder / "made.tinydb").write_text(json.dumps({"_default": table}), "utf-8")
    grid(folder / "grid.nc")
    pairs = [f"{path.stem}={path}" for path in sorted(folder.iterdir())]
    script = hosts.PEERS / hosts.SCRIPTS["pygeoapi"]
    url = street.served("pygeoapi", python(".venv-peers"), script, port, *pairs, port=port)
    street.add("ogcrecords", url)
    street.add("edr", url)


def discovery(at: int) -> Mapping[str, Any]:
    """A record as pygeoapi's own catalogue keeps them."""
    return {
        "id": f"urn:x-wmo:md:vn-made:{at:03}",
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [105 + at / 10, 17]},
        "properties": {"title": f"Bản ghi {at}", "type": "dataset", "updated": "2024-01-01T00:00:00Z"},
        "links": [],
    }


def by_rustac(street: Street) -> None:
    port = free_port()
    rustac = Path(python(".venv-peers")).with_name("rustac")
    paths = items(street.made("stac"))
    url = street.served("rustac", rustac, "serve", "--addr", f"127.0.0.1:{port}", *paths, port=port)
    street.add("stac", url)
    street.add("stac-items", url, items=True)


def by_nginx(street: Street) -> None:
    if NGINX is None:
        pytest.skip("nginx is missing: apt-get install nginx-light")
    site, port = street.made("site"), free_port()
    url = f"http://127.0.0.1:{port}"
    iso(site / "waf", 12)
    (site / "waf" / "readme.txt").write_text("No document.", "utf-8")
    grid(site / "waf" / "y0" / "vịnh bắc bộ.nc")
    catalog(site / "catalog.ttl", 40)
    pages(site, url, 20)
    archives(site, url)
    conf = street.folder / "nginx.conf"
    conf.write_text(CONFIGURED.format(folder=street.folder, port=port, site=site), "utf-8")
    street.served("nginx", NGINX, "-c", conf, "-p", street.folder, "-e", "stderr", port=port)
    street.add("waf", f"{url}/waf/")
    street.add("dcat", f"{url}/catalog.ttl")
    street.add("schemaorg", f"{url}/sitemap.xml")
    street.add("darwincore", f"{url}/rss.xml")


def by_python(street: Street) -> None:
    """Its own server of files."""
    port, folder = free_port(), street.made("python")
    iso(folder, 12)
    command = (sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", folder)
    street.add("waf-python", street.served("http.server", *command, port=port) + "/")


def replayed(street: Street) -> None:
    for name in REPLAYED:
        (source,) = read_sources(RECORDED / name / "source.toml")
        running = street.stack.enter_context(portal(whole(replaying(RECORDED / name))))
        street.add(name, running.url + urlsplit(source.url).path, **source.options)


SERVERS = (by_pydap_server, by_pycsw, by_pygeoapi, by_rustac, by_nginx, by_python, replayed)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sources file of all of them."""
    with ExitStack() as stack:
        street = Street(stack, tmp_path_factory.mktemp("street"))
        for begin in SERVERS:
            begin(street)
        yield street.file()


@pytest.fixture(scope="module")
def runs(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """The report of one `bienmo harvest` over all of them."""
    home = tmp_path_factory.mktemp("home")
    environment = {"BIENMO_ALLOW_HOSTS": "127.0.0.1", "BIENMO_FETCH_TRIES": "1"}
    ran = bienmo("harvest", "--sources", str(sources), "--json", home=home, check=False, **environment)
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    return {one["source"]: Run.model_validate(one["run"]) for one in events if one["event"] == "finished"}


def files_seen(source: Source) -> Seen:
    """A folder's files, and those that netCDF4 opens."""
    found = sorted(Path(source.url).iterdir())
    for path in found:
        netCDF4.Dataset(path).close()
    return Seen(len(found), len(found))


def test_every_protocol_is_there(sources: Path) -> None:
    assert {source.protocol for source in read_sources(sources)} == set(protocols())


def test_the_reports_counts_are_those_of_the_portals_own_clients(
    sources: Path, runs: Mapping[str, Run]
) -> None:
    expected, found = {}, {}
    for source in read_sources(sources):
        run, seen = runs[source.id], {**CLIENTS, "files": files_seen}[source.protocol](source)
        read = run.counts.new if seen.read is None else seen.read
        expected[source.id] = ("complete", seen.listed, read, seen.listed - read)
        found[source.id] = (run.state, run.seen, run.counts.new, run.counts.quarantined)
    assert found == expected
    assert all(run.counts.new for run in runs.values())


def test_a_client_of_sitemaps_finds_the_same_pages(sources: Path) -> None:
    """ultimate-sitemap-parser, which begins at the site's root, and the reading of sitemaps that is counted with."""
    (source,) = (one for one in read_sources(sources) if one.id == "schemaorg")
    root = source.url.removesuffix("sitemap.xml")
    client = Path(python(".venv-peers")).with_name("usp")
    told = subprocess.run(
        [client, "ls", "-f", "pages", root], check=True, capture_output=True, text=True
    ).stdout
    assert set(told.split()) == pages_of(source.url, set())
