"""Interfaces are standards' addresses over the service; every file has `router(catalog: Catalog) -> APIRouter`."""
