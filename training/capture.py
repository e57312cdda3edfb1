"""CUDA graph capture: training steps are captured once and replayed from then on.

The step of a small network is some hundreds of kernels that each run for microseconds: on a GPU, launching them one by
one takes longer than running them. A CUDA graph launches all those of one or several steps at once, and computes the
same bits.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor, optim

from foundations.seeds import global_generators
from training.data.batches import Batch

Work = Callable[[Batch], None]
Rates = Sequence[float]
"""The learning rate of each parameter group in one step."""
WARM_UP_STEPS = 3  # before the capture: they allocate the optimizer's state, choose algorithms, compile


class CudaGraphs:
    """What captures work on a device. ``refused`` has the kinds of work that were found to be impossible to capture.

    The warm-up is on a stream of its own, since what the default stream holds cannot be captured.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.refused: set[Hashable] = set()

    def warm_up(self, work: Callable[[], None]) -> None:
        """Do ``work``, and whatever has to be done once before it can be captured."""
        here = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            work()
        here.wait_stream(self.stream)

    def waits(self, work: Callable[[], None]) -> bool:
        """Do ``work`` like :meth:`warm_up`; return whether something in it waits for a value of the device."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")  # raising instead would leave half a step behind
            try:
                self.warm_up(work)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        return any("called a synchronizing CUDA operation" in str(warning.message) for warning in seen)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Do nothing yet; what is returned does ``work`` each time it is called, on the same memory.

        Raises:
            RuntimeError: it cannot be captured. What was computed before can go on.
        """
        with torch.cuda.device(self.device):
            here, graph, pool = torch.cuda.current_stream(), torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
            generator = global_generators(self.device)[-1]
            spare = generator.clone_state()
            try:
                with torch.cuda.graph(graph, pool=pool, stream=self.stream):
                    work()
            except BaseException:
                # PyTorch's clean-up ends with the first call that raises, that of cudaStreamEndCapture.
                torch.cuda.set_stream(here)
                with contextlib.suppress(RuntimeError):  # it was called after all
                    torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
                graph.reset()
                try:
                    torch.rand(1, device=self.device)
                except RuntimeError:  # the generator still counts what a graph draws
                    generator.graphsafe_set_state(spare)
                raise
        return graph.replay


@functools.cache
def cuda_graphs(device: torch.device) -> CudaGraphs:
    """Return those of a device: one stream for all captures, and one memory of what cannot be captured."""
    return CudaGraphs(device)


class CapturedStep:
    """The steps of one training state: warmed up, then captured, then replayed.

    What a replay reads and writes lies where it lay when it was captured. Whoever replaces a tensor of the state (the
    optimizer's, by loading them) calls :meth:`forget`.

    A step that waits for the device is never captured, and neither is one that draws random numbers on the CPU, which
    a replay would not draw again. One that draws them on the device is replayed alone, since each has its seed.

    Args:
        graphs: how work is captured on the state's device.
        device: the state's.
        kind: what kind of work it is: a kind that could not be captured once is not tried again.
        possible: False for steps that are never captured, and compute the same bits.
    """

    def __init__(
        self, graphs: CudaGraphs, device: torch.device, kind: Hashable = None, *, possible: bool = True
    ) -> None:
        self.graphs, self.device, self.kind = graphs, device, kind
        self.possible = possible and kind not in graphs.refused
        self.draws = False
        self.forget()

    def forget(self) -> None:
        """Begin anew with a warm-up."""
        self.warmed_up = 0
        self.replays: dict[int, Replay] = {}

    @property
    def several_at_once(self) -> bool:
        """Whether the next call of :meth:`run` may be of several steps."""
        return self.possible and self.warmed_up == WARM_UP_STEPS and not self.draws

    def run(self, work: Work, batches: Sequence[Batch], rates: Sequence[Rates], optimizer: optim.Optimizer) -> None:
        """Do ``work``, of which a step of ``optimizer`` is part, on each of ``batches``, all of one size."""
        if self.possible and self.warmed_up == WARM_UP_STEPS and len(batches) not in self.replays:
            self._capture(work, batches, optimizer)
        if replay := self.replays.get(len(batches)):
            replay(batches, rates)
            return
        for batch, given in zip(batches, rates, strict=True):
            if self.possible:
                tensors = [torch.full((), rate, device=self.device) for rate in given]
                with reading_rates(optimizer, tensors, captured=False):
                    self._warm_up(partial(work, batch))
            else:  # the numbers that such tensors would hold: some optimizers wait to read a tensor
                with reading_rates(optimizer, [float(np.float32(rate)) for rate in given], captured=False):
                    work(batch)

    def _warm_up(self, work: Callable[[], None]) -> None:
        self.warmed_up += 1
        if self.warmed_up < WARM_UP_STEPS:
            self.graphs.warm_up(work)
            return
        generators = global_generators(self.device)
        before = [generator.get_state() for generator in generators]
        waits = self.graphs.waits(work)
        *drew, self.draws = (
            not torch.equal(generator.get_state(), state) for generator, state in zip(generators, before, strict=True)
        )
        if waits or any(drew):
            self._refuse("they wait for the device" if waits else "they draw random numbers on the CPU")

    def _capture(self, work: Work, batches: Sequence[Batch], optimizer: optim.Optimizer) -> None:
        try:
            self.replays[len(batches)] = Replay(self.graphs, work, batches, optimizer, self.device)
        except RuntimeError as error:
            self._refuse("capturing them failed: " + str(error).partition("\n")[0])

    def _refuse(self, reason: str) -> None:
        self.possible = False
        self.replays.clear()
        self.graphs.refused.add(self.kind)
        warnings.warn(f"training steps are launched one by one: {reason}", stacklevel=2)


class Replay:
    """Steps that are captured together, and the memory from which they read their batches and learning rates."""

    def __init__(
        self, graphs: CudaGraphs, work: Work, batches: Sequence[Batch], optimizer: optim.Optimizer, device: torch.device
    ) -> None:
        self.batches = [tuple(tensor.clone() for tensor in batch) for batch in batches]
        self.rates = [[torch.zeros((), device=device) for _ in optimizer.param_groups] for _ in batches]
        self.launch = graphs.capture(partial(self._steps, work, optimizer))

    def _steps(self, work: Work, optimizer: optim.Optimizer) -> None:
        for batch, rates in zip(self.batches, self.rates, strict=True):
            with reading_rates(optimizer, rates, captured=True):
                work(batch)

    def __call__(self, batches: Sequence[Batch], rates: Sequence[Rates]) -> None:
        """Take the steps on other batches of the same sizes."""
        places = list(chain(*self.rates))
        torch._foreach_copy_(list(chain(*self.batches)), list(chain(*batches)))
        torch._foreach_zero_(places)
        torch._foreach_add_(places, list(chain(*rates)))  # unlike a copy from the CPU, no transfer
        self.launch()


@contextlib.contextmanager
def reading_rates(optimizer: optim.Optimizer, rates: Sequence[Tensor | float], *, captured: bool) -> Iterator[None]:
    """Inside, each parameter group has its learning rate from ``rates``; a number would be captured for good."""
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
