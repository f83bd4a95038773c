"""People and organisations as ACDD 1.3 attributes: creator, publisher, contributor, institution."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from catalog.dialects import _words as clean
from catalog.record import Party, Role

ROLES: Mapping[str, Role] = MappingProxyType({role.lower(): role for role in get_args(Role)})
"""Roles by their names in small letters."""

_CLASSES: tuple[Role, ...] = ("creator", "publisher", "contributor")


def read_parties(attributes: Mapping[str, Any]) -> tuple[Party, ...]:
    """Return the people and organisations of attributes, one for each name, with all its roles."""
    return joined(_named(attributes))


def joined(parties: Iterable[Party]) -> tuple[Party, ...]:
    """Return parties, one for each name, with all its roles."""
    found: dict[str, Party] = {}
    for party in parties:
        found[party.name] = _both(found[party.name], party) if party.name in found else party
    return tuple(found.values())


def _both(one: Party, other: Party) -> Party:
    return Party(
        name=one.name,
        roles=tuple(role for role in get_args(Role) if role in {*one.roles, *other.roles}),
        organisation=one.organisation or other.organisation,
        email=one.email or other.email,
        url=one.url or other.url,
    )


def _named(attributes: Mapping[str, Any]) -> Iterator[Party]:
    for group in _CLASSES[:2]:
        yield from _group(attributes, group, group)
    for institution in clean.each(attributes.get("institution")):
        if institution:
            yield Party(name=institution, roles=("originator",))
    yield from _group(attributes, "contributor", "contributor")


def _group(attributes: Mapping[str, Any], group: str, role: Role) -> Iterator[Party]:
    """The parties of `creator_*`, `publisher_*` or `contributor_*`, one or a list of each."""
    names = clean.each(attributes.get(f"{group}_name"))
    roles = clean.each(attributes.get(f"{group}_role"))
    if group == "contributor" and len(names) == 1 and names[0] and "," in names[0]:
        apart = tuple(part.strip() for part in names[0].split(","))
        claims = tuple(part.strip() for part in (_at(roles, 0) or "").split(","))
        names, roles = (apart, claims) if len(apart) == len(claims) else (names, roles)
    emails, links, types = (clean.each(attributes.get(f"{group}_{key}")) for key in ("email", "url", "type"))
    for at, called in enumerate(names):
        if called:
            claim = _at(roles, at)
            kind = (_at(types, at) or ("person" if group == "contributor" else "institution")).lower()
            yield Party(
                name=called,
                roles=(role_named(claim, role),),
                organisation=kind != "person",
                email=clean.words(_at(emails, at), 1_000),
                url=clean.address(_at(links, at)),
            )


def _at(values: Sequence[str | None], at: int) -> str | None:
    return values[at] if at < len(values) else None


def role_named(claim: str | None, otherwise: Role) -> Role:
    """Return the role of a name in any letter case, blanks left out; else another."""
    return ROLES.get((claim or "").replace(" ", "").lower(), otherwise)


def write_parties(parties: Iterable[Party]) -> dict[str, list[str]]:
    """Return parties as lists of names, emails, addresses, types and roles; one name a role."""
    columns: dict[str, list[str]] = {}
    rows = [(_group_of(role), role, party) for party in parties for role in party.roles]
    for group in _CLASSES:
        chosen = [(role, party) for among, role, party in rows if among == group and not _bare(role, party)]
        if chosen:
            columns[f"{group}_name"] = [party.name for _, party in chosen]
            columns[f"{group}_email"] = [party.email or "" for _, party in chosen]
            columns[f"{group}_url"] = [party.url or "" for _, party in chosen]
            columns[f"{group}_type"] = [
                "institution" if party.organisation else "person" for _, party in chosen
            ]
            columns[f"{group}_role"] = [role for role, _ in chosen]
    institutions = [party.name for _, role, party in rows if role == "originator" and party.organisation]
    return columns | ({"institution": institutions} if institutions else {})


def _group_of(role: Role) -> Role:
    return role if role in _CLASSES else "contributor"


def _bare(role: Role, party: Party) -> bool:
    """Whether `institution` says all there is to say."""
    return role == "originator" and party.organisation and not party.email and not party.url
