"""Assets of STAC as ways to the data, and back.

An asset's `href` may be relative to its document, or an address of a cloud's store (`s3://`, `gs://`, `abfs://`, `az://`),
which has one on the web, too. https://github.com/stac-extensions/{file,xarray-assets,alternate-assets,storage}.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from catalog.dialects import _words as clean
from catalog.dialects._ways import way
from catalog.dialects._weblinks import absolute
from catalog.record import Distribution

FILE_SCHEMA = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_PICTURES = frozenset({"thumbnail", "overview", "visual"})
_LOCAL = frozenset({"file", "zarr", "collection", "table"})
_SHA256 = "1220"
_CLOUD = re.compile(r"(?:s3|gs|gcs|abfss?|az)://([a-z0-9][a-z0-9_.@-]{1,200})/(.+)", re.IGNORECASE)
_FORMS = (("zarr", "zarr"), ("netcdf", "netcdf"), ("grib", "grib"), ("parquet", "parquet"), ("hdf5", "hdf5"))


def asset_ways(assets: Any, base: str) -> Iterator[Mapping[str, Any]]:
    """Return the ways of an object of assets, as `distributions` of `_record` takes them; pictures are none."""
    for key, value in clean.mapping(assets).items():
        asset = clean.mapping(value)
        roles = asset["roles"] if isinstance(asset.get("roles"), list) else []
        if asset and not _PICTURES.intersection(role for role in roles if isinstance(role, str)):
            yield _written_way(asset) or _way(asset, key, base)


def _way(asset: Mapping[str, Any], key: str, base: str) -> Mapping[str, Any]:
    link = _on_the_web(asset, base)
    found = dict(
        way(
            link,
            form=_form(asset),
            media_type=asset.get("type"),
            title=asset.get("title") or clean.name(key),
            size=asset.get("file:size"),
        )
    )
    if _is_paid(asset):
        found["protocol"] = "other"
    return {**found, "checksum": _checksum(asset.get("file:checksum"))}


def _form(asset: Mapping[str, Any]) -> str | None:
    """The format that the media type or the reader's name tells; None leaves it to the address."""
    opener = clean.name(clean.mapping(asset.get("xarray:open_kwargs")).get("engine")) or ""
    if opener in {"netcdf4", "h5netcdf"}:
        return "netcdf"
    said = f"{clean.name(asset.get('type')) or ''} {opener}".lower()
    return next((form for word, form in _FORMS if word in said), None)


def _on_the_web(asset: Mapping[str, Any], base: str) -> str | None:
    """The asset's address, or the one on the web that it, its alternates or its store tell."""
    link = absolute(asset.get("href"), base)
    if link and link.lower().startswith(("http://", "https://")):
        return link
    others = [clean.mapping(other).get("href") for other in clean.mapping(asset.get("alternate")).values()]
    for other in (asset.get("msft:https-url"), *others):
        if found := clean.address(other):
            return found
    return (
        _of_store(link or "", clean.mapping(asset.get("xarray:storage_options")) or _storage(asset)) or link
    )


def _storage(asset: Mapping[str, Any]) -> Mapping[str, Any]:
    return clean.mapping(clean.mapping(asset.get("xarray:open_kwargs")).get("storage_options"))


def _of_store(link: str, options: Mapping[str, Any]) -> str | None:
    """A store's object on the web: at the endpoint that is named, else at the cloud's own address."""
    found = _CLOUD.fullmatch(link)
    if not found:
        return None
    scheme, bucket, path = urlsplit(link).scheme.lower(), found[1], quote(found[2], safe="/%")
    client = clean.mapping(options.get("client_kwargs"))
    endpoint = clean.address(client.get("endpoint_url") or options.get("endpoint_url"))
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    if scheme in {"gs", "gcs"}:
        return f"https://storage.googleapis.com/{bucket}/{path}"
    if scheme == "s3":
        return None  # `way` knows it
    account = clean.name(options.get("account_name")) or bucket.partition("@")[2].partition(".")[0]
    container = bucket.partition("@")[0]
    return (
        f"https://{account}.blob.core.windows.net/{container}/{path}"
        if re.fullmatch(r"[a-z0-9]{3,24}", account)
        else None
    )


def _is_paid(asset: Mapping[str, Any]) -> bool:
    """Whether whoever asks has to pay, so that nothing can be read without an account."""
    options = clean.mapping(asset.get("xarray:storage_options")) or _storage(asset)
    return True in (asset.get("storage:requester_pays"), options.get("requester_pays"))


def _checksum(value: Any) -> str | None:
    """A sha256 of a multihash in hexadecimal (file extension: 0x12, 0x20, then the digest)."""
    said = (clean.name(value) or "").lower()
    digest = said.removeprefix(_SHA256)
    return f"sha256:{digest}" if said != digest and re.fullmatch(r"[0-9a-f]{64}", digest) else None


def write_assets(distributions: Iterable[Distribution]) -> dict[str, Any]:
    """Return the ways to the data on the web as assets; `bienmo:` fields say what STAC has no word for."""
    ways = [item for item in distributions if item.protocol not in _LOCAL and _is_web(item.address)]
    return {f"data{at}" if at else "data": _asset(item) for at, item in enumerate(ways)}


def _is_web(address: str) -> bool:
    return clean.address(address) == address


def _asset(item: Distribution) -> dict[str, Any]:
    said = {
        "href": item.address,
        "type": item.media_type,
        "title": item.title,
        "roles": ["data"],
        "file:size": item.size,
        "file:checksum": _SHA256 + item.checksum.removeprefix("sha256:") if item.checksum else None,
        "bienmo:protocol": item.protocol,
        "bienmo:format": item.format,
    }
    return {key: value for key, value in said.items() if value is not None}


def _written_way(asset: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The way of an asset that we wrote; None for others. Ways of this machine are not taken from strangers."""
    protocol = clean.name(asset.get("bienmo:protocol"))
    if protocol is None or protocol in _LOCAL:
        return None
    return {
        "protocol": protocol,
        "address": clean.address(asset.get("href")),
        "format": clean.name(asset.get("bienmo:format")) or "unknown",
        "media_type": clean.words(asset.get("type"), 200),
        "title": clean.words(asset.get("title")),
        "size": clean.whole(asset.get("file:size")),
        "checksum": _checksum(asset.get("file:checksum")),
    }
