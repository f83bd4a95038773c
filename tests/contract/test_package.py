"""What is installed is what is in the checkout: code, templates, tables, sources and the sample."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("catalog", "harvesters")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__")


def files(folder):
    return {
        path.relative_to(folder).as_posix()
        for package in PACKAGES
        for path in (folder / package).rglob("*")
        if path.is_file()
    }


def test_the_wheel_carries_every_file_of_the_packages(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    wanted = files(tmp_path)
    build = "import sys, setuptools.build_meta as build; build.build_wheel(sys.argv[1])"
    made = subprocess.run(
        [sys.executable, "-c", build, "wheels"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(next((tmp_path / "wheels").glob("bienmo-*.whl"))) as wheel:
        carried = set(wheel.namelist())
    assert wanted - carried == set()
