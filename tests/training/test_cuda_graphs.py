"""What is set and put back around a capture by CUDA, with stand-ins for what a machine without it lacks."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from training.capture import CudaGraphs, cuda_graphs

DEVICE = torch.device("cuda:0")


class Stream:
    """A CUDA stream that waits for nothing."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_stream(self, other: "Stream") -> None:
        pass


class Graph:
    """A CUDA graph, to be replayed or dropped."""

    def replay(self) -> None:
        pass

    def reset(self) -> None:
        pass


class Generator:
    """What is left of a generator that a failed capture leaves behind: it refuses to draw."""

    def __init__(self) -> None:
        self.capturing = False

    def clone_state(self) -> "Generator":
        return Generator()

    def graphsafe_set_state(self, other: "Generator") -> None:
        self.capturing = other.capturing


class Cuda:
    """PyTorch's state of a process that captures, as ``cudaStreamEndCapture`` leaves it if it fails."""

    def __init__(self) -> None:
        self.stream = self.default = Stream()
        self.generator = Generator()
        self.pools: list[object] = []
        self.mode = 0

    @contextlib.contextmanager
    def graph(self, graph: Any, pool: object, stream: Stream) -> Iterator[None]:
        before, self.stream, self.generator.capturing = self.stream, stream, True
        self.pools.append(pool)
        yield  # an error of the work ends it here
        self.stream, self.generator.capturing = before, False
        self.pools.remove(pool)

    @contextlib.contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    def set_stream(self, stream: Stream) -> None:
        self.stream = stream

    def set_mode(self, mode: "int | str") -> None:
        self.mode = ["default", "warn", "error"].index(mode) if isinstance(mode, str) else mode
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=1)

    def rand(self, *size: int, device: torch.device) -> None:
        if self.generator.capturing:
            raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")

    def end(self, device: int, pool: object) -> None:
        if pool not in self.pools:
            raise RuntimeError("not currently recording to mempool_id")
        self.pools.remove(pool)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    cuda = Cuda()
    pretended: dict[str, Any] = {
        "Stream": Stream, "CUDAGraph": Graph, "graph": cuda.graph,
        "graph_pool_handle": object, "stream": cuda.on, "current_stream": lambda device=None: cuda.stream,
        "set_stream": cuda.set_stream, "device": lambda device: contextlib.nullcontext(),
        "current_device": lambda: 0, "default_generators": [cuda.generator],
        "get_sync_debug_mode": lambda: cuda.mode, "set_sync_debug_mode": cuda.set_mode,
    }  # fmt: skip
    for name, value in pretended.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "rand", cuda.rand)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", cuda.end, raising=False)
    return cuda


def assert_sane(cuda: Cuda) -> None:
    assert cuda.stream is cuda.default
    assert not cuda.generator.capturing
    assert cuda.pools == []
    assert cuda.mode == 0


def test_a_capture_is_on_the_stream_of_the_warm_up(cuda: Cuda) -> None:
    graphs, streams = CudaGraphs(DEVICE), []
    graphs.warm_up(lambda: streams.append(cuda.stream))
    graphs.capture(lambda: streams.append(cuda.stream))
    assert streams == [graphs.stream, graphs.stream]
    assert_sane(cuda)


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted"), KeyboardInterrupt()])
def test_after_a_failed_capture_the_process_is_as_before(cuda: Cuda, error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)):
        CudaGraphs(DEVICE).capture(work)
    assert_sane(cuda)


@pytest.mark.parametrize(
    ("work", "found"),
    [
        (lambda: None, False),
        (lambda: warnings.warn("something else", stacklevel=1), False),
        (lambda: warnings.warn("called a synchronizing CUDA operation (Triggered internally)", stacklevel=1), True),
    ],
)
def test_a_wait_is_heard_of_as_the_warning_that_it_is(cuda: Cuda, work: Callable[[], None], found: bool) -> None:
    modes = []

    def watched() -> None:
        modes.append(cuda.mode)
        work()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CudaGraphs(DEVICE).waits(watched) is found
    assert modes == [1], "warned of, not raised"
    assert_sane(cuda)


def test_a_device_has_one_stream_for_all_captures(cuda: Cuda) -> None:
    cuda_graphs.cache_clear()
    assert cuda_graphs(DEVICE) is cuda_graphs(torch.device("cuda:0"))
    assert cuda_graphs(DEVICE) is not cuda_graphs(torch.device("cuda:1"))
    cuda_graphs.cache_clear()
