"""Who made the data and on what terms, as ISO 19115 says it: parties with roles, constraints.

CI_ResponsibleParty (ISO 19139) and CI_Responsibility (ISO 19115-3) name a role; a person and the organisation they
belong to are two parties with it.
"""

import re
from collections.abc import Iterator, Mapping

from catalog.dialects import _isotext as iso
from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._licences import licence
from catalog.dialects._parties import ROLES, joined
from catalog.dialects._xml import Element
from catalog.record import Licence, Party, Role

SPDX = "https://spdx.org/licenses/"

_ROLES: Mapping[str, Role] = {
    "sponsor": "funder", "coauthor": "author", "collaborator": "contributor", "editor": "contributor",
    "mediator": "contributor", "stakeholder": "contributor", "rightsholder": "owner", "licensor": "owner",
}  # fmt: skip
"""Roles of ISO 19115-1 that a record does not tell apart, in small letters."""

_CODES: Mapping[str, Role] = {**ROLES, **_ROLES}
_SPDX = re.compile(r"https?://spdx\.org/licenses/([A-Za-z0-9][A-Za-z0-9.+-]*?)(?:\.html|/)?")
_NOTHING = re.compile(
    r"(?:no (?:limitations?|conditions?|restrictions?)(?: (?:to|on|apply to) (?:public )?access(?: and use)?)?"
    r"|none|unknown|conditions unknown|not applicable|n/a|license|licence|copyright|otherrestrictions)\.?",
    re.IGNORECASE,
)


def read_parties(root: Element, resource: Element | None) -> tuple[Party, ...]:
    """Read the parties of the resource and its distribution; those of the metadata where there are no others."""
    found = [
        party
        for element, path in (
            (resource, "citation/CI_Citation/citedResponsibleParty"),
            (resource, "pointOfContact"),
            (root, "distributionInfo/MD_Distribution/distributor/MD_Distributor/distributorContact"),
        )
        for party in _of(element, path)
    ]
    return joined(found or _of(root, "contact"))


def _of(element: Element | None, path: str) -> Iterator[Party]:
    for one in xml.each(element, f"{path}/*") if element is not None else ():
        said = (iso.code(xml.first(one, "role/CI_RoleCode")) or "").replace(" ", "").lower()
        role = _CODES.get(said, "pointOfContact")
        yield from (
            _responsibility(one, role) if xml.first(one, "party") is not None else _responsible(one, role)
        )


def _responsible(one: Element, role: Role) -> Iterator[Party]:
    """A CI_ResponsibleParty; where there is a person, the email is theirs and the address the organisation's."""
    contact = xml.first(one, "contactInfo/*")
    person, email, link = _person(one), _email(contact), _address(contact)
    organisation = clean.name(iso.words(one, "organisationName"))
    if person:
        yield Party(
            name=person, roles=(role,), organisation=False, email=email, url=None if organisation else link
        )
    called = organisation or (None if person else clean.name(iso.words(one, "positionName")))
    if called:
        yield Party(name=called, roles=(role,), email=None if person else email, url=link)


def _person(one: Element) -> str | None:
    """The individual's name, also in the two parts of the Swiss profile."""
    parts = (iso.words(one, f"individual{part}Name") for part in ("First", "Last"))
    return clean.name(iso.words(one, "individualName")) or clean.name(
        " ".join(part for part in parts if part)
    )


def _responsibility(one: Element, role: Role) -> Iterator[Party]:
    for party in xml.each(one, "party/*"):
        person = xml.local(party) == "CI_Individual"
        for who, alone in (
            (party, not person),
            *((found, False) for found in xml.each(party, "individual/*")),
        ):
            called, contact = clean.name(iso.words(who, "name")), xml.first(who, "contactInfo/CI_Contact")
            called = called or clean.name(iso.words(who, "positionName"))
            if called:
                link = _address(contact)
                yield Party(name=called, roles=(role,), organisation=alone, email=_email(contact), url=link)


def _email(contact: Element | None) -> str | None:
    return clean.words(iso.words(contact, "address/*/electronicMailAddress"), 1_000)


def _address(contact: Element | None) -> str | None:
    return clean.address(xml.text(contact, "onlineResource/*/linkage"))


def read_licence(resource: Element | None) -> Licence | None:
    """Read the terms of use: the first words that name a known licence, else all words that say something."""
    said = tuple(_constraints(resource))
    spdx = next((found[1] for words, _ in said if words and (found := _SPDX.fullmatch(words))), None)
    others = ((words, link) for words, link in said if not (words and _SPDX.fullmatch(words)))
    terms = [one for words, link in others if (one := licence(words, link))]
    first = next((one for one in terms if one.spdx), terms[0] if terms else None)
    if spdx:
        return licence(first.title if first else None, first.url if first else None, None, spdx)
    if first is None or first.spdx:
        return first
    titles = dict.fromkeys(one.title for one in terms if one.title and not _NOTHING.fullmatch(one.title))
    return licence("\n".join(titles), next((one.url for one in terms if one.url), None)) or first


def _constraints(resource: Element | None) -> Iterator[tuple[str | None, str | None]]:
    """The words and the link of each constraint on use, legal ones first, then limitations."""
    if resource is None:
        return
    legal = [
        one
        for one in xml.each(resource, "resourceConstraints/*")
        if xml.local(one).endswith("LegalConstraints")
    ]
    others = [
        one
        for one in xml.each(resource, "resourceConstraints/*")
        if xml.local(one).endswith("MD_Constraints")
    ]
    for name in ("otherConstraints", "useLimitation", "reference"):
        for one in (*legal, *others):
            for holder in xml.each(one, name):
                found = xml.first(holder, "*/title") if name == "reference" else holder
                words = iso.words(holder, "*/title") if name == "reference" else _said(holder)
                if words or iso.link(found):
                    yield (
                        words,
                        iso.link(found) or clean.address(xml.text(holder, "*/onlineResource/*/linkage")),
                    )


def _said(holder: Element) -> str | None:
    return clean.words(xml.text(holder, "CharacterString", "Anchor"))
