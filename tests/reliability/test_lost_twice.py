"""What is kept twice and lost twice, and errors that are none of the file's."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.store import Store
from tests.reliability.conftest import TINY, computed

Command = Callable[..., Any]


@pytest.fixture
def begun(command: Command, tmp_path: Path) -> Path:
    """The directory of a training that was stopped after two of three epochs."""
    assert command("train", *TINY, "--to=2", f"--root={tmp_path / 'runs'}").code == 0
    (run,) = (tmp_path / "runs").glob("train_*/replicate_1")
    return run


def undisturbed(command: Command, tmp_path: Path) -> dict[str, bytes]:
    assert command("train", *TINY, f"--root={tmp_path / 'other'}").code == 0
    return computed(tmp_path / "other")


def rename(directory: Path) -> None:
    directory.rename(directory.with_name(f"{directory.name}.aside_1"))


def test_epochs_whose_metrics_are_lost_twice_are_trained_again(begun: Path, command: Command, tmp_path: Path) -> None:
    (begun / "metrics.jsonl").write_bytes(b"")
    (begun / "checkpoint.safetensors").unlink()
    outcome = command("train", *TINY, f"--root={tmp_path / 'runs'}")
    assert outcome.code == 0
    assert f"{begun / 'metrics.jsonl'} lacks epochs before 2ep, which are in no checkpoint" in outcome.err
    assert computed(tmp_path / "runs") == undisturbed(command, tmp_path)


def test_a_checkpoint_of_an_older_program_without_metrics_is_not_gone_on_with(
    begun: Path, command: Command, tmp_path: Path
) -> None:
    (begun / "metrics.jsonl").write_bytes(b"")
    state = Store(begun).read_state("checkpoint.safetensors")
    rest = {name: value for name, value in state.items() if name != "metrics"}
    Store(begun).write_state("checkpoint.safetensors", rest)
    argv = ("train", *TINY, f"--root={tmp_path / 'runs'}")
    outcome = command(*argv)
    assert outcome.code == 2
    assert f"{begun / 'metrics.jsonl'} lacks epochs that were trained" in outcome.err
    assert f"ename the directory {begun}" in outcome.err
    rename(begun)
    assert command(*argv).code == 0
    assert computed(tmp_path / "runs") == undisturbed(command, tmp_path)


def test_a_lost_line_of_metrics_is_restored_from_the_checkpoint(begun: Path, command: Command, tmp_path: Path) -> None:
    lines = (begun / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (begun / "metrics.jsonl").write_bytes(lines[0] + lines[2])
    outcome = command("train", *TINY, f"--root={tmp_path / 'runs'}")
    assert "restored from the checkpoint" in outcome.err
    assert computed(tmp_path / "runs") == undisturbed(command, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b'{"threads": '])
def test_a_run_whose_environment_is_lost_keeps_its_threads_and_its_data(
    content: bytes | None, begun: Path, command: Command, tmp_path: Path
) -> None:
    before = (begun / "environment.json").read_bytes()
    (begun / "environment.json").unlink() if content is None else (begun / "environment.json").write_bytes(content)
    outcome = command("train", *TINY[:-1], "--threads=2", f"--root={tmp_path / 'runs'}")
    assert outcome.code == 0
    assert outcome.err.count(f"{begun / 'environment.json'} is lost or damaged; its copy takes its place") == 1
    assert "Going on with 1 thread" in outcome.err
    assert (begun / "environment.json").read_bytes() == before
    assert json.loads(before)["threads"] == 1
    assert computed(tmp_path / "runs") == undisturbed(command, tmp_path)


@pytest.mark.parametrize("content", [None, b""])
def test_a_run_whose_environment_is_lost_twice_is_refused(
    content: bytes | None, begun: Path, command: Command, tmp_path: Path
) -> None:
    for path in begun.glob("environment.*"):
        path.unlink() if content is None else path.write_bytes(content)
    argv = ("train", *TINY, f"--root={tmp_path / 'runs'}")
    outcome = command(*argv)
    assert outcome.code == 2
    assert "with how many threads the run was begun" in outcome.err
    assert f"ename the directory {begun}" in outcome.err
    assert "elete" not in outcome.err
    rename(begun)
    assert command(*argv).code == 0
    assert computed(tmp_path / "runs") == undisturbed(command, tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize(
    "name", ["environment.json", "metrics.jsonl", "checkpoint.safetensors", "optimizer_2ep0it.safetensors"]
)
def test_a_disk_that_does_not_answer_is_no_damage(
    name: str, number: int, begun: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, read_bytes = computed(tmp_path), Path.read_bytes

    def failing(path: Path) -> bytes:
        if path == begun / name:
            raise OSError(number, os.strerror(number))  # as read(2) does it, without a name
        return read_bytes(path)

    if name.startswith("optimizer"):
        (begun / "checkpoint.safetensors").unlink()
        before.pop(str((begun / "checkpoint.safetensors").relative_to(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        outcome = command("train", *TINY, f"--root={tmp_path / 'runs'}")
    assert outcome.code == 2
    assert os.strerror(number) in outcome.err
    assert str(begun / name) in outcome.err
    assert "damaged" not in outcome.err
    assert "elete" not in outcome.err
    assert computed(tmp_path) == before


def test_a_full_disk_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    for write in (Store.write_state, Store.write_json):
        with pytest.raises(OSError, match=r"No space left on device.*checkpoint") as caught:
            write(Store(tmp_path), "checkpoint.safetensors", {"a": 1})
        assert caught.value.filename == str(tmp_path / "checkpoint.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_restored_below_a_directory_that_was_put_aside(command: Command, tmp_path: Path) -> None:
    root = tmp_path / "x.aside_1" / "runs"
    assert command("train", *TINY, f"--root={root}").code == 0
    before = computed_in(root)
    (run,) = root.glob("train_*/replicate_1")
    (run / "metrics.jsonl").unlink()
    assert command("verify", f"--root={root}").code == 1
    assert command("train", *TINY, f"--root={root}").code == 0
    assert computed_in(root) == before
    assert command("verify", f"--root={root}").code == 0
    assert command("clean", "--yes", f"--root={root}").code == 0
    assert not (run / "checkpoint.safetensors").exists()


def computed_in(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*.*") if path.name.endswith(("tensors", "jsonl"))}


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_killed_process_left_is_swept_by_the_next_command(
    finished: bool, command: Command, tmp_path: Path
) -> None:
    argv = ("lottery", *TINY, "--pruning_strategy=synflow", "--k=1", f"--root={tmp_path}")
    assert command(*argv).code == 0
    (level,) = tmp_path.glob("lottery_*/replicate_1/level_1")
    if not finished:
        (level / "done.json").unlink()
    plan = tmp_path / "plans" / "host_1_1"
    plan.mkdir(parents=True)
    left = [level / ".lock.held_by", level.parent / ".lock.held_by", level / ".status.json.abcd1234", plan / ".lock",
            plan / "plan.json", plan / ".plan.json.abcd1234"]  # fmt: skip
    for path in left:
        path.touch()
    assert command(*argv).code == 0
    assert [path for path in left if path.exists()] == []
    assert not (tmp_path / "plans").exists()
