"""Training steps of compact networks against those of the masked ones, in one process, in turns."""

import copy
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, Settings, alternate, make_state, ratio, synthetic_data

CASES = (
    ("cifar_resnet_20", "synflow", 0.1, "1.2x"),
    ("cifar_resnet_20", "synflow", 0.03, "1.25x"),
    ("cifar_resnet_20", "synflow", 0.01, "2x"),
    ("cifar_vgg_16", "synflow", 0.01, "3x"),
    ("cifar_resnet_20", "srigl", 0.1, ""),
    ("cifar_resnet_20", "srigl", 0.05, ""),
    ("cifar_resnet_20", "srigl", 0.01, ""),
)
UPDATES, APART, GAMMA_SAL = 20, 6, 0.9
"""Of SRigL's mask, the steps between two of them, and the share of the fan-in below which neurons are ablated."""


def measure(settings: Settings) -> list[Row]:
    """Networks at initialization, pruned by SynFlow in 100 iterations; and by SRigL on the bundled digits."""
    data = synthetic_data(settings.pick(512, 64), settings.pick(128, 32))
    cases = settings.pick(CASES, [("cifar_resnet_8", name, 0.01, "") for name in ("synflow", "srigl")])
    return [compare(*case, data, settings) for case in cases]


def compare(model: str, strategy: str, density: float, aim: str, data: Any, settings: Settings) -> Row:
    """The row of one network and density."""
    from training.loop import step

    masked, hparams = make_state(model, data)
    if strategy == "srigl":
        masked.prune(srigl_mask(model, density, settings.pick(UPDATES, 2)))
    else:
        masked.prune(synflow_mask(masked, density, data, settings.pick(100, 5)))
    small = copy.deepcopy(masked)
    small.prune(masked.mask)  # the copy's own
    small.compact(hparams)
    for state in (masked, small):
        state.model.train()
    batches = list(data.batches(masked.noise.epoch(0), 0, 1))
    seconds = alternate(
        {
            "masked": lambda: step(masked, batches, hparams, data),
            "compact": lambda: step(small, batches, hparams, data),
        },
        settings.pick(7, 1),
        warm_up=2,
    )
    weights = {name: sum(p.numel() for p in state.model.parameters()) for name, state in [("", masked), ("c", small)]}
    what = f"{model}, {strategy} {density:.0%}: {weights['c']:,} of {weights['']:,} parameters"
    return Row(what, f"{ratio(seconds['masked'], seconds['compact'])} ({1000 * seconds['masked']:.0f} ms masked)", aim)


def srigl_mask(model: str, density: float, updates: int) -> Any:
    """What SRigL comes to on the digits, as images of three channels."""
    import torch

    from foundations.reporting import Reporter
    from pruning import PruningHparams, UpdateProgress, prune, strategies
    from training.data import DataHparams, Dataset, DeviceData, load
    from training.loop import train
    from training.mask_updates import next_gradients

    about = DataHparams(dataset="digits", batch_size=64)
    digits = load(about, Path(), Reporter())
    splits = [(part.images.expand(-1, -1, -1, 3), part.labels) for part in (digits.train, digits.test)]
    colored = Dataset.from_arrays(*splits[0], *splits[1], crop_padding=0, flip=False)
    data = DeviceData(colored, about, torch.device("cpu"))
    state, hparams = make_state(model, data)
    srigl, generator = strategies.get("srigl")(gamma_sal=GAMMA_SAL), torch.Generator().manual_seed(0)
    pruning = PruningHparams()
    state.prune(prune(srigl, state.model, density=density, generator=generator))
    for number in range(1, updates + 1):
        train(state, data, hparams, until=number * APART)
        moment = UpdateProgress(number / updates, density, pruning)
        gradients = next_gradients(state, hparams, data)
        state.set_mask(srigl.update(state.model, state.mask, gradients, generator, moment))
    return state.mask


def synflow_mask(state: Any, density: float, data: Any, iterations: int) -> Any:
    """What SynFlow keeps."""
    import torch

    from pruning import PruningHparams, prune, strategies

    generator = torch.Generator().manual_seed(0)
    batches = data.pruning_batches(1, data.batch_size, generator)
    hparams = PruningHparams(pruning_iterations=iterations)
    return prune(strategies.get("synflow")(), state.model, batches, hparams, density, generator)
