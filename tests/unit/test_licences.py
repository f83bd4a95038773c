"""Terms of use as portals and files write them."""

import pytest

from catalog.dialects._licences import licence


@pytest.mark.parametrize(
    ("title", "url", "identifier", "spdx"),
    [
        ("CC BY 4.0", None, None, "CC-BY-4.0"),
        ("CC-BY-NC-SA 3.0", None, None, "CC-BY-NC-SA-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", None, "cc-by-sa", "CC-BY-SA-4.0"),
        (
            "Creative Commons Attribution",
            "https://creativecommons.org/licenses/by/4.0/",
            "cc-by",
            "CC-BY-4.0",
        ),
        (
            "Creative Commons Attribution for Intergovernmental Organisations",
            "http://creativecommons.org/licenses/by/3.0/igo/legalcode",
            "cc-by-igo",
            "CC-BY-3.0-IGO",
        ),
        ("Creative Commons Attribution", None, "cc-by", None),  # no version said: none is made up
        ("https://creativecommons.org/publicdomain/zero/1.0/", None, None, "CC0-1.0"),
        ("Licence Ouverte / Open Licence version 2.0 (Etalab)", None, "fr-lo", "etalab-2.0"),
        ("Open Database License (ODbL)", None, "odc-odbl", "ODbL-1.0"),
        ("Apache Software License 2.0", None, "apache", None),
        ("Apache License, Version 2.0", None, None, "Apache-2.0"),
        ("U.S. Government Work", None, "us-pd", "LicenseRef-public-domain"),
        ("UK Open Government Licence v3.0", None, "uk-ogl", "OGL-UK-3.0"),
        ("The data may be used and redistributed for free", None, None, None),
    ],
)
def test_terms_are_recognised(title: str, url: str | None, identifier: str | None, spdx: str | None) -> None:
    found = licence(title, url, identifier)
    assert found is not None
    assert found.spdx == spdx


def test_terms_that_say_nothing_are_none() -> None:
    assert licence() is None
    assert licence("", "javascript:alert(1)", "notspecified") is None
    assert licence(None, None, "own-terms") == licence("own-terms")
