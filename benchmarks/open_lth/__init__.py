"""open_lth (github.com/facebookresearch/open_lth) and this framework side by side: training steps and an experiment.

OPEN_LTH names a checkout of it; none is part of this project. It is measured in a copy with the two lines changed
without which it does not start on today's Python and NumPy.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import Row, Settings, alternate_in_children, ratio
from benchmarks.open_lth.checkout import repaired
from benchmarks.open_lth.images import write_mnist

AIMS = {"cifar_resnet_20": "1.6x", "cifar_vgg_16": "", "mnist_lenet_300_100": "15x"}
BARE_AIMS = {"mnist_lenet_300_100": "at most 1.3x"}


def measure(settings: Settings) -> list[Row]:
    """End to end: images as the data set holds them to updated weights, each in processes that take turns."""
    checkout = os.environ.get("OPEN_LTH", "")
    if not Path(checkout, "open_lth.py").is_file():
        return [Row("open_lth", "OPEN_LTH names no checkout of it")]
    import torch

    with tempfile.TemporaryDirectory() as folder:
        copy = repaired(Path(checkout), Path(folder, "open_lth"))
        if torch.cuda.is_available():
            return gpu_rows(copy, settings)
        rows = [row for model in AIMS for row in step_rows(model, copy, settings)]
        return rows + experiment_rows(copy, Path(folder, "images"), settings)


def gpu_rows(copy: Path, settings: Settings) -> list[Row]:
    """ResNet-20 only: the time of ``gpu.sh`` is short."""
    found = alternate_in_children(
        {
            "theirs": ("open_lth.steps", "theirs", "cifar_resnet_20", settings.pick(15, 2), copy),
            **{kind: ("gpu_training", kind, settings.pick(3, 1)) for kind in ("fp32", "bf16")},
        },
        settings.pick(2, 1), settings,
    )  # fmt: skip
    seconds = {name: values[0] for name, values in found.items()}
    return [
        Row("cifar_resnet_20, open_lth, ms a step", f"{1000 * seconds['theirs']:.1f}"),
        *(against(seconds, kind, f"cifar_resnet_20, {kind}", "10x") for kind in ("fp32", "bf16")),
    ]


def step_rows(model: str, copy: Path, settings: Settings) -> list[Row]:
    """A step of one model: theirs, ours, and one in bare PyTorch whose batches lie ready."""
    steps = settings.pick({"cifar_resnet_20": 15, "cifar_vgg_16": 7}.get(model, 200), 2)
    sides = ("theirs", "ours", "bare")
    cases = {side: ("open_lth.steps", side, model, steps, copy) for side in sides}
    found = alternate_in_children(cases, settings.pick(7 if model == "cifar_resnet_20" else 5, 1), settings)
    return [
        Row(f"{model}, ms a step: {', '.join(sides)}", ", ".join(f"{1000 * found[side]:.2f}" for side in sides)),
        against(found, "ours", model, AIMS[model]),
        Row(f"{model}, ours over a bare step", ratio(found["ours"], found["bare"]), BARE_AIMS.get(model, "")),
    ]


def experiment_rows(copy: Path, images: Path, settings: Settings) -> list[Row]:
    """Start of the command to the last result: iterative magnitude pruning of LeNet, 3 levels of 2 epochs."""
    write_mnist(images, 60_000, 10_000)  # open_lth counts on just so many
    steps = settings.pick("2ep", "2it")
    cases = {side: ("open_lth.experiment", side, steps, images, copy) for side in ("theirs", "ours")}
    found = alternate_in_children(cases, settings.pick(3, 1), settings)
    return [
        Row(f"3 levels of LeNet, {steps} each, s: theirs, ours", f"{found['theirs']:.1f}, {found['ours']:.1f}"),
        against(found, "ours", "3 levels of LeNet"),
    ]


def against(seconds: Mapping[str, float], ours: str, what: str, aim: str = "") -> Row:
    """How many times faster ours is."""
    return Row(f"{what}: faster than open_lth", ratio(seconds["theirs"], seconds[ours]), aim)
