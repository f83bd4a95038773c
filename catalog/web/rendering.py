"""Templates to answers: escaping, addresses, static files, and headers that keep strangers' words inert."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from catalog import vocabulary
from catalog.errors import BadRequest, CatalogError, NotFound
from catalog.web.translation import LANGUAGES, Language, translation

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "strict-origin-when-cross-origin",
}
_MEDIA_TYPES = {"site.css": "text/css", "icon.svg": "image/svg+xml"}
_YEAR = 31_536_000
_UNLINKED = re.compile(r"[\x00-\x20\x7f-\xa0\\]")  # browsers drop or turn these while they read an address


def parameters(request: Request) -> dict[str, str]:
    """Return the address's parameters. Raises BadRequest where one is given twice: only one could count."""
    given = request.query_params.multi_items()
    single = dict(given)
    if len(single) < len(given):
        raise BadRequest("a parameter is given twice", hint="write each parameter once")
    return single


def known(request: Request, *names: str) -> dict[str, str]:
    """Return the parameters of a page that takes `lang` and these names. Raises BadRequest for any other."""
    given = parameters(request)
    for name in given:
        if name not in {"lang", *names}:
            raise BadRequest(
                f"there is no parameter {name[:60]!r}", hint="parameters: " + ", ".join((*names, "lang"))
            )
    if given.get("lang", "vi") not in LANGUAGES:
        raise BadRequest(f"lang={given['lang'][:60]!r} cannot be read", hint="vi or en")
    return given


def language(request: Request) -> Language:
    """Return the language that a request asks for; Vietnamese where it does not, or asks for one we lack."""
    return "en" if request.query_params.get("lang") == "en" else "vi"


def address(path: str, given: Mapping[str, object]) -> str:
    """Return a path with its parameters; empty ones are left out."""
    query = urlencode({name: value for name, value in given.items() if value not in (None, "")})
    return f"{path}?{query}" if query else path


def safe_url(text: str | None) -> str | None:
    """Return an address that may be linked to (http, https, mailto), or None: then it is plain text."""
    if not text or _UNLINKED.search(text):
        return None
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme in {"http", "https"}:
        return text if host else None
    return text if parts.scheme == "mailto" and "@" in parts.path else None


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file: its bytes, media type, and the version in its address (a short sha256)."""

    content: bytes
    media_type: str
    version: str


@cache
def asset(name: str) -> Asset:
    """Return a static file by its name; only those that are known are ever read. Raises NotFound."""
    if name not in _MEDIA_TYPES:
        raise NotFound(f"there is no file {name[:60]!r}")
    content = resources.files(__package__).joinpath("static", name).read_bytes()
    return Asset(content, _MEDIA_TYPES[name], hashlib.sha256(content).hexdigest()[:12])


def static_file(request: Request, name: str) -> Response:
    """Answer with a static file, to be kept for a year where the address has its version. Raises NotFound."""
    found = asset(name)
    current = request.query_params.get("v") == found.version
    keep = f"public, max-age={_YEAR}, immutable" if current else "no-cache"
    return Response(found.content, media_type=found.media_type, headers={**HEADERS, "cache-control": keep})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("catalog.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["safe_url"] = safe_url
    environment.globals |= {
        "label": vocabulary.label,
        "concepts": vocabulary.concepts,
        "asset": lambda name: address(f"/static/{name}", {"v": asset(name).version}),
    }
    return environment


def page(request: Request, template: str, *, status: int = 200, **context: object) -> Response:
    """Render a template in the request's language.

    A template has, beside its own context: `t` (the translation), `lang`, `here(path, name=value…)` for
    addresses of pages in the same language, and `switch` (the same page in the `other` language).
    """
    lang = language(request)
    kept = {} if lang == "vi" else {"lang": lang}
    other = LANGUAGES[1 - LANGUAGES.index(lang)]
    body = (
        _environment()
        .get_template(template)
        .render(
            context,
            t=translation(lang),
            lang=lang,
            here=lambda path, **given: address(path, given | kept),
            switch="?" + urlencode(dict(request.query_params) | {"lang": other}),
            other=other,
        )
    )
    return Response(body, status, media_type="text/html", headers={**HEADERS, "vary": "accept-encoding"})


def error_page(request: Request, error: CatalogError) -> Response:
    """Say an error as a page: what kind, what is wrong, and how to go on."""
    words = translation(language(request)).words
    code = error.code if f"error.{error.code}" in words else "error"
    answer = page(request, "error.html", status=error.status, error=error, code=code)
    if "retry_after" in error.details:
        answer.headers["retry-after"] = str(error.details["retry_after"])
    return answer
