"""CUDA graph capture: a training step is captured once and replayed from then on.

The step of a small network is some hundreds of kernels that each run for microseconds: on a GPU, launching them one by
one takes longer than running them. A CUDA graph launches all of them at once, and computes the same bits.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, optim

Work = Callable[[Tensor, Tensor], None]
WARM_UP_STEPS = 3  # before the capture: they allocate the optimizer's state, choose algorithms, compile


class Graphs(Protocol):
    """What can capture work on a device."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Does ``work``, and whatever has to be done once before it can be captured."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Does nothing yet; what is returned does ``work`` each time it is called, on the same memory."""


class CudaGraphs:
    """CUDA graphs. The warm-up is on a stream of its own, since what the default stream holds cannot be captured."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def warm_up(self, work: Callable[[], None]) -> None:
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            work()
        here.wait_stream(self.stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        with torch.cuda.device(self.device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                work()
        return graph.replay


class CapturedStep:
    """The steps of one training state: warmed up, then captured, then replayed.

    What a replay reads and writes lies where it lay when it was captured: inputs, labels and learning rates are copied
    there. Whoever replaces a tensor of the state (the optimizer's, by loading them) calls :meth:`forget`.

    Args:
        graphs: how work is captured on the state's device.
        device: the state's.
    """

    def __init__(self, graphs: Graphs, device: torch.device) -> None:
        self.graphs, self.device = graphs, device
        self.possible = True
        self.forget()

    def forget(self) -> None:
        """The next steps are a warm-up again."""
        self.warmed_up = 0
        self.rates: list[Tensor] = []
        self.replay: Callable[[], None] | None = None

    def run(self, work: Work, inputs: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        """Does ``work``, of which ``optimizer`` is part, on a batch; all batches have one size."""
        self._fill_rates(optimizer)
        if self.replay is None and self.warmed_up == WARM_UP_STEPS and self.possible:
            self.inputs, self.labels = inputs.clone(), labels.clone()
            with reading_rates(optimizer, self.rates, captured=True):
                self.replay = self._capture(partial(work, self.inputs, self.labels))
        if self.replay is not None:
            self.inputs.copy_(inputs)
            self.labels.copy_(labels)
            self.replay()
            return
        with reading_rates(optimizer, self.rates, captured=False):
            self.graphs.warm_up(partial(work, inputs, labels))
        self.warmed_up = min(self.warmed_up + 1, WARM_UP_STEPS)

    def _fill_rates(self, optimizer: optim.Optimizer) -> None:
        """Puts the learning rate of each parameter group where a replay reads it."""
        self.rates = self.rates or [torch.zeros((), device=self.device) for _ in optimizer.param_groups]
        for rate, group in zip(self.rates, optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])

    def _capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """The replay of ``work``; None, and a warning, for a network that asks the device for values on its way."""
        try:
            return self.graphs.capture(work)
        except RuntimeError as error:
            self.possible = False
            reason = str(error).partition("\n")[0]
            warnings.warn(f"training steps are launched one by one; recording them failed: {reason}", stacklevel=2)
            return None


@contextlib.contextmanager
def reading_rates(optimizer: optim.Optimizer, rates: Sequence[Tensor], *, captured: bool) -> Iterator[None]:
    """Inside, each parameter group reads its learning rate from its tensor: a number would be captured for good."""
    before = [dict(group) for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if "capturable" in group:  # Adam refuses to be captured without, and warns with it outside
            group["capturable"] = captured
    try:
        yield
    finally:
        for group, was in zip(optimizer.param_groups, before, strict=True):
            group.update(was)
