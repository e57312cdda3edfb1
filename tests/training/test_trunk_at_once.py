"""A trunk that several processes ask for at once."""

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from tests.steps import watched_steps
from training.data import DataHparams, DeviceData, load
from training.hparams import TrainDesc
from training.trunk import Trunk

Describe = Callable[..., TrainDesc]
END = 15  # three epochs of five steps


def count_in_a_process(desc: TrainDesc, root: Path, log: Path) -> None:
    torch.set_num_threads(1)
    data_hparams: DataHparams = desc.data
    data = DeviceData(load(data_hparams, root, Reporter()), data_hparams, torch.device("cpu"))
    with watched_steps() as steps:
        Trunk(desc, 1, data, Context(root=root, data_dir=root)).finish()
    with log.open("a") as file:
        file.writelines(f"{iteration}\n" for iteration in steps.taken)


def test_two_processes_at_once_train_no_step_twice(describe_training: Describe, tmp_path: Path) -> None:
    spawn, log = multiprocessing.get_context("spawn"), tmp_path / "steps"
    arguments = (describe_training(), tmp_path, log)
    processes = [spawn.Process(target=count_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(int(line) for line in log.read_text().split()) == list(range(END))


def test_a_step_that_is_saved_meanwhile_is_not_waited_for_any_longer(
    trunk: Callable[..., Trunk], steps_taken: list[int], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the trunk, saves the step that is needed, and trains on and on."""
    saved, needed, over = trunk(), Step("1ep"), threading.Event()
    saved.reach(needed)
    path, aside = saved.store / saved.saved.files(saved.iteration(needed))[0], saved.store / "aside"
    path.rename(aside)
    steps_taken.clear()
    held = threading.Event()

    def other_process() -> None:
        with Store(saved.store.path).lock(Reporter()):
            held.set()
            over.wait(60)

    thread = threading.Thread(target=other_process)
    thread.start()
    try:
        assert held.wait(60)
        waiting, say = trunk(), listener.say

        def save_meanwhile(text: str) -> None:
            say(text)
            if text.startswith("Waiting"):
                aside.rename(path)

        monkeypatch.setattr(listener, "say", save_meanwhile)
        assert not waiting.has(needed)
        waiting.reach(needed)
        assert waiting.has(needed)
        assert thread.is_alive(), "the other process is still at work"
    finally:
        over.set()
        thread.join()
    assert steps_taken == []
    assert [text.split(" ")[0] for text in listener.said[-2:]] == ["Waiting", "Trunk"]
