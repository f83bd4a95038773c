"""A catalog of the built-in sample, harvested by the real command, and the application over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
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


def opened(home: Path) -> Catalog:
    settings = Settings(home=home, sources=_built_in())
    return open_catalog(settings, configured(settings))


@pytest.fixture(scope="session")
def catalog(sample_home: Path) -> Iterator[Catalog]:
    with opened(sample_home) as whole:
        yield whole


@pytest.fixture
def own_app(sample_home: Path) -> FastAPI:
    """An application that a test may start and shut down; it closes its own catalog."""
    return create_app(opened(sample_home))


@pytest.fixture(scope="session")
def client(catalog: Catalog) -> TestClient:
    return TestClient(create_app(catalog), raise_server_exceptions=False)
