"""``python -m benchmarks.open_lth.steps theirs|ours|bare <model> <steps> <copy>``: seconds of a training step."""

import itertools
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import make_state
from benchmarks.open_lth.checkout import load_open_lth
from benchmarks.open_lth.images import noise

IMAGES = {"mnist_lenet_300_100": 12_800}
"""Of others 2048: a step of theirs takes as long as twenty of LeNet's."""


def theirs(model: str, steps: int, copy: Path) -> float:
    """The median over ``steps`` steps of open_lth's own loop, loader and augmentation, with its recipe."""
    train_model = load_open_lth(copy, model)
    images, labels = noise(model, IMAGES.get(model, 2048))
    if model.startswith("mnist"):  # torchvision hands MNIST out as tensors
        import torch

        images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    starts: list[float] = []
    train_model(images, labels, f"{steps + 2}it", [lambda *_: starts.append(now())])
    return median(after - before for before, after in itertools.pairwise(starts[2:]))


def ours(model: str, steps: int, copy: Path) -> float:
    """The median over segments of a tenth of ``steps``, with the draws of each epoch's plan."""
    from foundations.processes import keep_freed_memory
    from training.loop import train

    keep_freed_memory()
    data, state, hparams = set_up(model)
    piece = max(1, steps // 10)
    seconds = []
    for _ in range(12):
        start = now()
        train(state, data, hparams, until=state.iteration + piece)
        seconds.append((now() - start) / piece)
    return median(seconds[2:])


def bare(model: str, steps: int, copy: Path) -> float:
    """The least that PyTorch does in a step: forward, backward, optimizer, on one batch that lies ready."""
    import torch.nn.functional as F

    from training.optimizers import make_optimizer

    data, state, hparams = set_up(model)
    inputs, labels = data.fetch(next(data.batches(state.noise.epoch(0), 0, 1)))
    network, optimizer = state.model.train(), make_optimizer(hparams, state.model)
    seconds = []
    for _ in range(steps + 2):
        start = now()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
        seconds.append(now() - start)
    return median(seconds[2:])


def set_up(model: str) -> tuple[Any, Any, Any]:
    """The data, a fresh state and the hyperparameters, as open_lth's recipe has them."""
    import torch

    from training.data import DataHparams, Dataset, DeviceData

    images, labels = map(torch.from_numpy, noise(model, IMAGES.get(model, 2048)))
    images = images.unsqueeze(3) if images.dim() == 3 else images
    padding = 0 if model.startswith("mnist") else 4
    classes = [str(label) for label in range(10)]
    dataset = Dataset.from_arrays(
        images, labels, images[:128], labels[:128], classes, crop_padding=padding, flip=padding > 0
    )
    data = DeviceData(dataset, DataHparams(dataset="noise", batch_size=128), torch.device("cpu"))
    return data, *make_state(model, data, recipe="open_lth")


def now() -> float:
    """Seconds, when the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    side = {"theirs": theirs, "ours": ours, "bare": bare}[sys.argv[1]]
    print(json.dumps(side(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))))
