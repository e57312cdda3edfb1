"""A training step of open_lth (github.com/facebookresearch/open_lth) and of this framework, side by side.

OPEN_LTH names a checkout of it; none is part of this project. It is measured in a copy with the two lines changed
without which it does not start on today's Python and NumPy.
"""

import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import CHECKOUT, Row, Settings, alternate_in_children, ratio

IMAGES = 2048
REPAIRS = {
    "models/base.py": ("class Model(abc.ABC, torch.nn.Module)", "class Model(torch.nn.Module, abc.ABC)"),
    "training/optimizers.py": ("np.product", "np.prod"),
}


def measure(settings: Settings) -> list[Row]:
    """End to end: images as the data set holds them to updated weights, each in processes that take turns."""
    checkout = os.environ.get("OPEN_LTH", "")
    if not Path(checkout, "open_lth.py").is_file():
        return [Row("open_lth", "OPEN_LTH names no checkout of it")]
    steps = settings.pick(30, 2)
    with tempfile.TemporaryDirectory() as folder:
        copy = repaired(Path(checkout), Path(folder, "open_lth"))
        cases: dict[str, tuple[object, ...]] = {
            "theirs": ("open_lth", copy, steps),
            **{kind: ("cpu_training", kind, steps) for kind in precisions()},
        }
        found = alternate_in_children(cases, settings.pick(3, 1), settings)
    theirs = found["theirs"][0]
    rows = [Row("open_lth, ms a step", f"{1000 * theirs:.0f}")]
    for kind in precisions():
        ours = found[kind][0]
        rows.append(Row(f"this framework, {kind}, ms a step", f"{1000 * ours:.0f}"))
        rows.append(Row(f"faster than open_lth, {kind}", ratio(theirs, ours), "2.3x" if kind == "bf16" else "1.6x"))
    return rows


def precisions() -> list[str]:
    """fp32, and bf16 where the CPU has it."""
    import torch

    return ["fp32", "bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["fp32"]


def repaired(checkout: Path, copy: Path) -> Path:
    """A copy of open_lth that starts."""
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    for name, (wrong, right) in REPAIRS.items():
        file = copy / name
        file.write_text(file.read_text().replace(wrong, right))
    return copy


def load_torchvision() -> object:
    """Imports torchvision as this project does, and then forgets the packages of ours whose names are theirs too.

    What it returns keeps the operators declared that torchvision asks for.
    """
    from training.data.torchvision_import import import_torchvision

    import_torchvision()
    for name in [name for name in sys.modules if (copied := CHECKOUT / name.partition(".")[0]).is_dir()]:
        if copied.name != "benchmarks":
            del sys.modules[name]
    return import_torchvision


def seconds_per_step(copy: Path, steps: int) -> float:
    """The median over ``steps`` steps of open_lth's own loop, loader and augmentation, with its recipe."""
    import numpy as np

    kept = load_torchvision()
    sys.path.insert(0, str(copy))
    import platforms.local
    import platforms.platform
    from datasets import cifar10
    from torchvision import transforms

    from models import registry
    from training import train

    platforms.platform._PLATFORM = platforms.local.Platform()
    random = np.random.RandomState(0)
    augment = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)]
    pixels = random.randint(256, size=(IMAGES, 32, 32, 3), dtype=np.uint8)
    data = cifar10.Dataset(pixels, random.randint(10, size=IMAGES), augment)
    loader = cifar10.DataLoader(data, batch_size=128, num_workers=0)
    hparams: Any = registry.get_default_hparams("cifar_resnet_20")
    hparams.training_hparams.training_steps = f"{steps + 2}it"
    starts: list[float] = []

    def note(*_: object) -> None:
        starts.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        train.train(hparams.training_hparams, registry.get(hparams.model_hparams), loader, folder, [note])
    del kept
    return median(after - before for before, after in itertools.pairwise(starts[2:]))


if __name__ == "__main__":
    print(json.dumps([seconds_per_step(Path(sys.argv[1]), int(sys.argv[2]))]))
