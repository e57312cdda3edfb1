"""When checkpoints are written and the test set is evaluated, and that neither changes a number."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from foundations import files
from foundations.context import Context
from foundations.steps import Step
from foundations.store import Store
from training.data import DeviceData
from training.hparams import TrainDesc, TrainingHparams
from training.segments import SECONDS, SHARE, Pace, advance_to, next_stop, train_branch
from training.state import TrainState
from training.trunk import Trunk

HPARAMS = TrainingHparams(training_steps=Step("3ep"), lr=0.1)
Start = Callable[..., TrainState]


class Clock:
    """A clock that somebody turns on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_checkpoint_is_due_after_some_seconds_of_work_and_not_before_it_has_paid_off() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert not pace.due()
    clock.now += SECONDS
    assert pace.due()
    with pace.writing():
        clock.now += 1.0  # what it costs
    assert not pace.due()
    clock.now += 1.0 / SHARE - 0.5
    assert not pace.due()
    clock.now += 0.5
    assert pace.due()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations of all checkpoints that are written."""
    iterations: list[int] = []
    write = Store.write_state

    def watched(store: Store, name: str, value: Any) -> None:
        if name == files.CHECKPOINT:
            iterations.append(value["iteration"])
        write(store, name, value)

    monkeypatch.setattr(Store, "write_state", watched)
    return iterations


@pytest.mark.parametrize(("between", "expected"), [(0.0, [15]), (SECONDS / 2, [2, 4, 6, 8, 10, 12, 14, 15])])
def test_checkpoints_lie_some_seconds_apart_in_mid_epoch_too(
    between: float, expected: list[int], written: list[int], context: Context, start: Start, small_data: DeviceData,
    steps: Any, tmp_path: Path,
) -> None:  # fmt: skip
    clock = Clock()

    def pass_time(state: TrainState) -> None:
        clock.now += between

    steps.before.append(pass_time)
    advance_to(15, Store(tmp_path), start(HPARAMS), small_data, HPARAMS, replace(context, clock=clock))
    assert written == expected
    assert [row["iteration"] for row in Store(tmp_path).read_rows(files.METRICS)] == [0, 5, 10, 15]


def test_whatever_is_checkpointed_and_evaluated_the_bits_are_the_same(
    context: Context, start: Start, small_data: DeviceData, tmp_path: Path
) -> None:
    """A branch, but for the rows of its metrics, which ``done.json`` lists with a checksum."""
    plain, other = tmp_path / "plain", tmp_path / "other"
    ticks = count(0, SECONDS)  # a checkpoint after each step
    train_branch(Store(plain), start(HPARAMS), small_data, HPARAMS, context)
    often = replace(context, evaluate_every=Step("2it"), clock=lambda: next(ticks))
    train_branch(Store(other), start(HPARAMS), small_data, HPARAMS, often)
    name = files.model(Step("3ep"))
    assert (plain / name).read_bytes() == (other / name).read_bytes()
    assert Store(plain).result() == Store(other).result()
    assert not Store(plain).holds(files.METRICS, Store(other).read_bytes(files.METRICS))
    listed = [Store(path).parts(files.DONE) for path in (plain, other)]
    assert {part for part in listed[0] if listed[0][part] != listed[1][part]} == {files.METRICS}
    common = {row["iteration"]: row for row in Store(plain).read_rows(files.METRICS)}
    denser = {row["iteration"]: row for row in Store(other).read_rows(files.METRICS)}
    assert list(denser) == [0, 2, 4, 6, 8, 10, 12, 14, 15]
    assert all(denser[iteration] == common[iteration] for iteration in (0, 10, 15))


def test_a_row_within_an_epoch_has_the_metrics_of_the_epochs_batches_so_far(
    context: Context, start: Start, small_data: DeviceData, tmp_path: Path
) -> None:
    state = start(HPARAMS)
    advance_to(4, Store(tmp_path), state, small_data, HPARAMS, replace(context, evaluate_every=Step("4it")))
    loss_sum, correct, size = state.running_metrics.tolist()
    assert size == 4 * 64
    row = Store(tmp_path).read_rows(files.METRICS)[-1]
    assert (row["step"], row["batch_loss"], row["batch_accuracy"]) == ("0ep4it", loss_sum / size, correct / size)


@pytest.mark.parametrize(
    ("every", "expected"), [("2ep", [0, 10, 15]), ("7it", [0, 7, 14, 15]), ("99ep", [0, 15])]
)
def test_rows_lie_as_far_apart_as_is_asked_for_and_the_end_has_one(
    every: str, expected: list[int], describe_training: Callable[..., TrainDesc], small_data: DeviceData,
    context: Context,
) -> None:  # fmt: skip
    trunk = Trunk(describe_training(), 1, small_data, replace(context, evaluate_every=Step(every)))
    trunk.reach(Step("1ep"))
    trunk.finish()
    assert [row["iteration"] for row in trunk.store.read_rows(files.METRICS)] == expected
    assert trunk.metrics() == trunk.store.read_rows(files.METRICS)


@pytest.mark.parametrize("killed", [6, 9, 13])
@pytest.mark.parametrize(("before", "now"), [("2it", "2it"), ("5it", "5it"), ("2it", "3ep"), ("3ep", "2it")])
def test_a_run_that_was_killed_ends_with_each_row_once(
    killed: int, before: str, now: str, describe_training: Callable[..., TrainDesc], small_data: DeviceData,
    context: Context, interrupt_at: Callable[..., None],
) -> None:  # fmt: skip
    """Killed after rows of which the last checkpoint knows nothing; it may go on with other evaluations."""

    def trunk(every: str, root: str = "runs") -> Trunk:
        own = replace(context, evaluate_every=Step(every), root=context.root / root)
        return Trunk(describe_training(), 1, small_data, own)

    def iterations(of: Trunk) -> list[int]:
        return [row["iteration"] for row in of.store.read_rows(files.METRICS)]

    interrupt_at(killed)
    with pytest.raises(KeyboardInterrupt):
        trunk(before).finish()
    trunk(now).finish()
    assert iterations(trunk(now)) == sorted(set(iterations(trunk(now))))
    assert iterations(trunk(now))[-1] == 15
    if before == now:
        trunk(now, "other").finish()
        assert trunk(now, "other").store.read_bytes(files.METRICS) == trunk(now).store.read_bytes(files.METRICS)


def test_the_next_stop_ends_an_epoch_or_has_an_evaluation_or_is_asked_for() -> None:
    assert [next_stop(iteration, 5, 3, (8, 15)) for iteration in (0, 3, 5, 6, 8, 9, 12)] == [3, 5, 6, 8, 9, 10, 15]
