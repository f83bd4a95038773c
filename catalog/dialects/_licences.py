"""Terms of use as strangers write them, recognised as SPDX identifiers (https://spdx.org/licenses/)."""

import re

from catalog.dialects._words import address, words
from catalog.record import Licence

_CC = re.compile(
    r"(?:creativecommons\.org/licenses/|\bcc[ -]?)(by(?:-nc)?(?:-sa|-nd)?)\b[ /v-]*(\d\.\d)?", re.IGNORECASE
)
_CC_SPELLED = re.compile(
    r"creative commons attribution"
    r"(?P<nc>[ -]*non[ -]?commercial)?(?:[ -]*(?P<sa>share[ -]?alike)|[ -]*(?P<nd>no[ -]?deriv\w*))?",
    re.IGNORECASE,
)
_IGO = re.compile(r"\bigo\b", re.IGNORECASE)
_VERSION = re.compile(r"\b([1-4]\.[05])\b")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")
_KNOWN = tuple(
    (identifier, re.compile(pattern, re.IGNORECASE))
    for identifier, pattern in (
        ("CC0-1.0", r"\bcc[ -]?0\b|\bcc[ -]?zero\b|publicdomain/zero"),
        ("etalab-2.0", r"etalab|licence ouverte|open licen[cs]e 2\.0|\bfr-lo\b|\blov2\b"),
        ("ODbL-1.0", r"\bodbl\b|\bodc-odbl\b|open (data commons )?(open )?database licen[cs]e"),
        ("ODC-By-1.0", r"\bodc-by\b|open data commons attribution"),
        ("PDDL-1.0", r"\bpddl\b|\bodc-pddl\b|public domain dedication and licen[cs]e"),
        ("OGL-UK-3.0", r"\bogl-?uk-?3|\buk-ogl\b|open government licen[cs]e (version |v)?3"),
        ("OGL-Canada-2.0", r"open government licen[cs]e[ -–]*canada|\bca-ogl-lgo\b|\bogl-canada"),
        ("Apache-2.0", r"\bapache[ -]?(licen[cs]e)?,?[ -]*(version )?2"),
        ("MIT", r"\bmit[ -]licen[cs]e\b|^mit$"),
        ("GFDL-1.3-or-later", r"\bgfdl\b|gnu free documentation"),
        ("EUPL-1.2", r"\beupl[ -]?(v\.? ?)?1\.2"),
        ("LicenseRef-public-domain", r"public domain|\bus-pd\b|u\.?s\.? government work|\busgov"),
    )
)


def licence(
    title: object = None, url: object = None, identifier: object = None, spdx: object = None
) -> Licence | None:
    """Return the terms of use that a stranger's values say; None where they say nothing.

    Args:
        title: The source's own words, which are kept; where they are only an address they are taken as the
        address.
        url: Address of the terms.
        identifier: A portal's short identifier ("cc-by", "us-pd").
        spdx: An SPDX identifier that the source gives as one.
    """
    said, link, short = words(title), address(url) or address(title), words(identifier, 100)
    short = None if short in {"notspecified", "None"} else short
    known = words(spdx, 100)
    if not known or not _IDENTIFIER.fullmatch(known):
        known = _spdx("\n".join(part for part in (said, short, link) if part))
    if said in {link, known}:
        said = None
    said = said or (None if known or link else short)
    return Licence(spdx=known, title=said, url=link) if known or said or link else None


def _spdx(text: str) -> str | None:
    """The SPDX identifier that a text names; a Creative Commons licence without its version is not one."""
    start = text[:20_000]
    short, spelled = _CC.search(start), _CC_SPELLED.search(start)
    if short and (version := short[2] or _version(start[short.end() :])):
        igo = "-IGO" if _IGO.search(start[short.end() :][:60]) else ""
        return f"CC-{short[1].upper()}-{version}{igo}"
    if spelled and (version := _version(start[spelled.end() :])):
        parts = [key.upper() for key in ("nc", "sa", "nd") if spelled[key]]
        return "-".join(("CC-BY", *parts, version))
    return next((identifier for identifier, pattern in _KNOWN if pattern.search(start)), None)


def _version(after: str) -> str | None:
    found = _VERSION.search(after[:60])
    return found[1] if found else None
