"""Disks that are full, read-only or somebody else's, and odd places for a root: one clear line, then the right bits."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from foundations.store import Store
from tests.reliability.conftest import TINY, computed
from tests.reliability.killing import Ended, run
from tests.test_stored_runs import FORMAT_2, LOTTERY, STABILITY

Command = Callable[..., Any]
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
TRAIN = ("train", *TINY)
LEVELS = ("lottery", *TINY, "--pruning_strategy=synflow", "--k=7it")
EVENTS = (1, 3, 4, 6, 12, 17, 24, 41, 55, 77, 79)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an undisturbed training leaves."""
    root = tmp_path_factory.mktemp("undisturbed")
    assert main([*TRAIN, f"--root={root}"]) == 0
    return computed(root)


def one_clear_line(end: Ended, reason: int, root: Path) -> bool:
    """Whether a command ended with 2 and with one line that has the reason and a file or directory of the root."""
    lines = [line for line in end.said.splitlines() if os.strerror(reason) in line]
    return end.code == 2 and len(lines) == 1 and str(root) in lines[0] and "Traceback" not in end.said


# Full ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_at_any_write(reason: int, expected: dict[str, bytes], tmp_path: Path) -> None:
    for at in EVENTS:
        root = tmp_path / f"event_{at}"
        end = run([*TRAIN, f"--root={root}"], tmp_path / "log", at, seed=at, error=reason)
        assert one_clear_line(end, reason, tmp_path), (at, end)
        assert main([*TRAIN, f"--root={root}"]) == 0
        assert computed(root) == expected, at
        assert not list(root.rglob(".*.????????")), at


@pytest.mark.parametrize("size", [0, 20, 300, 1000, 5000])
def test_no_file_may_be_larger(size: int, expected: dict[str, bytes], tmp_path: Path) -> None:
    """As on a full disk, the write itself fails, after a part of it."""

    def limit(steps: object) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        sys.stderr = os.fdopen(writer, "w", buffering=1)  # what is said goes where there is no limit

    root = tmp_path / "runs"
    reader, writer = os.pipe()
    end = run([*TRAIN, f"--root={root}"], tmp_path / "log", prepare=limit)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert one_clear_line(Ended(end.code, 0, said), errno.EFBIG, root), said
    assert main([*TRAIN, f"--root={root}"]) == 0
    assert computed(root) == expected


@contextlib.contextmanager
def small_disk(place: Path, *options: str) -> Iterator[Path]:
    """A file system of its own."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(not IS_ROOT, reason="no right to mount")
@pytest.mark.parametrize("size", [20, 40, 80])
def test_a_disk_that_is_full(size: int, expected: dict[str, bytes], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", f"size={size}k") as disk:
        root = disk / "my runs"
        end = run([*TRAIN, f"--root={root}"], tmp_path / "log")
        assert one_clear_line(end, errno.ENOSPC, root), end
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        assert main([*TRAIN, f"--root={root}"]) == 0
        assert computed(root) == expected


# Not ours to write ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not IS_ROOT, reason="no right to mount")
def test_a_read_only_disk(expected: dict[str, bytes], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=50m") as disk:
        for to in (None, "1ep"):  # nothing there, and a run that was begun
            root = disk / f"runs_{to}"
            assert to is None or main([*TRAIN, f"--to={to}", f"--root={root}"]) == 0
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            end = run([*TRAIN, f"--root={root}"], tmp_path / "log")
            assert one_clear_line(end, errno.EROFS, root), end
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            assert main([*TRAIN, f"--root={root}"]) == 0
            assert computed(root) == expected
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert main([*TRAIN, f"--root={root}"]) == 0  # done before: nothing is written


@pytest.mark.skipif(not IS_ROOT, reason="no right to mount")
def test_a_read_only_root_of_an_older_version_shows_its_results(command: Command, tmp_path: Path) -> None:
    """What newer versions add to runs, and reports, are left out."""
    with small_disk(tmp_path / "disk", "size=50m") as disk:
        shutil.copytree(FORMAT_2, disk / "runs")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        run, analysis = disk / "runs" / LOTTERY, disk / "runs" / STABILITY
        accuracy = f"{Store(run / 'level_1').result()['test_accuracy']:.2%}"
        for kind, shown, more in (
            ("train", "Nothing was trained", ()),
            ("lottery", accuracy, ("--levels=0-1",)),
        ):
            outcome = command(kind, f"--config={run / 'desc.json'}", f"--root={disk / 'runs'}", *more)
            assert outcome.code == 0, outcome.err
            assert shown in outcome.out + outcome.err
        flags = (f"--config={analysis / 'desc.json'}", "--k=1", "--alphas=3", f"--root={disk / 'runs'}")
        outcome = command("stability", *flags, "--pruning_strategy=none,adsynflow")
        assert outcome.code == 0, outcome.err
        assert "none: the smallest k found stable is 1ep" in outcome.out
        assert outcome.err.splitlines()[-1].startswith("No tables and figures are written: [Errno 30] Read-only")


@pytest.mark.skipif(not IS_ROOT, reason="needs another user")
@pytest.mark.parametrize("part", ["", "train_*", "train_*/replicate_1"])
def test_a_directory_of_somebody_else(part: str, expected: dict[str, bytes], tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents[:-2]):
        place.chmod(0o755)
    root = tmp_path / "runs"
    if part:
        assert main([*TRAIN, "--to=1ep", f"--root={root}"]) == 0
        (here,) = root.glob(part)
        here.chmod(0o555)
    else:
        root.mkdir()
    end = run([*TRAIN, f"--root={root}"], tmp_path / "log", prepare=lambda steps: os.setuid(NOBODY))
    assert one_clear_line(end, errno.EACCES, root), end
    assert main([*TRAIN, f"--root={root}"]) == 0
    assert computed(root) == expected


# Odd places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "train_*", "train_*/replicate_1"])
def test_a_file_where_a_directory_should_be(
    part: str, expected: dict[str, bytes], command: Command, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    place = root / part.replace("*", next(iter(expected)).split("/")[0].removeprefix("train_"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("mine")
    outcome = command(*TRAIN, f"--root={root}")
    assert one_clear_line(Ended(outcome.code, 0, outcome.err), errno.ENOTDIR, root), outcome
    assert place.read_text() == "mine"


@pytest.mark.parametrize("name", ["with spaces", "Ünïcödé 模型", "--root=x", "a'b\"c$d;e", "r" * 255, "d/" * 400 + "e"])
def test_odd_names(
    name: str, expected: dict[str, bytes], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*TRAIN, f"--root={name}").code == 0
    assert computed(tmp_path / name) == expected


@pytest.mark.parametrize("name", ["r" * 256, "d/" * 2100])
def test_a_path_that_is_too_long_is_refused(name: str, command: Command, tmp_path: Path) -> None:
    outcome = command(*TRAIN, f"--root={tmp_path / name}")
    assert one_clear_line(Ended(outcome.code, 0, outcome.err), errno.ENAMETOOLONG, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_root_behind_a_link(expected: dict[str, bytes], command: Command, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    outcome = command(*TRAIN, f"--root={tmp_path / 'link'}")  # it leads nowhere
    assert one_clear_line(Ended(outcome.code, 0, outcome.err), errno.ENOTDIR, tmp_path), outcome
    (tmp_path / "elsewhere").mkdir()
    assert command(*TRAIN, f"--root={tmp_path / 'link'}").code == 0
    assert computed(tmp_path / "elsewhere") == expected


def test_a_clock_that_went_back(
    expected: dict[str, bytes], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    assert command(*TRAIN, "--to=2ep", f"--root={root}").code == 0
    tomorrow = time.time() + 86_400
    for path in root.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert command(*TRAIN, f"--root={root}").code == 0
    assert computed(root) == expected
