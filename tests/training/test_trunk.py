"""The trunk: every dense step is trained once, whoever asks for it."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from foundations import environment
from foundations.context import Context
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from tests.steps import Steps
from training import loop
from training.data import DataHparams, DeviceData, load
from training.hparams import TrainDesc
from training.trunk import Trunk

Describe = Callable[..., TrainDesc]
END = 15  # three epochs of five steps


def weights(trunk: Trunk, step: str) -> dict[str, Tensor]:
    return trunk.state_at(Step(step)).model.state_dict()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_asking_twice_trains_once(trunk: Callable[..., Trunk], steps_taken: list[int]) -> None:
    first = weights(trunk(), "1ep")
    assert steps_taken == [0, 1, 2, 3, 4]
    assert equal(first, weights(trunk(), "1ep"))
    assert len(steps_taken) == 5


def test_a_later_step_goes_on_from_the_furthest(
    trunk: Callable[..., Trunk], steps_taken: list[int], listener: Any
) -> None:
    weights(trunk(), "1ep2it")
    weights(trunk(), "2ep")
    trunk().finish()
    trunk().finish()
    assert steps_taken == list(range(END))
    assert "going on from 1ep2it to 2ep; no earlier step is trained again" in " ".join(listener.said)


def test_the_way_in_which_a_trunk_is_asked_for_changes_no_bit(
    trunk: Callable[..., Trunk], context: Context, tmp_path: Path
) -> None:
    for step in ("2it", "1ep", "2ep1it"):
        weights(trunk(), step)
    in_pieces = trunk().finish()
    at_once = trunk()
    at_once.store = Store(tmp_path / "other")
    assert at_once.finish() == in_pieces
    assert equal(weights(at_once, "3ep"), weights(trunk(), "3ep"))
    assert at_once.store.read_rows("metrics.jsonl") == trunk().store.read_rows("metrics.jsonl")


def test_a_step_between_two_saves_is_recomputed_from_the_one_before_and_that_is_said(
    trunk: Callable[..., Trunk], steps_taken: list[int], listener: Any, tmp_path: Path
) -> None:
    trunk().finish()
    steps_taken.clear()
    recomputed = weights(trunk(), "1ep3it")
    assert steps_taken == [5, 6, 7]
    assert "1ep3it was not saved; recomputing it from 1ep" in listener.said[-1]
    weights(trunk(), "1ep3it")
    assert len(steps_taken) == 3  # it is saved now
    direct = trunk()
    direct.store = Store(tmp_path / "other")
    assert equal(recomputed, weights(direct, "1ep3it"))


def test_a_state_read_from_the_trunk_can_be_trained_on_to_the_trunks_end(
    trunk: Callable[..., Trunk], small_data: DeviceData
) -> None:
    trunk().finish()
    state = trunk().state_at(Step("1ep3it"))
    loop.train(state, small_data, trunk().desc.training, until=END)
    assert equal(state.model.state_dict(), weights(trunk(), "3ep"))


def test_the_grid_saves_the_first_epochs_and_then_ever_sparser(trunk: Callable[..., Trunk]) -> None:
    grid = trunk(training_steps="160ep").grid()
    epochs = [iteration // 5 for iteration in grid]
    assert epochs[:6] == [0, 1, 2, 3, 4, 5]
    assert epochs[-1] == 160
    assert 22 <= len(grid) <= 28
    gaps = [after - before for before, after in pairwise(epochs[:-1])]
    assert gaps == sorted(gaps)
    assert trunk(training_steps="7it").grid() == [0, 5, 7]


def test_what_was_asked_for_and_the_grid_lie_on_disk(trunk: Callable[..., Trunk]) -> None:
    weights(trunk(), "2it")
    trunk().finish()
    assert trunk().saved_steps() == [0, 2, 5, 10, 15]


def test_metrics_have_the_initial_network_and_every_epoch_once(trunk: Callable[..., Trunk]) -> None:
    weights(trunk(), "1ep2it")
    result = trunk().finish()
    rows = trunk().store.read_rows("metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 5, 10, 15]
    assert [row["step"] for row in rows] == ["0ep0it", "1ep0it", "2ep0it", "3ep0it"]
    assert "batch_loss" not in rows[0]
    assert rows[-1]["test_accuracy"] == result["test_accuracy"]
    assert result["test_accuracy"] > rows[0]["test_accuracy"]


def test_reach_saves_a_step_and_has_sees_it(trunk: Callable[..., Trunk], steps_taken: list[int]) -> None:
    assert not trunk().has(Step("1ep2it"))
    trunk().reach(Step("1ep2it"))
    assert trunk().has(Step("1ep2it"))
    assert not trunk().has(Step("1ep3it"))
    trunk().reach(Step("1ep2it"))
    assert steps_taken == list(range(7))


@pytest.mark.parametrize(
    ("name", "step", "trained_again"),
    [
        ("model_1ep0it.safetensors", "1ep", [0, 1, 2, 3, 4]),  # from the save before, at 0
        ("optimizer_1ep0it.safetensors", "1ep", [0, 1, 2, 3, 4]),
        ("checkpoint.safetensors", "3ep", [10, 11, 12, 13, 14]),  # from the furthest save
        ("metrics.jsonl", "3ep", [10, 11, 12, 13, 14]),
    ],
)
def test_a_damaged_file_is_named_and_deleting_it_mends_the_trunk(
    trunk: Callable[..., Trunk], steps_taken: list[int], name: str, step: str, trained_again: list[int]
) -> None:
    before = weights(trunk(), "2ep")
    assert steps_taken == list(range(10))
    steps_taken.clear()
    path = trunk().store / name
    path.write_bytes(b"\xff" + path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UsageError, match=rf"{name} is damaged .*\nDelete this file and run the same command again"):
        trunk().state_at(Step(step))
    path.unlink()
    trunk().state_at(Step(step))
    assert steps_taken == trained_again
    assert equal(before, weights(trunk(), "2ep"))


def test_without_its_checkpoint_a_trunk_goes_on_from_its_furthest_save(
    trunk: Callable[..., Trunk], steps_taken: list[int], tmp_path: Path
) -> None:
    weights(trunk(), "2ep")
    (trunk().store / "checkpoint.safetensors").unlink()
    trunk().finish()
    assert steps_taken == list(range(END))
    whole = trunk()
    whole.store = Store(tmp_path / "other")
    whole.finish()
    assert equal(weights(whole, "3ep"), weights(trunk(), "3ep"))


def test_a_run_killed_between_metrics_and_checkpoint_repeats_no_row(
    trunk: Callable[..., Trunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights(trunk(), "1ep")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_state", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            trunk().finish()
    assert [row["iteration"] for row in trunk().store.read_rows("metrics.jsonl")] == [0, 5, 10]
    trunk().finish()
    assert [row["iteration"] for row in trunk().store.read_rows("metrics.jsonl")] == [0, 5, 10, 15]


def raise_interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_other_data_under_the_same_name_are_refused(
    trunk: Callable[..., Trunk], describe_training: Describe, small_data: DeviceData, context: Context
) -> None:
    trunk().finish()
    changed = load(describe_training().data, Path("unused"), Reporter())
    data = DeviceData(replace(changed, fingerprint="0" * 64), describe_training().data, small_data.device)
    other = Trunk(describe_training(), 1, data, context)
    for go_on in (other.finish, lambda: other.state_at(Step("1ep")), lambda: other.state_at(Step("1ep2it"))):
        with pytest.raises(UsageError, match=r"computed on other data: .* 000000000000"):
            go_on()


def test_a_trunk_goes_on_with_the_threads_it_began_with_and_puts_the_callers_back(
    trunk: Callable[..., Trunk], steps: Steps, listener: Any
) -> None:
    weights(trunk(), "1ep")
    assert trunk().store.read_json("environment.json")["threads"] == 1
    seen: set[int] = set()
    steps.before.append(lambda state: seen.add(torch.get_num_threads()))
    torch.set_num_threads(2)
    trunk().finish()
    assert seen == {1}
    assert torch.get_num_threads() == 2
    assert "Going on with 1 thread, as this run began." in listener.said


def test_going_on_on_another_device_is_said(
    trunk: Callable[..., Trunk], listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights(trunk(), "1it")
    weights(trunk(), "2it")
    assert listener.warned == []
    monkeypatch.setattr(environment, "device_name", lambda device: "NVIDIA H100")
    weights(trunk(), "3it")
    [warning] = listener.warned
    assert warning.endswith(
        "replicate_1 goes on in another environment, which may give other bits: device: cpu -> NVIDIA H100"
    )


def test_a_loss_that_is_no_longer_finite_is_warned_of_once_and_recorded_as_null_if_that_is_allowed(
    trunk: Callable[..., Trunk], listener: Any
) -> None:
    dense = trunk(lr=1e30)
    dense.context = replace(dense.context, allow_divergence=True)
    result = dense.finish()
    assert listener.warned == ["1ep: the loss is no longer finite; try a smaller --lr"]
    assert result["test_loss"] is None
    assert 0 <= result["test_accuracy"] <= 1


def test_a_network_that_cannot_be_trained_on_a_single_image_is_refused_before_anything_is_written(
    describe_training: Describe, context: Context
) -> None:
    """288 images in batches of 7 leave one over; the last feature maps of VGG on 8x8 pixels are single pixels."""
    hparams = DataHparams(dataset="digits", subsample_fraction=0.2, batch_size=7)
    data = DeviceData(load(hparams, Path("unused"), Reporter()), hparams, torch.device("cpu"))
    assert data.sizes["train"] % 7 == 1
    with pytest.raises(UsageError, match=r"--batch_size=7: the last batch of an epoch is a single image.*cifar_vgg_11"):
        Trunk(replace(describe_training("cifar_vgg_11"), data=hparams), 1, data, context)
    assert not context.root.exists()
    Trunk(replace(describe_training("mnist_lenet_4"), data=hparams), 1, data, context).state_at(Step("1ep"))


def test_a_training_of_no_steps_is_the_initial_network(trunk: Callable[..., Trunk]) -> None:
    untrained = trunk(training_steps="0")
    assert untrained.finish()["step"] == "0ep0it"
    assert equal(weights(untrained, "0"), untrained.fresh().model.state_dict())


def test_replicates_begin_and_end_apart(describe_training: Describe, small_data: DeviceData, context: Context) -> None:
    first, second = (Trunk(describe_training(), number, small_data, context) for number in (1, 2))
    assert first.store.path.name == "replicate_1"
    assert first.store.path.parent == second.store.path.parent
    for step in ("0", "1ep"):
        assert not equal(weights(first, step), weights(second, step))
