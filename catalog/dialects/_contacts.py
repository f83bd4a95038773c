"""People and organisations as OGC API - Records and STAC have them: contacts, and STAC's providers.

Contacts: OGC 20-004 §8.2.6 and https://github.com/stac-extensions/contacts; providers: STAC 1.1 common metadata.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from catalog.dialects import _words as clean
from catalog.dialects._parties import ROLES, joined
from catalog.record import Party, Role

_PRODUCED: Mapping[str, Role] = {
    "producer": "creator", "licensor": "owner", "processor": "processor", "host": "distributor",
}  # fmt: skip
_PROVIDING: Mapping[Role, str] = {
    "creator": "producer", "originator": "producer", "author": "producer", "principalInvestigator": "producer",
    "owner": "licensor", "processor": "processor", "publisher": "host", "distributor": "host", "custodian": "host",
    "resourceProvider": "host",
}  # fmt: skip
_OTHERWISE: Mapping[str, Role] = {
    "producer": "creator", "host": "distributor", "licensor": "owner", "holder": "owner", "pi": "principalInvestigator",
    "contact": "pointOfContact", "coinvestigator": "contributor", "sponsor": "funder", "rightsholder": "owner",
}  # fmt: skip


def read_parties(contacts: Any, providers: Any = None) -> tuple[Party, ...]:
    """Return the parties of lists of contacts and providers, one for each name, with all its roles.

    A provider's role that a contact of the same name has in its own words says nothing new.
    """
    named = joined(_contacts(contacts))
    return joined((*named, *_providers(providers, {party.name: party for party in named})))


def _contacts(value: Any) -> Iterator[Party]:
    for item in clean.objects(value):
        person, organisation = clean.name(item.get("name")), clean.name(item.get("organization"))
        called = person or organisation
        if called:
            yield Party(
                name=called,
                roles=_roles(item.get("roles")) or ("pointOfContact",),
                organisation=person is None or person == organisation,
                email=_first(item.get("emails"), "value"),
                url=_link(item.get("links")),
            )


def _roles(value: Any) -> tuple[Role, ...]:
    """The roles that are known, of words or of {"name": …} (earlier drafts)."""
    items = value if isinstance(value, list) else [value]
    said = (clean.name(clean.mapping(item).get("name") or item) or "" for item in items[:100])
    known = {**ROLES, **_OTHERWISE}
    folded = (word.replace(" ", "").replace("_", "").lower() for word in said)
    return tuple(dict.fromkeys(known[word] for word in folded if word in known))


def _first(value: Any, key: str) -> str | None:
    return next((said for item in clean.objects(value) if (said := clean.words(item.get(key), 1_000))), None)


def _link(value: Any) -> str | None:
    return next((said for item in clean.objects(value) if (said := clean.address(item.get("href")))), None)


def _providers(value: Any, named: Mapping[str, Party]) -> Iterator[Party]:
    for item in clean.objects(value):
        called = clean.name(item.get("name"))
        if not called:
            continue
        claims = (
            [clean.name(role) or "" for role in item["roles"]] if isinstance(item.get("roles"), list) else []
        )
        known = named[called].roles if called in named else ()
        said = {_PROVIDING.get(role) for role in known}
        roles = tuple(_PRODUCED[claim] for claim in claims if claim in _PRODUCED and claim not in said)
        yield Party(
            name=called,
            roles=tuple(dict.fromkeys(roles)) or known or ("contributor",),
            organisation=called not in named,
            url=clean.address(item.get("url")),
        )


def write_contacts(parties: Iterable[Party]) -> list[dict[str, Any]]:
    """Return parties as contacts; an organisation has no `name`."""
    return [
        {
            **({"organization": party.name} if party.organisation else {"name": party.name}),
            "roles": list(party.roles),
            **({"emails": [{"value": party.email}]} if party.email else {}),
            **({"links": [{"href": party.url, "rel": "about"}]} if party.url else {}),
        }
        for party in parties
    ]


def write_providers(parties: Iterable[Party]) -> list[dict[str, Any]]:
    """Return those of the parties that produce, license, process or host, as STAC's providers."""
    said = (
        (party, list(dict.fromkeys(_PROVIDING[role] for role in party.roles if role in _PROVIDING)))
        for party in parties
    )
    return [
        {"name": party.name, "roles": roles, **({"url": link} if (link := clean.address(party.url)) else {})}
        for party, roles in said
        if roles
    ]
