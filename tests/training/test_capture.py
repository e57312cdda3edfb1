"""Steps that are captured and replayed, as CUDA graphs are, give the bits of steps that are computed one by one.

``tape.py`` has the stand-in for CUDA graphs.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from foundations.processes import Share
from foundations.steps import Step
from pruning import Mask, prunable
from tests.training.tape import TapeGraphs, assert_same, captured, graphs_of, random_masks, steps_of_replays
from training import capture
from training.capture import WARM_UP_STEPS, CapturedStep
from training.data import Batch, DataHparams, DeviceData, EpochNoise, Pair
from training.data.batches import WHOLE
from training.hparams import TrainingHparams
from training.loop import train
from training.optimizers import optimizers
from training.state import TrainState

DATA = DataHparams(dataset="digits", batch_size=13, subsample_fraction=0.2)
Start = Callable[..., TrainState]


@pytest.fixture(scope="module")
def data(small_data: DeviceData) -> DeviceData:
    """288 digits in batches of 13: epochs of two whole blocks of ten steps, two steps more, and a batch of 2."""
    return DeviceData(small_data.dataset, DATA, small_data.device)


def hyperparameters(optimizer: str = "momentum", **others: Any) -> TrainingHparams:
    given: dict[str, Any] = {
        "optimizer": optimizer,
        "lr": 0.05,
        "weight_decay": 0.01,
        "training_steps": "4ep",
        **others,
    }
    return TrainingHparams(**given)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_a_replay_computes_the_bits_of_the_step(start: Start, data: DeviceData, optimizer: str) -> None:
    # The rate changes with every step; all its values are powers of two or 64ths, so float32 holds them.
    changing = {"warmup_steps": Step("64it"), "milestone_steps": (Step("3ep"),), "gamma": 0.5}
    hparams = hyperparameters(optimizer, lr=2**-6, **changing)
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, data, hparams, until=75)
    assert steps_of_replays(fast) == [1, 10]
    assert graphs_of(fast).captured == 2
    assert_same(plain, fast)
    assert plain.optimizer.state_dict()["param_groups"] == fast.optimizer.state_dict()["param_groups"]


def test_a_replay_reads_a_rate_for_each_parameter_group(start: Start, data: DeviceData) -> None:
    def two_groups(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
        first, *others = model.parameters()
        groups = [{"params": [first], "lr_factor": 0.25}, {"params": others}]
        return optim.SGD(groups, lr=hparams.lr, momentum=0.5, fused=True)

    optimizers.register("two_groups")(two_groups)
    hparams = hyperparameters("two_groups", lr=2**-6, warmup_steps=Step("32it"))
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, data, hparams, until=43)
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)
    assert [group["lr"] for group in fast.optimizer.param_groups] == [2**-8, 2**-6]


def test_batchnorm_masks_and_bf16_are_in_the_captured_step(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters(precision="bf16")
    plain, fast = start(hparams, "cifar_resnet_8_4"), captured(start(hparams, "cifar_resnet_8_4"))
    [mask] = random_masks(plain, 1)
    for state in (plain, fast):
        train(state, data, hparams, until=5)
        state.prune(mask)
        train(state, data, hparams, until=33)
    assert graphs_of(fast).captured == 3, "the first mask's tensors are new, so the step is captured again"
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_a_captured_step_goes_on_with_another_mask(start: Start, data: DeviceData, optimizer: str) -> None:
    hparams = hyperparameters(optimizer, lr=2**-6)
    plain, fast = start(hparams), captured(start(hparams))
    masks = random_masks(plain, 3)
    for state in (plain, fast):
        state.prune(masks[0])
        train(state, data, hparams, until=18)
        for until, mask in zip((29, 51), masks[1:], strict=True):
            state.set_mask(mask)
            assert all(not weight[~mask[name]].any() for name, weight in prunable(state.model).items())
            train(state, data, hparams, until=until)
        for name, weight in prunable(state.model).items():
            assert not weight[~mask[name]].any()
            assert weight[mask[name] & ~masks[0][name]].any(), "what came back is trained"
    assert graphs_of(fast).captured == 2
    assert_same(plain, fast)


def test_a_restored_state_is_captured_anew(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, data, hparams, until=22)
        snapshot = {**state.capture(), "model": {name: x.clone() for name, x in state.tensors().items()}}
        train(state, data, hparams, until=24)
        state.restore(snapshot)
        train(state, data, hparams, until=45)
    assert graphs_of(fast).captured == 4
    assert_same(plain, fast)


def test_a_compact_network_is_captured_anew(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    mask = Mask({name: x.clone() for name, x in Mask.ones(plain.model).items()})
    mask["fc.weight"][:, 8:] = False
    for state in (plain, fast):
        train(state, data, hparams, until=6)
        state.prune(mask)
        state.compact(hparams)
        train(state, data, hparams, until=36)
    assert graphs_of(fast).captured == 3
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)


@pytest.mark.parametrize("stops", [(3, 4, 14, 36), (13, 23, 40), (1, 9, 31, 58)])
def test_segments_end_anywhere(start: Start, data: DeviceData, stops: tuple[int, ...]) -> None:
    """Within an epoch, at its end, after whole blocks or within one."""
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    train(plain, data, hparams, until=stops[-1])
    for stop in stops:
        train(fast, data, hparams, until=stop)
        assert fast.iteration == stop
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)


def test_it_stops_after_the_replay_in_which_it_is_asked_to(start: Start, data: DeviceData) -> None:
    hparams, advanced = hyperparameters(), []
    plain, fast = start(hparams), captured(start(hparams))
    asked_at = {4: 5, 12: 20}  # in a step of its own, and in the replay of steps 10 to 19
    for after, stop in asked_at.items():
        train(fast, data, hparams, until=40, advance=advanced.append, asked=lambda after=after: fast.iteration > after)
        assert fast.iteration == stop == sum(advanced)
        train(fast, data, hparams, until=10, advance=advanced.append)
    train(plain, data, hparams, until=20)
    assert_same(plain, fast)


def test_the_last_batch_of_an_epoch_is_computed_as_it_is(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    state = captured(start(hparams))
    train(state, data, hparams, until=23)
    assert state.captured_step is not None
    assert state.captured_step.warmed_up == WARM_UP_STEPS
    for replay in state.captured_step.replays.values():
        assert {len(tensor) for batch in replay.batches for tensor in batch} == {13}
    assert state.running_metrics[2] == data.sizes["train"]


def test_images_that_come_batch_by_batch_are_copied_in(start: Start, data: DeviceData) -> None:
    class Streamed(DeviceData):
        """Its batches are images and labels, as those of a data set that is too large for the device."""

        def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
            return map(super().fetch, super().batches(epoch, first, last, share))

        def fetch(self, batch: Batch) -> Pair:
            inputs, labels = batch
            return inputs, labels

    streamed = Streamed(data.dataset, DATA, data.device)
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    train(plain, data, hparams, until=37)
    train(fast, streamed, hparams, until=37)
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)


# Networks for which a replay would not do what the step does --------------------------------------------------------


class Odd(nn.Module):
    """One linear layer, and something else."""

    def __init__(self, extra: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.extra = nn.Linear(64, 10), extra

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.as_tensor(self.fc(self.extra(inputs.flatten(1))))


def odd(extra: Callable[[Tensor], Tensor]) -> Odd:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Odd(extra)


def test_a_network_that_draws_random_numbers_is_replayed_step_by_step(start: Start, data: DeviceData) -> None:
    """Each step has its own seed."""
    hparams = hyperparameters()
    plain, fast = start(hparams, odd(nn.Dropout())), captured(start(hparams, odd(nn.Dropout())))
    for state in (plain, fast):
        train(state, data, hparams, until=40)
    assert steps_of_replays(fast) == [1]
    assert_same(plain, fast)


def by_value(inputs: Tensor) -> Tensor:
    """Asks for a value: a CUDA graph would keep the branch that was taken when it was captured."""
    return inputs if inputs[0].sum().item() > 0 else inputs / 2


def test_a_step_that_waits_for_the_device_is_never_captured(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, other = start(hparams, odd(by_value)), captured(start(hparams, odd(by_value)))
    train(plain, data, hparams, until=30)
    with pytest.warns(UserWarning, match="launched one by one: they wait for the device") as seen:
        train(other, data, hparams, until=30)
    assert len(seen) == 1
    assert graphs_of(other).captured == 0
    assert_same(plain, other)


def test_a_step_that_draws_on_the_cpu_is_never_captured(
    start: Start, data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay would not draw again."""
    on_cpu, on_device = torch.default_generator, torch.Generator()
    monkeypatch.setattr(capture, "global_generators", lambda device: [on_cpu, on_device])
    hparams = hyperparameters()
    state = captured(start(hparams, odd(nn.Dropout())))
    with pytest.warns(UserWarning, match="they draw random numbers on the CPU"):
        train(state, data, hparams, until=6)
    assert graphs_of(state).captured == 0


class Refusing(TapeGraphs):
    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captured += 1
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def test_a_network_that_cannot_be_captured_is_trained_all_the_same(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, other = start(hparams), start(hparams)
    other.captured_step = CapturedStep(Refusing(other), torch.device("cpu"))
    train(plain, data, hparams, until=30)
    with pytest.warns(
        UserWarning, match="one by one: capturing them failed: operation not permitted.*capturing$"
    ) as seen:
        train(other, data, hparams, until=30)
    assert len(seen) == 1
    assert graphs_of(other).captured == 1
    assert_same(plain, other)


def test_what_could_not_be_captured_once_is_not_tried_again_in_the_process(start: Start, data: DeviceData) -> None:
    hparams = hyperparameters()
    first = start(hparams)
    graphs = Refusing(first)
    first.captured_step = CapturedStep(graphs, torch.device("cpu"), kind="LeNet")
    with pytest.warns(UserWarning, match="one by one"):
        train(first, data, hparams, until=5)
    for kind, tries in (("LeNet", 1), ("another", 2)):
        state = start(hparams)
        state.captured_step = CapturedStep(graphs, torch.device("cpu"), kind=kind)
        with warnings.catch_warnings():
            warnings.simplefilter("error" if kind == "LeNet" else "ignore")
            train(state, data, hparams, until=5)
        assert graphs.captured == tries


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_switched_off_nothing_is_captured_and_the_bits_are_the_same(
    start: Start, data: DeviceData, optimizer: str
) -> None:
    hparams = hyperparameters(optimizer)  # with a rate that float32 does not hold
    fast, slow = captured(start(hparams)), start(hparams)
    slow.captured_step = CapturedStep(TapeGraphs(slow), torch.device("cpu"), possible=False)
    for state in (fast, slow):
        train(state, data, hparams, until=30)
    assert graphs_of(slow).captured == 0
    assert_same(fast, slow)
