"""Who may import whom, where import-linter's contracts cannot say it: siblings, and what a protocol may see.

The siblings are found in the tree, so a new file is held to the rules without being named anywhere. A leading
underscore marks a room that siblings share; it is no sibling.
"""

import re
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
SIBLINGS = ("catalog.dialects", "catalog.stores", "catalog.formats", "catalog.interfaces", "harvesters")
SEEN_BY_PROTOCOLS = (
    "catalog.record",
    "catalog.source",
    "catalog.errors",
    "catalog.instant",
    "catalog.dialects",
    "harvesters._archives",
    "harvesters._catalogs",
    "harvesters._collections",
    "harvesters._cswrequests",
    "harvesters._dap",
    "harvesters._darwin",
    "harvesters._dwclists",
    "harvesters._folders",
    "harvesters._links",
    "harvesters._names",
    "harvesters._oaipages",
    "harvesters._packages",
    "harvesters._sitemaps",
    "harvesters._soon",
    "harvesters._things",
    "harvesters._threddsmetadata",
    "harvesters._wanted",
)


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("catalog", "harvesters", include_external_packages=True, cache_dir=None)


def plugins(graph, package):
    return sorted(
        module for module in graph.find_children(package) if not module.rpartition(".")[2].startswith("_")
    )


@pytest.mark.parametrize("package", SIBLINGS)
def test_siblings_do_not_know_each_other(graph, package):
    siblings = plugins(graph, package)
    assert siblings, f"{package} has no file to check"
    known = {
        chain
        for importer in siblings
        for imported in siblings
        if importer != imported and (chain := graph.find_shortest_chain(importer, imported, as_packages=True))
    }
    assert not known, f"siblings of {package} know each other: {known}"


def test_a_protocol_sees_only_what_a_document_needs(graph):
    for protocol in plugins(graph, "harvesters"):
        seen = graph.find_modules_directly_imported_by(protocol)
        strange = {
            module
            for module in seen
            if module.partition(".")[0] in {"catalog", "harvesters"}
            and module != "harvesters"
            and not any(module == room or module.startswith(f"{room}.") for room in SEEN_BY_PROTOCOLS)
        }
        assert not strange, f"{protocol} imports {strange}"


def test_every_imported_distribution_is_declared(graph):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["quality"]]
    declared = {re.match(r"[\w-]+", dependency)[0].lower().replace("-", "_") for dependency in needed}
    outside = {module for module in graph.modules if graph.is_module_squashed(module)}
    assert {module.lower() for module in outside - sys.stdlib_module_names} <= declared
