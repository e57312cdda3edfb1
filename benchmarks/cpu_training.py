"""A training step on the CPU, data and augmentation included, against a plain loop."""

import json
import sys
import time
from statistics import median
from typing import Any

from benchmarks.measuring import Row, Settings, alternate_in_children, make_state, ratio, synthetic_data

IMAGES = 2048


def measure(settings: Settings) -> list[Row]:
    """Each loop runs in processes of its own, since the framework also sets up how a process holds memory."""
    import torch

    steps = settings.pick(12, 2)
    cases: dict[str, tuple[object, ...]] = {
        "plain": ("cpu_training", "plain", steps),
        "ours": ("cpu_training", "fp32", steps),
    }
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        cases["bf16"] = ("cpu_training", "bf16", steps)
    found = alternate_in_children(cases, settings.pick(3, 1), settings)
    (plain, _), (ours, shares, work, peak) = found["plain"], found["ours"]
    rows = [
        Row("plain loop, ms a step", f"{1000 * plain:.0f}"),
        Row("this framework, ms a step (images/s)", f"{1000 * ours:.0f} ({128 / ours:.0f})"),
        Row("faster than the plain loop", ratio(plain, ours), "1.6x"),
        *(Row(f"{part}, share of a step", f"{share / ours:.2%}", aim) for part, share, aim in shares),
        Row("a large matrix product, billion multiply-adds a second", f"{peak / 1e9:.0f}"),
        Row("a step's multiply-adds over its time, share of that", f"{work / ours / peak:.0%}", "100%"),
    ]
    if "bf16" in found:
        rows.append(Row("bf16, faster than the plain loop in fp32", ratio(plain, found["bf16"][0]), "2.3x"))
    return [*rows, *([] if "bf16" in found else [Row("bf16", "this CPU has none")])]


def plain_steps(steps: int) -> tuple[float, list[Any]]:
    """The loop that one writes first: images (N, C, H, W) in plain memory order, augmented one by one."""
    import torch
    import torch.nn.functional as F

    data = synthetic_data(IMAGES)
    images, labels = data.dataset.train.images.permute(0, 3, 1, 2).contiguous(), data.dataset.train.labels
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.dataset.mean, data.dataset.std))
    model = make_state("cifar_resnet_20", data)[0].model.to(memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def augmented(index: int) -> torch.Tensor:
        top, left, flip = (int(torch.randint(high, ())) for high in (9, 9, 2))
        image = F.pad(images[index], (4, 4, 4, 4))[:, top : top + 32, left : left + 32]
        return ((image.flip(2) if flip else image) / 255 - mean) / std

    def step(number: int) -> None:
        chosen = order[number * 128 : (number + 1) * 128]
        inputs = torch.stack([augmented(int(index)) for index in chosen])
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels[chosen]).backward()
        optimizer.step()

    order = torch.randperm(IMAGES)
    return timed(step, steps), []


def our_steps(steps: int, precision: str) -> tuple[float, list[Any], float, float]:
    """``training.loop``, with a mask; the parts of a step beside forward and backward; its multiply-adds; the peak."""
    import torch

    from foundations.processes import keep_freed_memory
    from pruning import Mask
    from training.loop import train

    keep_freed_memory()
    data = synthetic_data(IMAGES)
    state, hparams = make_state("cifar_resnet_20", data, precision=precision)
    state.prune(Mask({name: torch.rand(entry.shape) < 0.1 for name, entry in Mask.ones(state.model).items()}))
    seconds = timed(lambda number: train(state, data, hparams, until=state.iteration + 1), steps)
    batches = list(data.batches(state.noise.epoch(0), 0, data.iterations_per_epoch))
    parts = [
        ("data and augmentation", timed(lambda number: data.fetch(batches[number]), 12), "under 5%"),
        ("optimizer", timed(lambda number: state.optimizer.step(), 12), ""),
        ("mask", timed(lambda number: state.apply_mask(), 12), ""),
    ]
    return seconds, parts, 3 * 128 * multiply_adds(state.model, data.shape), peak()


def multiply_adds(model: Any, shape: Any) -> int:
    """Those of one image's forward pass; the backward pass has twice as many."""
    from pruning.weight_use import output_positions

    weights = dict(model.named_parameters())
    return sum(weights[name].numel() * count for name, count in output_positions(model, shape).items())


def peak(size: int = 2048) -> float:
    """Multiply-adds a second of a product of square float32 matrices: what the processor can do, measured."""
    import torch

    left, right = torch.rand(2, size, size)
    seconds = min(timed(lambda number: left @ right, 1, warm_up=1) for _ in range(10))
    return size**3 / seconds


def timed(step: Any, steps: int, warm_up: int = 2) -> float:
    """Seconds of a step, the median."""
    seconds = []
    for number in range(warm_up + steps):
        start = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - start)
    return median(seconds[warm_up:])


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    print(json.dumps(plain_steps(count) if kind == "plain" else our_steps(count, kind)))
