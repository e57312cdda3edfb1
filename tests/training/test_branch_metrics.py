"""The metrics of a branch are of its own batches, though its state comes from the trunk in the middle of an epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.context import Context
from foundations.store import Store
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.segments import train_branch
from training.state import TrainState

HPARAMS = TrainingHparams(lr=0.05, training_steps="3ep")
Branched = Callable[..., tuple[list[dict[str, Any]], TrainState]]


@pytest.fixture
def branched(start: Callable[..., TrainState], small_data: DeviceData, tmp_path: Path) -> Branched:
    """``branched(k)``: metrics and final state of a branch that leaves the trunk at step k of 15; 5 are an epoch."""

    context = Context(root=tmp_path, data_dir=tmp_path)

    def branched(k: int) -> tuple[list[dict[str, Any]], TrainState]:
        state, store = start(HPARAMS), Store(tmp_path / f"from {k}")
        train(state, small_data, HPARAMS, until=k)
        train_branch(store, state, small_data, HPARAMS, context)
        return store.read_rows("metrics.jsonl"), state

    return branched


@pytest.mark.parametrize("k", [5, 7])
def test_no_batch_of_the_trunk_is_in_the_metrics(k: int, branched: Branched) -> None:
    rows, _ = branched(k)
    assert rows[0]["iteration"] == k
    assert "batch_loss" not in rows[0]
    assert "batch_accuracy" not in rows[0]
    assert "test_accuracy" in rows[0]


def test_the_first_epochs_row_has_the_batches_from_the_branching_on(
    branched: Branched, start: Callable[..., TrainState], small_data: DeviceData
) -> None:
    state = start(HPARAMS)
    train(state, small_data, HPARAMS, until=7)
    before = state.running_metrics.clone()
    train(state, small_data, HPARAMS, until=10)
    loss_sum, correct, size = (state.running_metrics - before).tolist()
    row = branched(7)[0][1]
    assert row["iteration"] == 10
    assert row["batch_loss"] == pytest.approx(loss_sum / size)
    assert row["batch_accuracy"] == pytest.approx(correct / size)


def test_all_whole_epochs_are_those_of_the_trunk(branched: Branched) -> None:
    trunk, early, late = (branched(k)[0] for k in (0, 5, 7))
    assert early[1:] == trunk[2:]
    assert late[2:] == trunk[3:]
