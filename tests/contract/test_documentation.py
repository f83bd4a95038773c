"""Nothing public is undocumented, and no page tells of what is no more."""

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from typer.main import get_command

import catalog
import harvesters
from catalog import formats
from catalog.__main__ import app as commands
from catalog.app import create_app
from catalog.data.cuts import Cut
from catalog.errors import CatalogError
from catalog.service import open_catalog
from catalog.settings import Settings
from catalog.source import Source

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SET_BY_THE_RUNNER = {"options", "changed_since", "resume"}
MODULES = sorted(
    found.name
    for package in (catalog, harvesters)
    for found in walk_packages(package.__path__, f"{package.__name__}.")
)


def rows(page, first):
    """The table rows of a page whose first cell fits a pattern."""
    return {line for line in page.read_text("utf-8").splitlines() if re.match(rf"\| `{first}` \|", line)}


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def shown(value):
    return f"`{value}`" if value not in {None, ()} else "none"


def errors(of=CatalogError):
    yield of
    for kind in of.__subclasses__():
        yield from errors(kind)


def test_settings_page_is_the_settings():
    wanted = {
        row(f"`BIENMO_{name.upper()}`", shown(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    }
    assert rows(REFERENCE / "settings.md", r"BIENMO_\w+") == wanted


def test_errors_page_is_the_error_tree():
    wanted = {row(f"`{kind.code}`", str(kind.status), kind.__doc__.splitlines()[0]) for kind in errors()}
    assert rows(REFERENCE / "errors.md", r"[a-z-]+") == wanted


def test_errors_have_codes_of_their_own():
    codes = [kind.code for kind in errors()]
    assert len(codes) == len(set(codes))


def test_sources_page_tells_every_field_and_every_protocol():
    page = REFERENCE / "sources.md"
    told = {re.match(r"\| `(\w+)`", line)[1] for line in rows(page, r"\w+")}
    assert set(Source.model_fields) - SET_BY_THE_RUNNER <= told
    protocols = {path.stem for path in Path(harvesters.__path__[0]).glob("[a-z]*.py")}
    assert set(re.findall(r"^## Protocol `(\w+)`", page.read_text("utf-8"), re.MULTILINE)) == protocols


def test_readme_tells_every_command():
    told = re.findall(r"^\| `bienmo (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(told) == set(get_command(commands).commands)


def test_readme_tells_every_address_of_the_api(tmp_path):
    with open_catalog(Settings(home=tmp_path)) as opened:
        paths = create_app(opened).openapi()["paths"]
    told = re.findall(r"^\| `(/api[^`?]*|/health)` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(told) == {path for path in paths if path.startswith(("/api", "/health"))}


def test_subsets_page_tells_every_parameter_and_every_format():
    page = REFERENCE / "subsets.md"
    told = {re.match(r"\| `([\w.]+)`", line)[1] for line in rows(page, r"[\w.]+")}
    assert told == {*Cut.model_fields, *formats.all_formats()}
    for name, chosen in formats.all_formats().items():
        assert re.search(
            rf"^\| `{name}` \|.*\| {'yes' if chosen.STREAMS else 'no'} \|$",
            page.read_text("utf-8"),
            re.MULTILINE,
        )


def test_architecture_tells_why_each_dependency_is_here():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==([^;\s]+)", line):
            pins.setdefault(found[1], []).append(found[2])
    names = [re.match(r"[\w-]+", dependency)[0] for dependency in project["dependencies"]]
    wanted = {f"| {name} | {' / '.join(pins[name.lower()])} " for name in names}
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    table = page[page.index("| dependency |") : page.index("`constraints.txt` pins")]
    assert set(re.findall(r"^\| (?!dependency|---).+? \| [^|]+", table, re.MULTILINE)) == wanted


@pytest.mark.parametrize("name", [name for name in MODULES if not name.rpartition(".")[2].startswith("_")])
def test_public_names_have_docstrings(name):
    module = import_module(name)
    bare = [] if module.__doc__ else [name]
    for label, thing in vars(module).items():
        if label.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        bare += [] if inspect.getdoc(thing) else [f"{name}.{label}"]
        if inspect.isclass(thing):
            bare += [
                f"{name}.{label}.{part}"
                for part, method in vars(thing).items()
                if not part.startswith("_") and inspect.isfunction(method) and not inspect.getdoc(method)
            ]
    assert not bare, f"no docstring: {bare}"
