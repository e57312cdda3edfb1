"""Command lines run for real, in directories of their own."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cli import main

SMALL = ("--dataset=digits", "--model=mnist_lenet_16", "--training_steps=3ep", "--threads=1")


@dataclass
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A root and a data directory of a test's own."""

    root: Path
    data: Path

    @property
    def flags(self) -> list[str]:
        return [f"--root={self.root}", f"--data_dir={self.data}"]

    @property
    def untouched(self) -> bool:
        return not self.root.exists() and not self.data.exists()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Time and bytes of every file below the root."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def one(self, pattern: str) -> Path:
        """The one path below the root that fits ``pattern``."""
        (path,) = self.root.glob(pattern)
        return path


@pytest.fixture(autouse=True)
def restored_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "runs", tmp_path / "data")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``command("train", "--lr=0.1")`` runs the command line in this process."""

    def run(*argv: str) -> Outcome:
        capsys.readouterr()
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lottery run that is done: levels 0 and 1, k = 1 epoch of 3. Not to be changed."""
    root = tmp_path_factory.mktemp("finished") / "runs"
    assert main(["lottery", *SMALL, "--k=1", "--levels=0-1", f"--root={root}"]) == 0
    return root


@pytest.fixture
def finished(finished_root: Path, place: Place) -> Place:
    """A copy of that run, with its files' times."""
    shutil.copytree(finished_root, place.root)
    return place


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Flags of a training of a second."""
    return SMALL
