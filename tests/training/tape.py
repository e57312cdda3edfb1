"""A stand-in for CUDA graphs: it keeps what they keep, operations and the memory that these read and write."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning import Mask, prunable
from training.capture import CapturedStep
from training.state import TrainState

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


class Waits(TorchDispatchMode):
    """Counts how often a value is asked for, which on CUDA would wait for the device."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class TapeGraphs:
    """Captures on the CPU. A tape has to run to be captured, so what it changed is put back afterwards."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.captured = 0
        self.refused: set[Hashable] = set()

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def waits(self, work: Callable[[], None]) -> bool:
        with Waits() as waits:
            work()
        return waits.count > 0

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        places = tensors(self.state)
        before = [place.clone() for place in places]
        with torch.random.fork_rng([]), Tape() as tape:
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


def graphs_of(state: TrainState) -> TapeGraphs:
    assert state.captured_step is not None
    graphs = state.captured_step.graphs
    assert isinstance(graphs, TapeGraphs)
    return graphs


def steps_of_replays(state: TrainState) -> list[int]:
    """Of each graph that is held, how many steps it has."""
    assert state.captured_step is not None
    return sorted(state.captured_step.replays)


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
