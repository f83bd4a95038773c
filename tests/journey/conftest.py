"""A catalog of the built-in sample, harvested by the real command, and the application over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from catalog.__main__ import _built_in, configured
from catalog.app import create_app
from catalog.service import Catalog, open_catalog
from catalog.settings import Settings
from journey.command import bienmo


@pytest.fixture(scope="session")
def sample_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    bienmo("harvest", "sample", home=home)
    return home


@pytest.fixture(scope="session")
def catalog(sample_home: Path) -> Iterator[Catalog]:
    settings = Settings(home=sample_home, sources=_built_in())
    with open_catalog(settings, configured(settings)) as opened:
        yield opened


@pytest.fixture(scope="session")
def client(catalog: Catalog) -> TestClient:
    return TestClient(create_app(catalog), raise_server_exceptions=False)
