"""100 iterations of SynFlow: the framework's in float64 against a plain float32 loop; memory in bytes a parameter."""

import json
import sys
import time
from statistics import median
from typing import Any

from benchmarks.compaction import synflow_mask
from benchmarks.measuring import Row, Settings, in_child, make_state, peak_memory, ratio, synthetic_data


def measure(settings: Settings) -> list[Row]:
    """ResNet-20 for time; VGG-16, whose activations for the one image are small, for memory."""
    iterations = settings.pick(100, 5)
    rounds = [
        [in_child("pruning", kind, iterations, settings=settings) for kind in ("plain", "ours")]
        for _ in range(settings.pick(3, 1))
    ]
    plain, ours = (median(column) for column in zip(*rounds, strict=True))
    memory = in_child("pruning", "memory", settings.pick(20, 2), settings=settings)
    return [
        Row(f"{iterations} iterations on ResNet-20: plain float32 loop, seconds", f"{plain:.2f}"),
        Row(f"{iterations} iterations on ResNet-20: this framework, float64, seconds", f"{ours:.2f}"),
        Row("faster than the plain float32 loop", ratio(plain, ours), "1x"),
        Row("VGG-16: peak memory beside the network, bytes a parameter", f"{memory:.0f}", "at most 40"),
    ]


def plain_seconds(iterations: int) -> float:
    """Algorithm 1 of Tanaka et al. 2020 as one writes it down, in float32."""
    import torch

    from pruning import prunable

    data = synthetic_data(128)
    model = make_state("cifar_resnet_20", data)[0].model.eval()
    weights = prunable(model)
    masks = {name: torch.ones_like(weight) for name, weight in weights.items()}
    total = sum(weight.numel() for weight in weights.values())
    start = time.perf_counter()
    for iteration in range(1, iterations + 1):
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name])
            for tensor in model.state_dict().values():
                tensor.abs_()
        model.zero_grad()
        model(torch.ones(1, 3, 32, 32)).sum().backward()
        scores = {name: (torch.as_tensor(weight.grad) * weight).detach().abs() for name, weight in weights.items()}
        model.load_state_dict(state)
        pruned = total - round(total * 0.1 ** (iteration / iterations))
        threshold = torch.cat([score.flatten() for score in scores.values()]).kthvalue(pruned).values
        masks = {name: (score > threshold).float() for name, score in scores.items()}
    return time.perf_counter() - start


def our_seconds(iterations: int) -> float:
    """The same with ``pruning.prune``."""
    data = synthetic_data(128)
    state = make_state("cifar_resnet_20", data)[0]
    start = time.perf_counter()
    synflow_mask(state, 0.1, data, iterations)
    return time.perf_counter() - start


def memory_per_parameter(iterations: int) -> float:
    """By how much pruning raises the peak."""
    data = synthetic_data(128)
    state = make_state("cifar_vgg_16", data)[0]
    synflow_mask(make_state("cifar_resnet_8", data)[0], 0.1, data, 1)  # what PyTorch sets up at its first use
    before = peak_memory()
    synflow_mask(state, 0.01, data, iterations)
    parameters: int = sum(parameter.numel() for parameter in state.model.parameters())
    return (peak_memory() - before) / parameters


if __name__ == "__main__":
    kinds: dict[str, Any] = {"plain": plain_seconds, "ours": our_seconds, "memory": memory_per_parameter}
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
