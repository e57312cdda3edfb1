"""A step of training that is recorded once and replayed from then on.

The step of a small network is some hundreds of kernels that each run for microseconds: on a GPU, launching them one by
one takes longer than running them. A CUDA graph launches all of them at once, and computes the same bits.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, optim

Work = Callable[[Tensor, Tensor], None]
REHEARSALS = 3  # steps before the recording: they allocate momentum, choose algorithms, compile


class Recorder(Protocol):
    """What can record work on a device."""

    def rehearse(self, work: Callable[[], None]) -> None:
        """Does ``work``, and whatever has to be done once before it can be recorded."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Does nothing yet; what is returned does ``work`` each time it is called, on the same memory."""


class CudaRecorder:
    """CUDA graphs. Rehearsals are on a stream of their own, since what the default stream holds cannot be recorded."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)

    def rehearse(self, work: Callable[[], None]) -> None:
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            work()
        here.wait_stream(self.stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        with torch.cuda.device(self.device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                work()
        return graph.replay


class Recording:
    """The steps of one training state: rehearsed, then recorded, then replayed.

    What a replay reads and writes lies where it lay when it was recorded: inputs, labels and learning rate are copied
    there. Whoever replaces a tensor of the state (the optimizer's, by loading them; the mask) calls :meth:`forget`.

    Args:
        recorder: how work is recorded on the state's device.
        device: the state's.
    """

    def __init__(self, recorder: Recorder, device: torch.device) -> None:
        self.recorder = recorder
        self.rate = torch.zeros((), device=device)
        self.possible = True
        self.forget()

    def forget(self) -> None:
        """The next steps are rehearsals again."""
        self.rehearsed = 0
        self.replay: Callable[[], None] | None = None

    def run(self, work: Work, inputs: Tensor, labels: Tensor, optimizer: optim.Optimizer) -> None:
        """Does ``work``, of which ``optimizer`` is part, on a batch; all batches have one size."""
        self.rate.fill_(optimizer.param_groups[0]["lr"])
        if self.replay is None and self.rehearsed == REHEARSALS and self.possible:
            self.inputs, self.labels = inputs.clone(), labels.clone()
            with reading_its_rate(optimizer, self.rate, recorded=True):
                self.replay = self._record(partial(work, self.inputs, self.labels))
        if self.replay is not None:
            self.inputs.copy_(inputs)
            self.labels.copy_(labels)
            self.replay()
            return
        with reading_its_rate(optimizer, self.rate, recorded=False):
            self.recorder.rehearse(partial(work, inputs, labels))
        self.rehearsed = min(self.rehearsed + 1, REHEARSALS)

    def _record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """The replay of ``work``; None, and a warning, for a network that asks the device for values on its way."""
        try:
            return self.recorder.record(work)
        except RuntimeError as error:
            self.possible = False
            reason = str(error).partition("\n")[0]
            warnings.warn(f"training steps are launched one by one; recording them failed: {reason}", stacklevel=2)
            return None


@contextlib.contextmanager
def reading_its_rate(optimizer: optim.Optimizer, rate: Tensor, *, recorded: bool) -> Iterator[None]:
    """Inside, the optimizer reads its learning rate from ``rate``: a number would be recorded for good."""
    before = [dict(group) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = rate
        if "capturable" in group:  # Adam refuses to be recorded without, and warns with it outside
            group["capturable"] = recorded
    try:
        yield
    finally:
        for group, was in zip(optimizer.param_groups, before, strict=True):
            group.update(was)
