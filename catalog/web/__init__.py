"""The pages, made on the server, Vietnamese first, no script: `router`, and `error_page` for errors."""

from catalog.web.pages import router
from catalog.web.rendering import error_page

__all__ = ["error_page", "router"]
