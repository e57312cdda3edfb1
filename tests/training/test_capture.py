"""Steps that are captured and replayed, as CUDA graphs are, give the bits of steps that are computed one by one.

The stand-in here keeps what a CUDA graph keeps: operations and the memory that they read and write, no Python.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from foundations.steps import Step
from pruning import Mask, prunable
from training.capture import WARM_UP_STEPS, CapturedStep
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.optimizers import optimizers
from training.state import TrainState

Start = Callable[..., TrainState]
Call = tuple[Callable[..., Any], Sequence[Any], dict[str, Any], list[Tensor]]


class Tape(TorchDispatchMode):
    """Notes every operation, what it was called with, and where its results lie."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]))
        return found

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, places in self.calls:
                if func.is_view:
                    continue  # the same memory under another shape
                found = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
                for place, value in zip(places, found, strict=True):
                    if place.data_ptr() != value.data_ptr():
                        place.copy_(value)


class TapeGraphs:
    """Captures on the CPU. A tape has to run to be captured, so the state is put back afterwards."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.captured = 0

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        places = tensors(self.state)
        before = [place.clone() for place in places]
        with Tape() as tape:
            work()
        for place, value in zip(places, before, strict=True):
            place.copy_(value)
        self.captured += 1
        return tape.replay


def tensors(state: TrainState) -> list[Tensor]:
    """The memory that a step changes."""
    slots = [value for slot in state.optimizer.state.values() for value in slot.values() if isinstance(value, Tensor)]
    removed = [] if state.compaction is None else [vector.detach() for vector in state.compaction.removed.values()]
    return [state.running_metrics, *state.model.state_dict().values(), *slots, *removed]


def captured(state: TrainState) -> TrainState:
    state.captured_step = CapturedStep(TapeGraphs(state), torch.device("cpu"))
    return state


def times_captured(state: TrainState) -> int:
    assert state.captured_step is not None
    graphs = state.captured_step.graphs
    assert isinstance(graphs, TapeGraphs)
    return graphs.captured


def hyperparameters(optimizer: str = "momentum", **others: Any) -> TrainingHparams:
    given: dict[str, Any] = {
        "optimizer": optimizer,
        "lr": 0.05,
        "weight_decay": 0.01,
        "training_steps": "4ep",
        **others,
    }
    return TrainingHparams(**given)


def random_masks(state: TrainState, count: int) -> list[Mask]:
    generator = torch.Generator().manual_seed(0)
    shapes = {name: weight.shape for name, weight in prunable(state.model).items()}
    return [
        Mask({name: torch.rand(shape, generator=generator) < 0.3 for name, shape in shapes.items()})
        for _ in range(count)
    ]


def assert_same(first: TrainState, second: TrainState) -> None:
    pairs = list(zip(tensors(first), tensors(second), strict=True))
    assert pairs
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_a_replay_computes_the_bits_of_the_step(start: Start, small_data: DeviceData, optimizer: str) -> None:
    # The rate changes with every step; all its values are powers of two or eighths, so float32 holds them.
    changing = {"warmup_steps": Step("8it"), "milestone_steps": (Step("3ep"),), "gamma": 0.5}
    hparams = hyperparameters(optimizer, lr=2**-6, **changing)
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, small_data, hparams, until=18)
    assert times_captured(fast) == 1
    assert_same(plain, fast)
    assert plain.optimizer.state_dict()["param_groups"] == fast.optimizer.state_dict()["param_groups"]


def test_a_replay_reads_a_rate_for_each_parameter_group(
    start: Start, small_data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_groups(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
        first, *others = model.parameters()
        groups = [{"params": [first], "lr_factor": 0.25}, {"params": others}]
        return optim.SGD(groups, lr=hparams.lr, momentum=0.5, fused=True)

    monkeypatch.setitem(optimizers._entries, "two_groups", two_groups)
    hparams = hyperparameters("two_groups", lr=2**-6, warmup_steps=Step("8it"))
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, small_data, hparams, until=12)
    assert times_captured(fast) == 1
    assert_same(plain, fast)
    assert [group["lr"] for group in fast.optimizer.param_groups] == [2**-8, 2**-6]


def test_batchnorm_masks_and_bf16_are_in_the_captured_step(start: Start, small_data: DeviceData) -> None:
    hparams = hyperparameters(precision="bf16")
    plain, fast = start(hparams, "cifar_resnet_8_4"), captured(start(hparams, "cifar_resnet_8_4"))
    [mask] = random_masks(plain, 1)
    for state in (plain, fast):
        train(state, small_data, hparams, until=6)
        state.prune(mask)
        train(state, small_data, hparams, until=14)
    assert times_captured(fast) == 2, "the first mask's tensors are new, so the step is captured again"
    assert_same(plain, fast)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_a_captured_step_goes_on_with_another_mask(start: Start, small_data: DeviceData, optimizer: str) -> None:
    hparams = hyperparameters(optimizer, lr=2**-6)
    plain, fast = start(hparams), captured(start(hparams))
    masks = random_masks(plain, 3)
    for state in (plain, fast):
        state.prune(masks[0])
        train(state, small_data, hparams, until=8)
        for until, mask in zip((12, 17), masks[1:], strict=True):
            state.set_mask(mask)
            assert all(not weight[~mask[name]].any() for name, weight in prunable(state.model).items())
            train(state, small_data, hparams, until=until)
        for name, weight in prunable(state.model).items():
            assert not weight[~mask[name]].any()
            assert weight[mask[name] & ~masks[0][name]].any(), "what came back is trained"
    assert times_captured(fast) == 1
    assert_same(plain, fast)


def test_a_restored_state_is_captured_anew(start: Start, small_data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    for state in (plain, fast):
        train(state, small_data, hparams, until=7)
        snapshot = {**state.capture(), "model": {name: x.clone() for name, x in state.tensors().items()}}
        train(state, small_data, hparams, until=9)
        state.restore(snapshot)
        train(state, small_data, hparams, until=14)
    assert times_captured(fast) == 2
    assert_same(plain, fast)


def test_a_compact_network_is_captured_anew(start: Start, small_data: DeviceData) -> None:
    hparams = hyperparameters()
    plain, fast = start(hparams), captured(start(hparams))
    mask = Mask({name: x.clone() for name, x in Mask.ones(plain.model).items()})
    mask["fc.weight"][:, 8:] = False
    for state in (plain, fast):
        train(state, small_data, hparams, until=6)
        state.prune(mask)
        state.compact(hparams)
        train(state, small_data, hparams, until=14)
    assert times_captured(fast) == 2
    assert_same(plain, fast)


def test_a_smaller_batch_at_the_end_of_an_epoch_is_computed_as_it_is(start: Start, small_data: DeviceData) -> None:
    hparams = hyperparameters()
    state = captured(start(hparams))
    train(state, small_data, hparams, until=5)  # four whole batches, and one of 32
    assert state.captured_step is not None
    assert state.captured_step.warmed_up == WARM_UP_STEPS
    assert state.captured_step.inputs.shape[0] == small_data.batch_size
    assert state.running_metrics[2] == small_data.sizes["train"]


def test_a_network_that_cannot_be_captured_is_trained_all_the_same(start: Start, small_data: DeviceData) -> None:
    class Refusing(TapeGraphs):
        def capture(self, work: Callable[[], None]) -> Callable[[], None]:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

    hparams = hyperparameters()
    plain, other = start(hparams), start(hparams)
    other.captured_step = CapturedStep(Refusing(other), torch.device("cpu"))
    train(plain, small_data, hparams, until=14)
    with pytest.warns(
        UserWarning, match="one by one; recording them failed: operation not permitted.*capturing$"
    ) as seen:
        train(other, small_data, hparams, until=14)
    assert len(seen) == 1
    assert_same(plain, other)
