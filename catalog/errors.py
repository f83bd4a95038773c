"""Every error that the catalog raises, as one tree; each has a stable code and one HTTP status.

CatalogError
├── BadRequest            bad-request         400  a parameter that cannot be read
├── NotFound              not-found           404  no such record, source, run or address
├── Withdrawn             withdrawn           410  the record was withdrawn; its history is kept
├── OutsideDomain         outside-domain      422  the request lies outside the data; names the domain
├── NotSubsettable        not-subsettable     422  the record has no data that can be cut, with the reason
├── TooLarge              too-large           413  the answer would exceed a limit; names limit and setting
├── TooBusy               too-busy            429  the server has no free worker
├── DataError                                      the data behind a record could not be read
│   ├── DataChanged       data-changed        503  the file is not the one that was harvested
│   ├── DataUnreadable    data-unreadable     502  the reader refused the file or the remote answer
│   ├── WorkerCrashed     worker-crashed      502  the file killed the reader
│   └── WorkerTimeout     worker-timeout      504  the reader did not finish in time
├── BadDocument           bad-document        422  a harvested document that gives no valid record
├── SourceError                                    a source that could not be listed
│   ├── Unreachable       source-unreachable  502  no answer, or an answer that failed, after all tries
│   ├── AddressRefused    address-refused     403  an address that is not public and not allowed
│   ├── LimitExceeded     limit-exceeded      502  an answer beyond its size, time or redirect limit
│   ├── BadSource         bad-source          400  an entry of sources.toml that cannot be used
│   └── IncompleteListing incomplete-listing  502  the source gave less than it said it has
├── LeaseHeld             lease-held          409  another harvest of the source is running
├── LeaseLost             lease-lost          409  this harvest's lease ended; its writes are refused
└── StoreError            store-error         500  the store cannot be used as it is
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class CatalogError(Exception):
    """An error that says what is wrong, and how to go on.

    Args:
        message: One English sentence for a person: what is wrong, with the offending value.
        hint: How to go on (a valid form, a setting, a smaller request); empty where there is none.
        details: Machine-readable facts, JSON-serialisable (for example the domain of the data).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error cross from a worker process."""
        return type(self), (self.message, self.hint, self.details)


class BadRequest(CatalogError):
    """A parameter that cannot be read."""

    code, status = "bad-request", 400


class NotFound(CatalogError):
    """No such record, source, run or address."""

    code, status = "not-found", 404


class Withdrawn(CatalogError):
    """The record was withdrawn from the catalog; its history is kept."""

    code, status = "withdrawn", 410


class OutsideDomain(CatalogError):
    """The request lies outside the data; `details["domain"]` says where the data are."""

    code, status = "outside-domain", 422


class NotSubsettable(CatalogError):
    """The record has no data that can be cut; the message says why."""

    code, status = "not-subsettable", 422


class TooLarge(CatalogError):
    """The answer would exceed a limit; `details` names the limit, its setting and the size asked for."""

    code, status = "too-large", 413


class TooBusy(CatalogError):
    """The server has no free worker; try again after `details["retry_after"]` seconds."""

    code, status = "too-busy", 429


class DataError(CatalogError):
    """The data behind a record could not be read."""

    code, status = "data-error", 502


class DataChanged(DataError):
    """The file is not the one that was harvested (other size, cut short)."""

    code, status = "data-changed", 503


class DataUnreadable(DataError):
    """The reader refused the file, or the remote server's answer."""

    code, status = "data-unreadable", 502


class WorkerCrashed(DataError):
    """The file killed the process that read it."""

    code, status = "worker-crashed", 502


class WorkerTimeout(DataError):
    """The process that read the file did not finish in time, and was ended."""

    code, status = "worker-timeout", 504


class BadDocument(CatalogError):
    """A harvested document that gives no valid record; the message is the reason shown in quarantine."""

    code, status = "bad-document", 422


class SourceError(CatalogError):
    """A source that could not be listed."""

    code, status = "source-error", 502


class Unreachable(SourceError):
    """No answer, or an answer that failed, after all tries."""

    code, status = "source-unreachable", 502


class AddressRefused(SourceError):
    """An address that is not public, and that the operator did not allow."""

    code, status = "address-refused", 403


class LimitExceeded(SourceError):
    """An answer beyond its size, time or redirect limit."""

    code, status = "limit-exceeded", 502


class BadSource(SourceError):
    """An entry of sources.toml that cannot be used."""

    code, status = "bad-source", 400


class IncompleteListing(SourceError):
    """The source gave fewer datasets than it said it has; nothing is counted as missing."""

    code, status = "incomplete-listing", 502


class LeaseHeld(CatalogError):
    """Another harvest of the same source is running."""

    code, status = "lease-held", 409


class LeaseLost(CatalogError):
    """This harvest's lease ended; its late writes are refused."""

    code, status = "lease-lost", 409


class StoreError(CatalogError):
    """The store cannot be used as it is."""

    code, status = "store-error", 500
