"""A record said in the elements of ISO 19115, in either encoding."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime

from catalog.dialects import _words as clean
from catalog.dialects._isoterms import SPDX
from catalog.dialects._isotree import Edition, Node, code, missing, node, words
from catalog.dialects._isowhere import extent_of, grid_of
from catalog.dialects._languages import UNKNOWN, three_letters
from catalog.dialects._ways import FORMATS
from catalog.record import (
    Distribution,
    Kind,
    Licence,
    Party,
    Record,
    Role,
    Text,
    Variable,
)

NOTE = "bienmo:"
"""How the measure of a quality note begins; the note's code ends it."""

THEMES = "Biển Mở themes"
FEATURE_TYPES = "CF featureType"
"""Thesauri of the record's themes and kind."""

STANDARD_NAME = r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+|time|latitude|longitude|depth|altitude|height"
FORMAT_WORDS = frozenset({*FORMATS, *FORMATS.values()})
FREQUENCIES = frozenset(
    {
        "continual", "daily", "weekly", "fortnightly", "monthly", "quarterly", "biannually", "annually", "asNeeded",
        "irregular", "notPlanned",
    }
)  # fmt: skip
"""MD_MaintenanceFrequencyCode, but for `unknown`."""

_UDUNITS = "https://www.unidata.ucar.edu/software/udunits/"
_REPRESENTATIONS: Mapping[Kind, str] = {"grid": "grid", "features": "vector", "mesh": "tin"}
_FEATURES: Mapping[Kind, str] = {
    "timeseries": "timeSeries", "profile": "profile", "trajectory": "trajectory", "points": "point",
}  # fmt: skip
_PROTOCOLS = {
    "opendap": "OPeNDAP:OPeNDAP", "griddap": "ERDDAP:griddap", "tabledap": "ERDDAP:tabledap", "wms": "OGC:WMS",
}  # fmt: skip
_DOWNLOAD = "WWW:DOWNLOAD-1.0-http--download"
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")


class Writing:
    """The tree of a record in an edition; its plain texts are in one language, others are localised.

    Args:
        record: What is said.
        edition: How.
    """

    def __init__(self, record: Record, edition: Edition) -> None:
        self._record, self._third = record, edition.third
        texts = [said for text in _texts(record) if (said := clean.text(text.words))]
        tongues = dict.fromkeys(code for text in texts for code in text.words)
        everywhere = [code for code in ("vi", "en", *sorted(tongues)) if all(code in t.words for t in texts)]
        self._main = everywhere[0] if texts and everywhere else UNKNOWN
        self._others = [code for code in sorted(tongues) if code != self._main]

    def tree(self) -> Node:
        """Return the metadata set."""
        record = self._record
        told = (self._party("contact", party, "pointOfContact") for party in record.parties)
        return node(
            "MD_Metadata",
            *self._head(),
            next((one for one in told if one), missing("contact")),
            *self._dates(),
            *(self._locale("otherLocale" if self._third else "locale", each) for each in self._others),
            grid_of(record.extent.resolution),
            node("identificationInfo", self._identification()),
            *self._contents(),
            node("distributionInfo", node("MD_Distribution", self._transfer())),
            *self._quality(),
        )

    def _head(self) -> Iterator[Node]:
        name, scope = node("CharacterString", self._record.id), code("MD_ScopeCode", "dataset")
        if self._third:
            yield node("metadataIdentifier", node("MD_Identifier", node("code", name)))
            yield self._locale("defaultLocale", self._main)
            yield node("metadataScope", node("MD_MetadataScope", node("resourceScope", scope)))
        else:
            yield node("fileIdentifier", name)
            yield node("language", _language(self._main))
            yield node("characterSet", code("MD_CharacterSetCode", "utf8"))
            yield node("hierarchyLevel", scope)

    def _dates(self) -> Iterator[Node | None]:
        modified = _date(self._record.modified)
        standard = "ISO 19115-3" if self._third else "ISO 19115:2003/19139"
        if not self._third:
            yield node("dateStamp", modified) if modified else missing("dateStamp")
            yield words("metadataStandardName", standard)
            return
        yield _dated("dateInfo", modified, "revision") or missing("dateInfo")
        title = words("title", standard)
        yield node("metadataStandard", node("CI_Citation", title))

    def _locale(self, name: str, tongue: str) -> Node:
        return node(
            name,
            node(
                "PT_Locale",
                node("language" if self._third else "languageCode", _language(tongue)),
                node("characterEncoding", code("MD_CharacterSetCode", "utf8")),
                id=f"locale-{tongue}",
            ),
        )

    def _free(self, name: str, text: Text | None, *, tail: str = "") -> Node | None:
        """A property of words in several languages; `tail` ends the plain ones."""
        said = clean.text(text.words) if text else None
        if said is None:
            return words(name, tail or None)
        plain = said.words.get(self._main) or said.best("vi")
        groups = [
            node("textGroup", node("LocalisedCharacterString", value, locale=f"#locale-{tongue}"))
            for tongue, value in said.words.items()
            if tongue != self._main
        ]
        kind = f"{'lan' if self._third else 'gmd'}:PT_FreeText_PropertyType"
        plainly = node("CharacterString", f"{plain} {tail}".strip())
        return (
            node(name, plainly, node("PT_FreeText", *groups), xsi_type=kind)
            if groups
            else node(name, plainly)
        )

    def _identification(self) -> Node:
        record = self._record
        shape = _REPRESENTATIONS.get(record.kind, "textTable" if record.kind in _FEATURES else None)
        shown = (
            node("spatialRepresentationType", code("MD_SpatialRepresentationTypeCode", shape))
            if shape
            else None
        )
        topic = node("topicCategory", node("MD_TopicCategoryCode", "oceans"))
        contacts = [
            self._party("pointOfContact", party, "pointOfContact")
            for party in record.parties if "pointOfContact" in (party.roles or ("pointOfContact",))
        ]  # fmt: skip
        extent = extent_of(record.extent)
        tongue = (
            self._locale("defaultLocale", self._main)
            if self._third
            else node("language", _language(self._main))
        )
        first = (
            node("citation", self._citation()),
            self._free("abstract", record.summary) or missing("abstract"),
            *contacts,
        )
        about = (_frequency(record.update_frequency), *self._keywords(), _licence(record.licence))
        if self._third:
            return node("MD_DataIdentification", *first, shown, topic, extent, *about, tongue)
        return node("MD_DataIdentification", *first, *about, shown, tongue, topic, extent)

    def _citation(self) -> Node:
        record, doi = self._record, clean.doi(self._record.doi)
        dates = [
            _dated("date", _date(record.created), "creation"),
            _dated("date", _date(record.modified), "revision"),
        ]
        link = f"https://doi.org/{doi}" if doi else None
        cited = [
            self._party("citedResponsibleParty", party, role)
            for party in record.parties for role in party.roles if role != "pointOfContact"
        ]  # fmt: skip
        return node(
            "CI_Citation",
            self._free("title", record.title) or missing("title"),
            *([one for one in dates if one] or [missing("date")]),
            node("identifier", node("MD_Identifier", _anchor("code", link, link))) if link else None,
            *cited,
            words("otherCitationDetails", clean.words(record.citation)),
        )

    def _party(self, name: str, party: Party, role: Role) -> Node | None:
        called = clean.name(party.name)
        if called is None:
            return None
        email, link = clean.words(party.email, 1_000), clean.address(party.url)
        address = (
            node("address", node("CI_Address", words("electronicMailAddress", email))) if email else None
        )
        online = node("onlineResource", node("CI_OnlineResource", self._linkage(link))) if link else None
        contact = node("contactInfo", node("CI_Contact", address, online)) if address or online else None
        said = node("role", code("CI_RoleCode", role))
        if self._third:
            kind = "CI_Organisation" if party.organisation else "CI_Individual"
            return node(
                name,
                node("CI_Responsibility", said, node("party", node(kind, words("name", called), contact))),
            )
        named = words("organisationName" if party.organisation else "individualName", called)
        return node(name, node("CI_ResponsibleParty", named, contact, said))

    def _linkage(self, link: str) -> Node:
        return node("linkage", node("CharacterString" if self._third else "URL", link))

    def _keywords(self) -> Iterator[Node]:
        record = self._record
        feature = _FEATURES.get(record.kind)
        themes = [words("keyword", clean.name(theme)) for theme in record.themes]
        for said, thesaurus in (
            ([self._free("keyword", keyword) for keyword in record.keywords], None),
            (themes, THEMES),
            ([words("keyword", feature)], FEATURE_TYPES),
        ):
            if any(said):
                yield node("descriptiveKeywords", node("MD_Keywords", *said, _thesaurus(thesaurus)))

    def _contents(self) -> Iterator[Node]:
        """The data's variables, then the coordinates, as bands of two coverages."""
        for coordinate in (False, True):
            chosen = [one for one in self._record.variables if one.coordinate == coordinate]
            bands = [
                band for at, one in enumerate(chosen) if (band := self._band(one, f"{int(coordinate)}-{at}"))
            ]
            kind = code("MD_CoverageContentTypeCode", "coordinate" if coordinate else "physicalMeasurement")
            about = missing("attributeDescription")
            if bands and self._third:
                group = node(
                    "MD_AttributeGroup", node("contentType", kind), *(node("attribute", one) for one in bands)
                )
                yield node(
                    "contentInfo", node("MD_CoverageDescription", about, node("attributeGroup", group))
                )
            elif bands:
                ranges = [node("dimension", one) for one in bands]
                yield node(
                    "contentInfo", node("MD_CoverageDescription", about, node("contentType", kind), *ranges)
                )

    def _band(self, variable: Variable, at: str) -> Node | None:
        called, unit = clean.name(variable.name), clean.words(variable.units, 1_000)
        if called is None:
            return None
        dtype = clean.words(variable.dtype, 100)
        typed = node("attributeType", node("TypeName", words("aName", dtype)) if dtype else None)
        member = node("sequenceIdentifier", node("MemberName", words("aName", called), typed))
        standard = variable.standard_name or ""
        tail = f"({standard})" if re.fullmatch(STANDARD_NAME, standard) else ""
        name = "description" if self._third else "descriptor"
        title = self._free(name, variable.title, tail=tail)
        identifier = node("identifier", unit or "", codeSpace=_UDUNITS)
        units = node("units", node("UnitDefinition", identifier, gml_id=f"unit-{at}")) if unit else None
        return node("MD_SampleDimension" if self._third else "MD_Band", member, title, units)

    def _transfer(self) -> Node | None:
        page = clean.address(self._record.landing_page)
        first = [self._online(page, "WWW:LINK-1.0-http--link", "information")] if page else []
        ways = [way for one in self._record.distributions if (way := self._way(one))]
        links = [node("onLine", link) for link in (*first, *ways)]
        return node("transferOptions", node("MD_DigitalTransferOptions", *links)) if links else None

    def _way(self, way: Distribution) -> Node | None:
        """A way that leads over the web; files of this machine are nobody's else."""
        if way.protocol in {"file", "collection", "table"} or clean.address(way.address) != way.address:
            return None
        title, media_type = clean.words(way.title), clean.words(way.media_type, 200)
        kind = "MimeFileType" if media_type else "CharacterString"
        name = node("name", node(kind, title, type=media_type)) if title else None
        form = words("applicationProfile", way.format) if way.format in FORMAT_WORDS else None
        return self._online(way.address, _PROTOCOLS.get(way.protocol, _DOWNLOAD), "download", form, name)

    def _online(self, link: str, protocol: str, function: str, *said: Node | None) -> Node:
        does = node("function", code("CI_OnLineFunctionCode", function))
        return node("CI_OnlineResource", self._linkage(link), words("protocol", protocol), *said, does)

    def _quality(self) -> Iterator[Node]:
        """The lineage, and the quality notes as measures that the data do not meet."""
        lineage = words("statement", clean.words(self._record.lineage))
        told = node("LI_Lineage", lineage) if lineage else None
        if told and self._third:
            yield node("resourceLineage", told)
            told = None
        reports = [
            self._report(note.code, said) for note in self._record.quality if (said := clean.words(note.text))
        ]
        if reports or told:
            scope = node(
                "MD_Scope" if self._third else "DQ_Scope", node("level", code("MD_ScopeCode", "dataset"))
            )
            line = node("lineage", told) if told else None
            yield node("dataQualityInfo", node("DQ_DataQuality", node("scope", scope), *reports, line))

    def _report(self, measure: str, said: str) -> Node:
        identifier = node("measureIdentification", node("MD_Identifier", words("code", NOTE + measure)))
        name = words("nameOfMeasure", measure)
        measures = (
            [node("measure", node("DQ_MeasureReference", identifier, name))]
            if self._third
            else [name, identifier]
        )
        failed = node("pass", node("Boolean", "false"))
        result = node("DQ_ConformanceResult", missing("specification"), words("explanation", said), failed)
        return node("report", node("DQ_DomainConsistency", *measures, node("result", result)))


def _texts(record: Record) -> Iterator[Text]:
    yield record.title
    yield from (record.summary,) if record.summary else ()
    yield from record.keywords
    yield from (one.title for one in record.variables if one.title)


def _language(tongue: str) -> Node:
    return node(
        "LanguageCode",
        tongue,
        codeList="http://www.loc.gov/standards/iso639-2/",
        codeListValue=three_letters(tongue),
    )


def _date(moment: str | None) -> Node | None:
    """A time that is one of XML Schema's (its calendar is Gregorian, and has no year 0)."""
    try:
        datetime.fromisoformat(moment or "")
    except ValueError:
        return None
    return node("DateTime", moment)


def _dated(name: str, date: Node | None, kind: str) -> Node | None:
    if date is None:
        return None
    return node(name, node("CI_Date", node("date", date), node("dateType", code("CI_DateTypeCode", kind))))


def _anchor(name: str, said: str | None, link: str | None) -> Node | None:
    if said and link:
        return node(name, node("Anchor", said, xlink_href=link))
    return words(name, said or link)


def _thesaurus(title: str | None) -> Node | None:
    cited = node("CI_Citation", words("title", title), missing("date"))
    return node("thesaurusName", cited) if title else None


def _frequency(said: str | None) -> Node | None:
    told = clean.words(said, 200)
    if told is None:
        return None
    known = told in FREQUENCIES
    often = code("MD_MaintenanceFrequencyCode", told if known else "unknown", told)
    return node(
        "resourceMaintenance", node("MD_MaintenanceInformation", node("maintenanceAndUpdateFrequency", often))
    )


def _licence(terms: Licence | None) -> Node | None:
    if terms is None:
        return None
    known = f"{SPDX}{terms.spdx}" if terms.spdx and _IDENTIFIER.fullmatch(terms.spdx) else None
    said = [
        _anchor("otherConstraints", clean.words(terms.title), clean.address(terms.url)),
        words("otherConstraints", known),
    ]
    use = node("useConstraints", code("MD_RestrictionCode", "otherRestrictions"))
    return node("resourceConstraints", node("MD_LegalConstraints", use, *said)) if any(said) else None
