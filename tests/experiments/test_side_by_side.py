"""Several tasks at once in one process compute what they compute one after the other, bit for bit."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiments.run.side_by_side import InTurns, Turns
from experiments.session import Session
from foundations import files
from foundations.errors import UsageError
from foundations.interruption import Interrupted, Interruption
from foundations.store import Store
from tests.conftest import Listener
from tests.experiments.conftest import TINY
from tests.steps import Steps
from training.state import TrainState
from training.trunk import Trunk

# Children train from step 23 to 46.
CHILDREN = {**TINY, "k": "1ep", "children": 3, "alphas": 2, "pruning_strategy": "none", "report": False}


def contents(root: Path) -> dict[str, bytes]:
    """The results below a root."""
    names = ("model_*", "metrics.jsonl", "interpolation.csv", "instability.json", "done.json", "mask.safetensors")
    return {str(path.relative_to(root)): path.read_bytes() for name in names for path in root.rglob(name)}


def test_three_children_in_turns_have_the_bits_of_each_alone(tmp_path: Path, steps: Steps) -> None:
    Session(tmp_path / "alone", threads=1, quiet=True).stability(**CHILDREN).run()
    order: list[tuple[int, ...]] = []
    steps.before.append(lambda state: order.append(state.noise.child))
    Session(tmp_path / "in_turns", threads=1, quiet=True, at_once=3).stability(**CHILDREN).run()
    changes = [child for child, before in zip(order[1:], order, strict=False) if child != before]
    assert len(changes) > 3, "they took turns"
    assert contents(tmp_path / "in_turns") == contents(tmp_path / "alone")


def test_each_task_keeps_its_own_settings(tmp_path: Path, steps: Steps) -> None:
    """Replicates that began with other numbers of threads, and trainings of other precisions."""
    before = torch.get_rng_state()
    for threads in (1, 2):
        Session(tmp_path, threads=threads, quiet=True).train(**TINY, replicate=threads, to="0ep").run()
    seen: dict[int, set[tuple[int, bool, bool]]] = {}  # by training

    def look(state: TrainState) -> None:
        now = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        seen.setdefault(id(state), set()).add(now)

    steps.before.append(look)
    session = Session(tmp_path, threads=1, quiet=True, at_once=4)
    session.train(**TINY, replicate=[1, 2], precision=["fp32", "tf32"]).run()
    assert sorted(setting for settings in seen.values() for setting in settings) == [
        (1, False, False), (1, True, True), (1, True, True), (2, False, False),
    ]  # fmt: skip
    assert torch.backends.cudnn.allow_tf32, "PyTorch's default is back"
    assert torch.equal(torch.get_rng_state(), before)


def test_what_waits_for_a_lock_lets_the_others_go_on(tmp_path: Path, steps_taken: list[int]) -> None:
    """Two threads that need the same trunk: one trains it, the other waits for that and reads it."""
    turns, listener = Turns(Interruption()), Listener()
    session = Session(tmp_path, threads=1, reporter=listener)
    [training] = session.train(**TINY)
    there = session.with_context(reporter=InTurns(turns, listener))

    def train() -> None:
        with turns.turn():
            Trunk(training.desc, 1, session.data(training.desc.data), there.context).finish()  # type: ignore[attr-defined]

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert steps_taken == list(range(len(steps_taken)))
    assert steps_taken
    assert any(text.startswith("Waiting for another process") for text in listener.said)


def test_a_signal_stops_all_of_them_after_their_step_and_they_go_on_from_there(tmp_path: Path, steps: Steps) -> None:
    interruption = Interruption()

    def ask(state: TrainState) -> None:
        if state.noise.child == (2,) and state.iteration == 30:
            interruption.signal = signal.SIGTERM

    session = Session(tmp_path / "in_turns", threads=1, quiet=True, at_once=3)
    session.context = session.with_context(interruption=interruption).context
    steps.before.append(ask)
    with pytest.raises(Interrupted):
        session.stability(**CHILDREN).run()
    children = [Store(path) for path in (tmp_path / "in_turns").glob("stability_*/replicate_1/*/child_*")]
    reached = [child.read_state(files.CHECKPOINT)["iteration"] for child in children if child.has(files.CHECKPOINT)]
    assert 31 in reached
    assert not any(child.done for child in children)
    steps.before.clear()
    Session(tmp_path / "in_turns", threads=1, quiet=True, at_once=3).stability(**CHILDREN).run()
    Session(tmp_path / "alone", threads=1, quiet=True).stability(**CHILDREN).run()
    assert contents(tmp_path / "in_turns") == contents(tmp_path / "alone")


def test_an_exception_in_one_ends_the_others(tmp_path: Path, interrupt_at: Callable[..., None], steps: Steps) -> None:
    interrupt_at(15)
    session = Session(tmp_path, threads=1, quiet=True, at_once=2)
    with pytest.raises(KeyboardInterrupt):
        session.train(**{**TINY, "training_steps": "9ep"}, replicate=[1, 2]).run()
    assert len(steps.taken) < 60


def test_not_together_with_processes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--at_once=2: not together with --jobs=3"):
        Session(tmp_path, at_once=2, jobs=3)


def test_turns_go_round() -> None:
    turns, order = Turns(Interruption()), []

    def work(name: str) -> None:
        with turns.turn():
            for _ in range(3):
                order.append(name)
                turns.pass_on()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    with turns.turn():
        for thread in threads:
            thread.start()
        while len(turns._queue) < 4:
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order == 3 * order[:3]


def test_each_is_credited_with_what_the_processors_have_done_in_its_own_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of one second each and two of ten: 2 and 20 seconds, though the process has taken 22."""
    clock, taken = [0.0], {}
    monkeypatch.setattr("time.process_time", lambda: clock[0])
    turns = Turns(Interruption())

    def work(name: str, seconds: float) -> None:
        with turns.turn():
            for _ in range(2):
                clock[0] += seconds
                turns.pass_on()
            taken[name] = turns.processor_seconds()

    threads = [threading.Thread(target=work, args=job) for job in (("a", 1.0), ("b", 10.0))]
    with turns.turn():
        for thread in threads:
            thread.start()
        while len(turns._queue) < 3:
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert (clock, taken) == ([22.0], {"a": 2.0, "b": 20.0})
