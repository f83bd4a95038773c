"""FAULTS row 27: archives that lie about names, sizes and ratios are refused; nothing outside is written or read."""

import contextlib
import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.errors import BadDocument
from catalog.source import Source
from harvesters import darwincore
from harvesters._archives import MEMBERS, open_folder, open_zip

CORE = (
    '<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="{eml}"><core fieldsTerminatedBy="\\t" fieldsEnclosedBy="" '
    'rowType="http://rs.tdwg.org/dwc/terms/Occurrence"><files><location>{rows}</location></files>'
    '<field index="0" term="http://rs.tdwg.org/dwc/terms/scientificName"/></core></archive>'
)
SECRET = "the secret of another file"


def zipped(files: dict[str, bytes], way: int = zipfile.ZIP_DEFLATED) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", way) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return whole.getvalue()


def described(rows: str = "rows.txt", eml: str = "eml.xml") -> bytes:
    return CORE.format(rows=rows, eml=eml).encode()


def bomb() -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.xml", described())
        with archive.open("rows.txt", "w") as rows:
            for _ in range(100):
                rows.write(bytes(1_000_000))
    return whole.getvalue()


def lying_size() -> bytes:
    """The central directory says that a large file is 10 bytes."""
    whole = zipped({"meta.xml": described(), "rows.txt": b"x\n" * 1_000_000})
    return whole.replace(struct.pack("<L", 2_000_000), struct.pack("<L", 10))


def overlapping() -> bytes:
    """Many members that are the same bytes of the archive."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.xml", described())
        archive.writestr("rows.txt", b"Aus bus\n" * 100_000)
        kept = archive.getinfo("rows.txt")
        for at in range(MEMBERS + 1):
            other = zipfile.ZipInfo(f"{at}.txt")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(other, field, getattr(kept, field))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
    return whole.getvalue()


def encrypted() -> bytes:
    whole = bytearray(zipped({"meta.xml": described(), "rows.txt": b"x"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := whole.find(mark, start)) >= 0:
            whole[start + at] |= 1
            start += 4
    return bytes(whole)


def damaged() -> bytes:
    whole = bytearray(zipped({"meta.xml": described(), "rows.txt": os.urandom(10_000)}, zipfile.ZIP_STORED))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


def twice() -> bytes:
    return zipped({"meta.xml": described(), "rows.txt": b"a", "rowt.txt": b"b"}).replace(
        b"rowt.txt", b"rows.txt"
    )


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "bomb": bomb,
    "lies about its size": lying_size,
    "overlapping members": overlapping,
    "encrypted": encrypted,
    "damaged": damaged,
    "one name twice": twice,
    "packed otherwise": lambda: zipped({"meta.xml": described(), "rows.txt": b"x"}, zipfile.ZIP_LZMA),
    "rows outside": lambda: zipped({"meta.xml": described("../../secret.txt")}),
    "rows at an absolute path": lambda: zipped({"meta.xml": described("/etc/hostname")}),
    "a line without an end": lambda: zipped(
        {"meta.xml": described(), "rows.txt": os.urandom(200_000).hex().encode() * 60}
    ),
    "cut": lambda: zipped({"meta.xml": described(), "rows.txt": b"x"})[:-30],
}


def opened() -> list[str]:
    """What this process has open."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(one.readlink()))
    return found


@pytest.mark.parametrize("shape", ARCHIVES)
def test_a_hostile_archive_is_a_problem_in_bounded_memory(shape: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    (folder / "x.zip").write_bytes(ARCHIVES[shape]())
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    (document,) = darwincore.harvest(Source(id="s", protocol="darwincore", url=str(folder)), None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert document.problem
    assert document.content == b""
    assert SECRET not in document.problem
    assert peak < 64_000_000
    assert sorted(tmp_path.rglob("*")) == before
    assert not [name for name in opened() if name.startswith(str(tmp_path))]


@pytest.mark.parametrize("name", ["../../evil.txt", "/tmp/evil.txt", "C:\\evil.txt", "a/../../evil.txt"])
def test_members_with_names_that_lead_outside_are_written_nowhere(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.zip").write_bytes(zipped({"meta.xml": described(), "rows.txt": b"Aus bus\n", name: b"evil"}))
    before = sorted(tmp_path.rglob("*"))
    (document,) = darwincore.harvest(Source(id="s", protocol="darwincore", url=str(folder)), None)
    assert document.problem is None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("where", ["../secret.txt", "{outside}", "link.txt", "pipe"])
def test_a_folder_reads_only_the_regular_files_that_lie_in_it(where: str, tmp_path: Path) -> None:
    outside = tmp_path / "secret.txt"
    outside.write_text(SECRET + "\n")
    folder = tmp_path / "in" / "dwca"
    folder.mkdir(parents=True)
    (folder / "meta.xml").write_bytes(described(where.format(outside=outside)))
    (folder / "link.txt").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    (document,) = darwincore.harvest(Source(id="s", protocol="darwincore", url=str(folder.parent)), None)
    assert document.problem
    assert "no file" in document.problem


def test_metadata_outside_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "in" / "dwca").mkdir(parents=True)
    (tmp_path / "in" / "eml.xml").write_text(f"<eml><dataset><title>{SECRET}</title></dataset></eml>")
    (tmp_path / "in" / "dwca" / "meta.xml").write_bytes(described(eml="../eml.xml"))
    (tmp_path / "in" / "dwca" / "rows.txt").write_text("Aus bus\n")
    (document,) = darwincore.harvest(Source(id="s", protocol="darwincore", url=str(tmp_path / "in")), None)
    assert document.problem is None
    assert SECRET.encode() not in document.content


def test_a_member_that_grows_too_much_is_not_read_to_its_end() -> None:
    read: list[int] = []
    with open_zip(bomb()) as archive, pytest.raises(BadDocument, match="grows beyond"):
        read.extend(len(piece) for piece in archive.pieces("rows.txt"))
    assert sum(read) < 25_000_000


def test_a_member_that_is_not_there_is_told() -> None:
    with open_zip(zipped({"a": b"b"})) as archive, pytest.raises(BadDocument, match="no file"):
        list(archive.pieces("../a"))


def test_hidden_files_of_a_folder_are_not_named(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "a.txt").write_text("x")
    with open_folder(tmp_path) as archive:
        assert archive.names() == ("a.txt",)
