"""Training steps of compact networks against those of the masked ones, in one process, in turns."""

import copy
from typing import Any

from benchmarks.measuring import Row, Settings, alternate, make_state, ratio, synthetic_data

CASES = (
    ("cifar_resnet_20", 0.1, "1.2x"),
    ("cifar_resnet_20", 0.03, "1.25x"),
    ("cifar_resnet_20", 0.01, "2x"),
    ("cifar_vgg_16", 0.01, "3x"),
)


def measure(settings: Settings) -> list[Row]:
    """Networks at initialization, pruned by SynFlow in 100 iterations."""
    data = synthetic_data(settings.pick(512, 64), settings.pick(128, 32))
    cases = settings.pick(CASES, [("cifar_resnet_8", 0.01, "")])
    return [compare(model, density, aim, data, settings) for model, density, aim in cases]


def compare(model: str, density: float, aim: str, data: Any, settings: Settings) -> Row:
    """The row of one network and density."""
    from training.loop import step

    masked, hparams = make_state(model, data)
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
    what = f"{model} at {density:.0%}: {weights['c']:,} of {weights['']:,} parameters"
    return Row(what, f"{ratio(seconds['masked'], seconds['compact'])} ({1000 * seconds['masked']:.0f} ms masked)", aim)


def synflow_mask(state: Any, density: float, data: Any, iterations: int) -> Any:
    """What SynFlow keeps."""
    import torch

    from pruning import PruningHparams, prune, strategies

    generator = torch.Generator().manual_seed(0)
    batches = data.pruning_batches(1, data.batch_size, generator)
    hparams = PruningHparams(pruning_iterations=iterations)
    return prune(strategies.get("synflow")(), state.model, batches, hparams, density, generator)
