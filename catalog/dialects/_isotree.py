"""A record as a tree of ISO 19115 elements, named locally; an edition gives them their namespaces.

The two encodings differ in few structures and in many namespaces. A class (`MD_Keywords`, `CharacterString`) has the
namespace that its edition's table says; a property (`keyword`) has that of the class around it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from lxml import etree

from catalog.dialects._xml import Element

Node: TypeAlias = tuple[str, Mapping[str, str], tuple[Any, ...]]
"""A name, attributes by their prefixed names, and nodes or words."""

_XLINK, _XSI = "http://www.w3.org/1999/xlink", "http://www.w3.org/2001/XMLSchema-instance"
_GML = "http://www.opengis.net/gml/3.2"
_GCO = frozenset(
    {
        "CharacterString", "Date", "DateTime", "Decimal", "Real", "Integer", "Boolean", "Measure", "MemberName",
        "TypeName", "RecordType",
    }
)  # fmt: skip
_CODE_LISTS = "https://standards.iso.org/iso/19139/resources/gmxCodelists.xml"


def node(name: str, *content: Node | str | None, **attributes: str | None) -> Node:
    """Make a node; of the content None is left out. An attribute `xlink_href` is `xlink:href`."""
    said = {key.replace("_", ":"): value for key, value in attributes.items() if value is not None}
    return name, said, tuple(one for one in content if one is not None)


def words(name: str, said: str | None) -> Node | None:
    """Make a property of words, or None where there are none."""
    return node(name, node("CharacterString", said)) if said else None


def missing(name: str) -> Node:
    """Make a property that must be there and has no value."""
    return node(name, gco_nilReason="missing")


def code(name: str, value: str, said: str | None = None) -> Node:
    """Make an element of a code list."""
    return node(name, said or value, codeList=f"{_CODE_LISTS}#{name}", codeListValue=value)


@dataclass(frozen=True)
class Edition:
    """An encoding: its namespaces by prefix, the prefix of each class by how its name begins, and that of others."""

    namespaces: Mapping[str, str]
    prefixes: Sequence[tuple[str, str]]
    otherwise: str
    third: bool

    def prefix(self, name: str, around: str) -> str:
        """Return the prefix of an element by its name, and the prefix of the class around it."""
        if name[0].islower():
            return around
        if name in _GCO:
            return "gco"
        return next((prefix for start, prefix in self.prefixes if name.startswith(start)), self.otherwise)


def built(tree: Node, edition: Edition) -> bytes:
    """Return a tree as an XML document in UTF-8."""
    root = _element(tree, edition, edition.otherwise, None)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _element(tree: Node, edition: Edition, around: str, parent: Element | None) -> Element:
    name, attributes, content = tree
    prefix = edition.prefix(name, around)
    tag = f"{{{edition.namespaces[prefix]}}}{name}"
    said = dict(_attributes(attributes, edition))
    used = dict(edition.namespaces) if parent is None else None
    element = etree.Element(tag, said, nsmap=used) if parent is None else etree.SubElement(parent, tag, said)
    for one in content:
        if isinstance(one, str):
            element.text = one
        else:
            _element(one, edition, prefix, element)
    return element


def _attributes(attributes: Mapping[str, str], edition: Edition) -> Iterator[tuple[str, str]]:
    for key, value in attributes.items():
        prefix, colon, name = key.partition(":")
        yield (f"{{{edition.namespaces[prefix]}}}{name}" if colon else key), value


ISO_19139 = Edition(
    namespaces=MappingProxyType(
        {
            "gmd": "http://www.isotc211.org/2005/gmd",
            "gco": "http://www.isotc211.org/2005/gco",
            "gmx": "http://www.isotc211.org/2005/gmx",
            "gml": _GML,
            "xlink": _XLINK,
            "xsi": _XSI,
        }
    ),
    prefixes=(("Anchor", "gmx"), ("MimeFileType", "gmx"), ("TimePeriod", "gml"), ("UnitDefinition", "gml")),
    otherwise="gmd",
    third=False,
)
"""ISO/TS 19139:2007 with GML 3.2."""

_VERSIONS = {
    "mdb": "2.0", "cit": "2.0", "gco": "1.0", "gcx": "1.0", "gex": "1.0", "lan": "1.0", "mcc": "1.0", "mco": "1.0",
    "mmi": "1.0", "mrc": "2.0", "mrd": "1.0", "mri": "1.0", "mrl": "2.0", "msr": "2.0",
}  # fmt: skip
_ROOMS = {name: f"http://standards.iso.org/iso/19115/-3/{name}/{at}" for name, at in _VERSIONS.items()}

ISO_19115_3 = Edition(
    namespaces=MappingProxyType(
        _ROOMS | {"mdq": "http://standards.iso.org/iso/19157/-2/mdq/1.0", "gml": _GML, "xlink": _XLINK, "xsi": _XSI}
    ),
    prefixes=(
        ("Anchor", "gcx"), ("MimeFileType", "gcx"), ("TimePeriod", "gml"), ("UnitDefinition", "gml"),
        ("CI_", "cit"), ("EX_", "gex"), ("PT_", "lan"), ("Localised", "lan"), ("Language", "lan"),
        ("MD_CharacterSet", "lan"), ("MD_Identifier", "mcc"), ("MD_Spatial", "mcc"), ("MD_Scope", "mcc"),
        ("MD_DataIdentification", "mri"), ("MD_Keyword", "mri"), ("MD_TopicCategory", "mri"),
        ("MD_Maintenance", "mmi"), ("MD_LegalConstraints", "mco"), ("MD_Restriction", "mco"), ("MD_Coverage", "mrc"),
        ("MD_Attribute", "mrc"), ("MD_Sample", "mrc"), ("MD_Distribution", "mrd"), ("MD_Digital", "mrd"),
        ("LI_", "mrl"), ("MD_Grid", "msr"), ("MD_Dimension", "msr"), ("MD_Cell", "msr"), ("DQ_", "mdq"),
    ),
    otherwise="mdb",
    third=True,
)  # fmt: skip
"""ISO/TS 19115-3:2016, in its second version of the core (mdb 2.0)."""
