"""CKAN's packages as they are written: what a plain CKAN takes from a harvester, and the answer of package_show."""

import json
import re

from hypothesis import given

from catalog.dialects import ckan
from catalog.record import Record
from catalog.source import Document
from contract.test_dialects import records
from strangers import record

KEYS = {
    "id", "name", "type", "state", "private", "title", "notes", "url", "tags", "organization", "author", "author_email",
    "maintainer", "maintainer_email", "license_id", "license_title", "license_url", "metadata_created",
    "metadata_modified", "extras", "resources",
}  # fmt: skip


@given(records)
def test_a_package_is_one_that_a_plain_ckan_takes(said: Record) -> None:
    """CKAN's default schema: a short name, tags of certain letters, unique extras of plain text, no other keys."""
    package = json.loads(ckan.write(said))
    assert package.keys() <= KEYS
    assert re.fullmatch(r"[a-z0-9_-]{2,100}", package["name"])
    assert all(re.fullmatch(r"[\w .-]{2,100}", tag["name"]) for tag in package["tags"])
    names = [extra["key"] for extra in package["extras"]]
    assert len(names) == len(set(names))
    assert all(isinstance(extra["value"], str) for extra in package["extras"])
    assert all(resource["url"].startswith(("http://", "https://")) for resource in package["resources"])


def test_a_package_is_read_in_the_answer_of_package_show() -> None:
    said = record("x", extent={"boxes": [[170, -10, -170, 10]]}, licence={"spdx": "CC-BY-4.0"})
    package = json.loads(ckan.write(said))
    whole = json.dumps({"help": "", "success": True, "result": package}).encode()
    found = ckan.read(Document(source="sample", native_id="x", content=whole))
    assert (found.title, found.extent.boxes, found.licence) == (said.title, said.extent.boxes, said.licence)
