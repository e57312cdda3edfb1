"""Signals stop a run after the step it is in, and the same command goes on to the bits of an undisturbed one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from foundations.context import Context
from foundations.interruption import STOPPING, Interrupted, Interruption, installed
from foundations.store import Store
from tests.reliability.conftest import TINY, computed
from tests.steps import Steps
from training.saved_steps import SavedSteps
from training.state import TrainState

HOME = Path(__file__).parents[2]
CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
START = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); import cli"
"""The beginning of a process whose parent may ignore SIGINT, as a shell in the background does."""


@pytest.fixture(autouse=True)
def default_signals() -> Iterator[None]:
    """As in a terminal, whatever started the tests."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number in STOPPING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def kill_self(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


# The handler ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_interrupts_at_once_what_does_not_defer_it(number: signal.Signals) -> None:
    with Interruption().install() as interruption:
        interruption.ready()
        assert installed() is interruption
        assert Context(root=Path(), data_dir=Path()).interruption is interruption
        with pytest.raises(Interrupted):
            kill_self(number)
        assert (interruption.asked(), interruption.exit_code) == (True, CODES[number])
    assert not installed().asked()


def test_a_signal_waits_for_the_end_of_what_defers_it() -> None:
    done = []
    with Interruption().install() as interruption:
        interruption.ready()

        def work() -> None:
            with interruption.deferred():
                with interruption.deferred():
                    kill_self()
                    kill_self()  # a scheduler may send it to the process and to its group
                    done.append("inner")
                done.append("outer")

        with pytest.raises(Interrupted):
            work()
    assert done == ["inner", "outer"]


def test_a_child_leaves_ctrl_c_to_its_parent() -> None:
    with Interruption(has_parent=True).install() as interruption:
        kill_self(signal.SIGINT)
        assert not interruption.asked()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with Interruption().install() as interruption:
        kill_self(signal.SIGHUP)
        assert not interruption.asked()


# Runs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize(("argv", "parts"), [
    (("train",), "train_*/replicate_1"),
    (("lottery", "--pruning_strategy=synflow", "--k=1"), "lottery_*/replicate_1/level_1"),
    (("stability", "--pruning_strategy=none", "--k=7it", "--alphas=2", "--report=false"),
     "stability_*/replicate_1/k_*/child_1"),
])  # fmt: skip
def test_a_training_stops_in_mid_epoch_and_goes_on_from_there(
    argv: tuple[str, ...], parts: str, number: signal.Signals, command: Callable[..., Any], steps: Steps,
    tmp_path: Path,
) -> None:  # fmt: skip
    root = tmp_path / "runs"

    def stop(state: object) -> None:
        if state.iteration == 12 and list(root.glob(parts)):  # type: ignore[attr-defined]
            steps.before.clear()
            kill_self(number)

    steps.before.append(stop)
    outcome = command(*argv, *TINY, f"--root={root}")
    assert outcome.code == CODES[number]
    assert "stopped at 2ep3it" in outcome.err
    assert outcome.err.endswith("The same command goes on from the last checkpoint.\n")
    assert "Traceback" not in outcome.err
    (here,) = root.glob(parts)
    assert Store(here).read_state("checkpoint.safetensors")["iteration"] == 13
    taken = len(steps.taken)
    assert command(*argv, *TINY, f"--root={root}").code == 0
    resumed = len(steps.taken)
    assert command(*argv, *TINY, f"--root={tmp_path / 'other'}").code == 0
    assert len(steps.taken) - resumed == resumed  # in two parts as many steps as in one: none is lost
    assert taken < resumed
    assert computed(root) == computed(tmp_path / "other")


def test_a_signal_while_a_state_is_saved_waits_for_the_next_checkpoint(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It comes after the moment at which a checkpoint is decided on."""
    save = SavedSteps.save

    def stop(saved: SavedSteps, state: TrainState) -> None:
        save(saved, state)
        if state.iteration == 5:
            kill_self()

    root = tmp_path / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(SavedSteps, "save", stop)
        assert command("train", *TINY, f"--root={root}").code == 143
    (here,) = root.glob("train_*/replicate_1")
    assert Store(here).read_state("checkpoint.safetensors")["iteration"] == 6
    assert command("train", *TINY, f"--root={root}").code == 0
    assert command("train", *TINY, f"--root={tmp_path / 'other'}").code == 0
    assert computed(root) == computed(tmp_path / "other")


def test_a_library_that_makes_an_error_of_an_interruption_is_no_defect(
    command: Callable[..., Any], steps: Steps, tmp_path: Path
) -> None:
    def swallow(state: object) -> None:
        kill_self()
        raise AttributeError("module 'numpy' has no attribute 'matrix'")

    steps.before.append(swallow)
    outcome = command("train", *TINY, f"--root={tmp_path}")
    assert outcome.code == 143
    assert "Traceback" not in outcome.err


# Processes -----------------------------------------------------------------------------------------------------------


def start(code: str, *argv: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", f"{START}; {code}", *argv], cwd=HOME, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_while_python_imports_it_ends_at_once() -> None:
    process = start(
        "cli.importlib.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT); sys.exit(cli.main(['train']))"
    )
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.split() == ["Interrupted.", "The", "same", "command", "goes", "on", "from", "the", "last", "checkpoint."]


HANGING = """
import time
from training import loop
def hang(*arguments):
    print("here", flush=True)
    while True:
        time.sleep(0.05)
loop.step = hang
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_second_sigint_ends_it_at_once(tmp_path: Path) -> None:
    process = start(f"exec({HANGING!r})", "train", *TINY, f"--root={tmp_path}")
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # it waits for the end of the step
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.endswith("Stopped at once.\n")


def test_workers_write_checkpoints_before_their_parent_goes(tmp_path: Path) -> None:
    argv = (
        "train", "--dataset=digits", "--model=mnist_lenet_16", "--batch_size=4", "--training_steps=6ep", "--threads=1",
        "--replicate=1-2",
    )  # fmt: skip
    root, per_epoch = tmp_path / "runs", 360
    process = start("sys.exit(cli.main(sys.argv[1:]))", *argv, "--jobs=2", f"--root={root}")

    def both_train() -> bool:
        files = list(root.glob("train_*/replicate_*/metrics.jsonl"))
        return len(files) == 2 and all(len(path.read_text().splitlines()) > 1 for path in files)

    wait_for(both_train, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Interrupted by SIGTERM. The same command goes on from the last checkpoint." in err
    assert "Traceback" not in err
    reached = [
        Store(path).read_state("checkpoint.safetensors")["iteration"] for path in root.glob("train_*/replicate_*")
    ]  # fmt: skip
    assert any(iteration % per_epoch for iteration in reached)  # in mid-epoch
    assert main([*argv, f"--root={root}"]) == 0
    assert main([*argv, f"--root={tmp_path / 'other'}"]) == 0
    assert computed(root) == computed(tmp_path / "other")
