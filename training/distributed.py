"""What the processes that train one network together tell each other (see ``training.following``).

Gradients are averaged by one all-reduce of one flat buffer between the backward pass and the optimizer's step.
``DistributedDataParallel`` does that while the backward pass still goes on, but it weighs every process alike, though
their shares of a batch may differ, and wraps the module, which masks, compaction and compilation hold.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.processes import Share, own_gpu, own_share
from training.data import TrainingData
from training.hparams import TrainingHparams

TO_CONNECT = timedelta(minutes=10)
PATIENCE = timedelta(days=30)
"""How long a process waits for the first one, which may score, evaluate and compare in the meantime."""


class ProcessesLost(UsageError):
    """Another process of this training has ended."""

    exit_code = 1


class Alone:
    """The one process that trains, as nearly always: there is nobody to tell anything."""

    share = Share()

    def agreed(self, asked: Callable[[], bool]) -> Callable[[], bool]:
        """Return a question that every process answers as the first one does."""
        return asked

    def average_gradients(self, model: nn.Module, size: int) -> None:
        """Make each gradient the mean over the whole batch; ``size`` images of it are this process's."""

    def sum(self, tensor: Tensor) -> None:
        """Add up a tensor over all processes, in place."""

    def announce(self, message: Any) -> None:
        """Tell the others something, if this is the first process."""


class Together(Alone):
    """One of several processes, connected by gloo for what is on the CPU and by NCCL for what is on GPUs."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.connected = True
        self.handed_over: list[object] = []
        """What the others have of the first process's training state."""

    def agreed(self, asked: Callable[[], bool]) -> Callable[[], bool]:
        def agreed() -> bool:
            answer = torch.tensor([asked()])
            with self.connection():
                dist.broadcast(answer, src=0)
            return bool(answer)

        return agreed

    @torch.no_grad()
    def average_gradients(self, model: nn.Module, size: int) -> None:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_ones(1)])
        flat *= size
        self.sum(flat)
        scatter(flat[:-1] / flat[-1], gradients)

    def sum(self, tensor: Tensor) -> None:
        with self.connection():
            dist.all_reduce(tensor)

    def announce(self, message: Any) -> None:
        if self.share.number == 0:
            self.exchange(message)

    def exchange(self, message: Any = None) -> Any:
        """Return the message of the first process; the others give none."""
        box = [message]
        with self.connection():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    @torch.no_grad()
    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Make these tensors those of the first process; they have the same shapes and types in all of them."""
        for _, group in groupby(tensors, key=lambda tensor: (tensor.device, tensor.dtype)):
            alike = list(group)
            flat = torch.cat([tensor.flatten() for tensor in alike])
            with self.connection():
                dist.broadcast(flat, src=0)
            scatter(flat, alike)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Inside, what PyTorch raises when another process has gone becomes :class:`ProcessesLost`.

        From then on nothing more is sent, since the others would take it for something else.
        """
        if not self.connected:
            raise ProcessesLost(LOST)
        self.connected = False
        try:
            yield
        except RuntimeError as error:
            raise ProcessesLost(LOST) from error
        self.connected = True

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Inside, the processes are in step with each other; one that leaves with an exception has lost the others."""
        try:
            yield
        except BaseException:
            self.connected = False
            raise


LOST = "Another process of this training has ended. The same command goes on from the last checkpoint."


def scatter(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy the stretches of a vector to tensors, whatever their memory format."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


def processes() -> Alone:
    """Return those that train together with this one."""
    return connections()[0] if connections() else Alone()


def check_shares(hparams: TrainingHparams, data: TrainingData) -> None:
    """Raise ``UsageError`` if several processes cannot train together on these batches, or with this BatchNorm.

    An epoch's last batch must have two images for each process, since BatchNorm may find no variance in one.
    """
    count = processes().share.of
    if count == 1:
        return
    if hparams.batchnorm_statistics == "synchronized" and data.device.type != "cuda":
        raise UsageError(
            "--batchnorm_statistics=synchronized: PyTorch synchronizes BatchNorm between processes on CUDA only, and "
            f"the device is {data.device.type}; valid here: local"
        )
    last = data.sizes["train"] % data.batch_size or data.batch_size
    if last < 2 * count:
        raise UsageError(
            f"--batch_size={data.batch_size}: an epoch's last batch has {last} of the {data.sizes['train']} training "
            f"images, too few for {count} processes; choose another, or fewer processes"
        )


def synchronized(model: nn.Module) -> nn.Module:
    """Return a network on the same parameters and buffers whose BatchNorm takes its statistics from the whole batch."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model, shared))
    return made.train()  # the network itself is what is evaluated


@functools.cache
def connections() -> list[Together]:
    """Return this process's connection to the others, if it has one: it has but one."""
    return []


@contextmanager
def connected() -> Iterator[Together]:
    """Inside, the processes that ``torchrun`` has started are connected. At the end the first one dismisses the others.

    It does not where it has lost them, or leaves in the middle of a step: then the connection just ends.

    Raises:
        UsageError: a program of somebody else's has connected them already.
    """
    if dist.is_initialized():
        raise UsageError("torch.distributed is initialized already; leave that out: AdSynFlow connects the processes")
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(own_gpu() % torch.cuda.device_count())
    store, number, of = next(dist.rendezvous("env://", timeout=TO_CONNECT))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=of, timeout=PATIENCE)
    ours = Together(own_share())
    connections().append(ours)
    try:
        yield ours
    finally:
        connections().clear()
        if ours.connected:
            ours.announce(None)
        dist.destroy_process_group()
