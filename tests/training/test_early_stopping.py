"""Early stopping: rows by hand, and what trainings write of their validation set."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from foundations.context import Context
from training.data import DeviceData, load
from training.loop import evaluate
from training.metrics import early_stopping
from training.trunk import Trunk


def row(iteration: int, loss: float | None, accuracy: float) -> dict[str, Any]:
    return {"iteration": iteration, "validation_loss": loss, "test_accuracy": accuracy}


def test_it_is_where_the_validation_loss_is_smallest_the_first_time() -> None:
    rows = [row(0, 2.3, 0.1), row(5, 0.4, 0.7), row(10, 0.3, 0.8), row(15, 0.3, 0.9), row(20, 0.5, 0.95)]
    assert early_stopping(rows) == {"early_stopping_iteration": 10, "early_stopping_test_accuracy": 0.8}


@pytest.mark.parametrize("lost", [None, float("nan")])
def test_a_loss_that_is_not_finite_is_no_smallest_but_zero_is(lost: float | None) -> None:
    assert early_stopping([row(0, 1.0, 0.1), row(5, lost, 0.2)])["early_stopping_iteration"] == 0
    assert early_stopping([row(0, 1.0, 0.1), row(5, 0.0, 0.2)])["early_stopping_iteration"] == 5
    assert early_stopping([row(0, lost, 0.1)]) == {}


def test_a_trunk_writes_what_it_measures(
    describe_training: Callable[..., Any], context: Context, listener: Any
) -> None:
    desc = describe_training()
    desc = replace(desc, data=replace(desc.data, validation_fraction=0.2))
    data = DeviceData(load(desc.data, context.data_dir, listener), desc.data, context.device)
    trunk = Trunk(desc, 1, data, context)
    result = trunk.finish()
    rows = trunk.metrics()
    measured = evaluate(
        trunk.state_at(desc.training.training_steps).model, data.evaluation_batches("validation")
    )  # fmt: skip
    assert {name: result[f"validation_{name}"] for name in measured} == measured
    assert {name: rows[-1][f"validation_{name}"] for name in measured} == measured
    assert [row["iteration"] for row in rows] == [0, *(epoch * trunk.per_epoch for epoch in (1, 2, 3))]
    smallest = min(rows, key=lambda row: row["validation_loss"])
    assert result["early_stopping_iteration"] == smallest["iteration"]
    assert result["early_stopping_test_accuracy"] == smallest["test_accuracy"]


def test_without_a_validation_set_nothing_is_said_of_it(trunk: Callable[..., Trunk]) -> None:
    one = trunk()
    names = {*one.finish(), *(name for row in one.metrics() for name in row)}
    assert not {name for name in names if "validation" in name or "early" in name}
