"""What a wheel holds: the program and its data, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_it_holds_the_packages_and_nothing_beside_them(names: set[str]) -> None:
    expected = {
        "main.py", "adsynflow",
        "foundations", "models", "pruning", "training", "lottery", "stability", "experiments", "cli",
    }  # fmt: skip
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == expected


def test_every_source_file_is_in_it(names: set[str]) -> None:
    packages = {name.partition("/")[0] for name in names if "/" in name and ".dist-info/" not in name}
    sources = {
        path.relative_to(CHECKOUT).as_posix() for package in packages for path in (CHECKOUT / package).rglob("*.py")
    }
    assert sources <= names


def test_type_checkers_read_every_package(names: set[str]) -> None:
    packages = {name.partition("/")[0] for name in names if "/" in name and ".dist-info/" not in name}
    assert {f"{package}/py.typed" for package in packages} <= names


def test_the_bundled_data_and_the_command_are_in_it(names: set[str]) -> None:
    assert {"training/data/digits.npz", "training/data/digits.md"} <= names
    assert any(name.endswith("entry_points.txt") for name in names)


def test_building_leaves_nothing_in_the_checkout(names: set[str]) -> None:
    assert not (CHECKOUT / "build").exists()
