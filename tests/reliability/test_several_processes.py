"""Two processes train one network, connected by gloo: forked here, or started by torchrun."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.session import Session
from foundations.errors import UsageError
from foundations.store import Store
from tests.reliability.conftest import TINY, computed
from tests.reliability.killing import KILLED, Ended, start
from tests.steps import Steps
from training.state import TrainState

HOME = Path(__file__).parents[2]
UNEVEN = "--batch_size=63"  # 31 and 32 images; in the last batch of an epoch 18 and 18
LOTTERY = ("lottery", *TINY, "--device=cpu", UNEVEN, "--pruning_strategy=snip,rigl", "--update_every=3it", "--k=1",
           "--density=0.2", "--levels=0-1")  # fmt: skip
DISMISSED, LOST = 0, 1
ABORTED = "terminate called without an active exception\n"
Look = Callable[[Steps], object]


def pair(argv: tuple[str, ...], log: Path, *, at: tuple[int, int] = (0, 0), look: Look = lambda steps: None,
         beside: Look = lambda steps: None) -> tuple[Ended, Ended]:  # fmt: skip
    """What becomes of a command line in two processes.

    Args:
        argv: the command line.
        log: a directory for what they say.
        at: the events at which they are killed.
        look: is called in the first process before.
        beside: in the second.
    """
    environments = environments_of_two()

    def prepare(number: int, then: Look, steps: Steps) -> None:
        os.environ.update(environments[number])
        then(steps)

    children = [
        start(argv, log / f"process_{number}.txt", at=at[number],
              prepare=lambda steps, number=number, then=then: prepare(number, then, steps))  # type: ignore[misc]
        for number, then in enumerate((look, beside))
    ]  # fmt: skip
    first, second = (child.wait() for child in children)
    return first, second


def environments_of_two() -> list[dict[str, str]]:
    """What torchrun says to each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [{**common, "RANK": str(number)} for number in range(2)]


def tensors(root: Path) -> dict[str, Tensor]:
    """The tensors of all networks and masks below a root, by file and name."""
    return {
        f"{path.relative_to(root)} {name}": tensor
        for pattern in ("model_*.safetensors", "mask.safetensors")
        for path in sorted(root.rglob(pattern))
        for name, tensor in Store(path.parent).read_tensors(path.name).items()
    }


def records(path: Path) -> Look:
    """Has a process write each training state that it takes a step with to a file, the last one last."""

    def look(steps: Steps) -> None:
        def record(state: TrainState) -> None:
            mask = {} if state.mask is None else {f"mask of {name}": mask for name, mask in state.mask.items()}
            torch.save({**state.model.state_dict(), **mask}, path)

        steps.before.append(record)

    return look


# What comes of it ----------------------------------------------------------------------------------------------------


def test_two_processes_compute_what_one_does(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command(*LOTTERY, f"--root={tmp_path / 'one'}").code == 0
    first, second = pair(
        (*LOTTERY, f"--root={tmp_path / 'two'}"), tmp_path,
        look=records(tmp_path / "first.pt"), beside=records(tmp_path / "second.pt"),
    )  # fmt: skip
    assert (first.code, second.code) == (0, DISMISSED), first.said + second.said
    assert second.said == ""
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() == two.keys()
    assert len({name.split()[0] for name in one if "level_1/mask" in name}) == 2
    assert list((tmp_path / "two").rglob("mask_updates.jsonl"))  # of rigl's, whose mask changes on the way
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    (trunk,) = (tmp_path / "two").glob("train_*/replicate_1")
    assert Store(trunk).read_json("environment.json")["processes"] == 2
    rows, (other,) = Store(trunk).read_rows("metrics.jsonl"), (tmp_path / "one").glob("train_*/replicate_1")
    for row, expected in zip(rows, Store(other).read_rows("metrics.jsonl"), strict=True):
        numbers = {name: value for name, value in expected.items() if name != "step"}
        assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-4)  # not those of a share
    # Before the last step of the subnetwork both have the same weights and the same mask, to the bit.
    ours, theirs = (torch.load(tmp_path / f"{name}.pt") for name in ("first", "second"))
    assert any(name.startswith("mask of ") for name in ours)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=0)


def test_torchrun_trains_with_batchnorm_of_each_share(command: Callable[..., Any], tmp_path: Path) -> None:
    flags = ["train", *TINY[:2], "--model=cifar_resnet_8_4", "--training_steps=2it", "--threads=1", "--device=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "main.py", *flags,
         f"--root={tmp_path / 'two'}"],
        cwd=HOME, env=environment, check=True, capture_output=True, timeout=200,
    )  # fmt: skip
    assert command(*flags, f"--root={tmp_path / 'one'}").code == 0
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() == two.keys()
    names = [name for name in one if name.endswith("running_mean") and "2it" in name]
    assert names
    assert not any(torch.equal(one[name], two[name]) for name in names)
    assert all(tensor.isfinite().all() for tensor in two.values())


SCRIPT = """
import sys
from adsynflow import Session

session = Session(root=sys.argv[1], device="cpu", threads=1, quiet=True)
print("the first process")
small = {"dataset": "digits", "subsample_fraction": 0.2, "model": "cifar_resnet_8_4"}
assert session.train(**small, training_steps="2it").run().done
tickets = session.lottery(**small, training_steps="2it", k="1it", pruning_strategy="snip").run()
print(len(tickets.rows()), "rows")
raise SystemExit(3)
"""


def test_a_session_in_a_script_has_the_other_processes_train_along(command: Callable[..., Any], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "two")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, "PYTHONPATH": str(HOME), **environment},
        )
        for environment in environments_of_two()
    ]  # fmt: skip
    said = [process.communicate(timeout=200)[0] for process in processes]
    # When all is done, PyTorch's threads sometimes abort a script of one's own that tears down its interpreter.
    assert [said[0].removesuffix(ABORTED), said[1]] == ["the first process\n1 rows\n", ""]
    assert processes[0].returncode == (-signal.SIGABRT if said[0].endswith(ABORTED) else 3)
    assert processes[1].returncode == DISMISSED
    flags = ("lottery", *TINY[:2], "--model=cifar_resnet_8_4", "--training_steps=2it", "--k=1it",
             "--pruning_strategy=snip", "--threads=1", "--device=cpu")  # fmt: skip
    assert command(*flags, f"--root={tmp_path / 'one'}").code == 0
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert one.keys() <= two.keys()
    names = [name for name in one if name.endswith("running_mean") and "2it" in name]
    assert names
    assert not any(torch.equal(one[name], two[name]) for name in names)  # BatchNorm has seen half of each batch


# Stopped -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [0, 1])
def test_killed_and_resumed_they_end_with_the_same_bits(who: int, tmp_path: Path) -> None:
    argv = ("train", *TINY, "--device=cpu")
    assert pair((*argv, f"--root={tmp_path / 'whole'}"), tmp_path)[0].code == 0
    parts, at = (*argv, f"--root={tmp_path / 'parts'}"), [0, 0]
    at[who] = 60 if who == 0 else 9  # the first also counts what it writes
    ends = pair(parts, tmp_path, at=(at[0], at[1]))
    assert ends[who].code == KILLED, ends[who].said
    assert ends[1 - who].code == LOST, ends[1 - who].said
    assert "Traceback" not in ends[0].said + ends[1].said
    if who == 1:
        assert "Another process of this training has ended. The same command goes on" in ends[0].said
    assert [end.code for end in pair(parts, tmp_path)] == [0, DISMISSED]
    whole, resumed = computed(tmp_path / "whole"), computed(tmp_path / "parts")
    assert {name for name in whole if whole[name] != resumed[name]} == set()


def test_ctrl_c_stops_both_after_a_step(tmp_path: Path) -> None:
    def signals(steps: Steps) -> None:
        def stop(state: TrainState) -> None:
            if state.iteration == 7:
                steps.before.clear()
                os.kill(os.getpid(), signal.SIGINT)

        steps.before.append(stop)

    argv = ("train", *TINY, "--device=cpu", f"--root={tmp_path / 'runs'}")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
    try:
        first, second = pair(argv, tmp_path, look=signals, beside=signals)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (first.code, second.code) == (130, DISMISSED), first.said + second.said
    assert "stopped at 1ep3it" in first.said
    (trunk,) = (tmp_path / "runs").glob("train_*/replicate_1")
    assert Store(trunk).read_state("checkpoint.safetensors")["iteration"] == 8


# Refused -------------------------------------------------------------------------------------------------------------


def test_what_the_first_process_refuses_ends_the_others(tmp_path: Path) -> None:
    few = ("train", *TINY, "--device=cpu", "--batch_size=57", f"--root={tmp_path / 'runs'}")  # 288 = 5 * 57 + 3
    first, second = pair(few, tmp_path)
    assert (first.code, second.code, second.said) == (2, DISMISSED, "")
    assert "an epoch's last batch has 3 of the 288 training images, too few for 2 processes" in first.said
    assert not (tmp_path / "runs").exists()


def test_processes_that_are_connected_already_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(UsageError, match=r"torch\.distributed is initialized already; leave that out"):
        Session(tmp_path)


@pytest.mark.parametrize(("flag", "line"), [
    ("--jobs=2", "torchrun runs one task at a time; leave out --jobs, --at_once and --engine"),
    ("--device=cuda:1", "--device=cuda:1: torchrun gives each process its own; valid with it: auto, cpu, cuda"),
])  # fmt: skip
def test_what_does_not_go_with_torchrun_is_refused(
    flag: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    name, _, value = flag.removeprefix("--").partition("=")
    with pytest.raises(UsageError, match=line):
        Session(tmp_path, **{name: int(value) if value.isdigit() else value})
