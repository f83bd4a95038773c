"""Words of ISO 19115 metadata: free text in several languages, code lists, and language codes.

ISO/TS 19139:2007 §7.1 (PT_FreeText), ISO 19115-3:2016 (lan). A text is a CharacterString in the document's language,
or an Anchor, and beside it LocalisedCharacterString elements, each naming a locale of the document (`#FR`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from catalog.dialects import _words as clean
from catalog.dialects import _xml as xml
from catalog.dialects._languages import UNKNOWN, language
from catalog.dialects._xml import Element
from catalog.record import Text

_REGISTERED = re.compile(r"RI_\d+")
_WORDS = ("CharacterString", "Anchor", "MimeFileType", "FileName", "URL", "LocalName", "ScopedName", "Code")


@dataclass(frozen=True)
class Tongues:
    """The languages of a document: that of its plain texts, and those of its locales by their ids."""

    main: str
    others: Mapping[str, str]


def tongues(root: Element) -> Tongues:
    """Return the languages that a metadata element says it has (language, locale; defaultLocale, otherLocale)."""
    said = xml.first(root, "language", "defaultLocale/PT_Locale/language")
    main = language(_said_language(said)) if said is not None else UNKNOWN
    others = {}
    for name in ("locale", "otherLocale", "defaultLocale"):
        for locale in xml.each(root, f"{name}/PT_Locale"):
            spoken = _said_language(xml.first(locale, "languageCode", "language"))
            others[xml.attribute(locale, "id") or ""] = language(spoken)
    return Tongues(main, MappingProxyType(others))


def _said_language(said: Element | None) -> str:
    return (code(xml.first(said, "LanguageCode")) or xml.text(said) or "").partition(";")[0].strip()


def code(element: Element | None) -> str | None:
    """Return the value of a code list's element: its `codeListValue`, or its words where that says nothing."""
    given = clean.name(xml.attribute(element, "codeListValue"))
    said = clean.name((xml.text(element) or "").partition(";")[0])
    return said or given if given is None or _REGISTERED.fullmatch(given) else given


def codes(element: Element | None, path: str) -> Iterator[str]:
    """Yield the values of the code list's elements in the elements at a path."""
    for holder in xml.each(element, path) if element is not None else ():
        for one in holder:
            if found := code(one):
                yield found


def words(element: Element | None, *paths: str) -> str | None:
    """Return the plain words of the first element at one of some paths that has any; localised ones are left out."""
    if element is None:
        return None
    for path in paths:
        for holder in xml.each(element, path):
            if said := _plain(holder):
                return said
    return None


def _plain(holder: Element) -> str | None:
    for one in holder:
        if xml.local(one) in _WORDS and (said := clean.words(xml.text(one))):
            return said
    return None if len(holder) else clean.words(xml.text(holder))


def text(holder: Element | None, spoken: Tongues) -> Text | None:
    """Return the words of an element in all its languages."""
    if holder is None:
        return None
    said: dict[str, str | None] = {spoken.main: _plain(holder)}
    for one in xml.each(holder, "PT_FreeText/textGroup/LocalisedCharacterString"):
        found = _locale((xml.attribute(one, "locale") or "").lstrip("#"), spoken)
        if said.get(found) is None:
            said[found] = clean.words(xml.text(one))
    return clean.text(said)


def _locale(name: str, spoken: Tongues) -> str:
    """The language of a locale's id; of an id that no locale has, what it says (`locale-fr`)."""
    known = spoken.others.get(name) or spoken.others.get(f"locale-{name}")
    return known or language(name.removeprefix("locale-"))


def link(holder: Element | None) -> str | None:
    """Return the address that an Anchor in an element leads to."""
    return clean.address(xml.attribute(xml.first(holder, "Anchor"), "href"))
