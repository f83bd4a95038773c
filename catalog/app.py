"""create_app(catalog): every interface and the pages in one application."""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from pkgutil import iter_modules

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from catalog import interfaces, web
from catalog.errors import BadRequest, CatalogError, NotFound
from catalog.interfaces._describing import PROBLEM
from catalog.interfaces.api import dump, problem
from catalog.service import Catalog

log = logging.getLogger(__name__)
_MACHINE_PATHS = ("/api", "/health", "/openapi.json")
_SPARE_THREADS = 40


class MethodNotAllowed(CatalogError):
    """An address that knows no such method."""

    code, status = "method-not-allowed", 405


class HeadAsGet:
    """Answers HEAD as GET (RFC 9110 §9.3.2); the server in front leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if head else scope, receive, send)


def create_app(catalog: Catalog) -> FastAPI:
    """Return the application over a catalog; it closes the catalog when it shuts down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        threads = catalog.settings.readers + catalog.settings.queue + _SPARE_THREADS
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        catalog.warm()
        yield
        catalog.close()

    app = FastAPI(
        title="Biển Mở",
        summary="A marine open-data catalog: search and cut public oceanographic datasets.",
        version=version("bienmo"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    for module in iter_modules(interfaces.__path__):
        if not module.name.startswith("_"):
            app.include_router(import_module(f"catalog.interfaces.{module.name}").router(catalog))
    app.include_router(web.router(catalog))
    _handle_errors(app)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "HEAD"])
    app.add_middleware(HeadAsGet)
    return app


def _handle_errors(app: FastAPI) -> None:
    def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, CatalogError)
        return _answer(request, error)

    def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"][1:]))
        return _answer(request, BadRequest(f"{name} cannot be read: {first['msg']}"))

    def unfound(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:  # noqa: PLR2004
            wrong: CatalogError = MethodNotAllowed(
                f"{request.method} is not for {request.url.path[:100]}", hint="use GET"
            )
        elif error.status_code == 404:  # noqa: PLR2004
            wrong = NotFound(
                f"there is nothing at {request.url.path[:100]}", hint="see /docs for the addresses there are"
            )
        else:
            wrong = BadRequest(str(error.detail))
        return _answer(request, wrong)

    def unforeseen(request: Request, error: Exception) -> Response:
        told = secrets.token_hex(6)
        log.error("unforeseen error %s at %s: %r", told, request.url.path, error)
        return _answer(request, CatalogError(f"an unforeseen error, logged as {told}", details={"id": told}))

    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(CatalogError, known)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, unfound)


def _answer(request: Request, error: CatalogError) -> Response:
    if not request.url.path.startswith(_MACHINE_PATHS):
        return web.error_page(request, error)
    headers = {"x-content-type-options": "nosniff"}
    if "retry_after" in error.details:
        headers["retry-after"] = str(error.details["retry_after"])
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = "GET"
    body = dump(problem(error, instance=request.url.path))
    return Response(body, status_code=error.status, media_type=PROBLEM, headers=headers)
