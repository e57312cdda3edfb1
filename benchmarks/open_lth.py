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
from collections.abc import Callable, Sequence
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
    import torch

    gpu, steps = torch.cuda.is_available(), settings.pick(15, 2)
    kinds = ["fp32", "bf16"] if gpu or torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["fp32"]
    module, amount = ("gpu_training", settings.pick(3, 1)) if gpu else ("cpu_training", steps)
    with tempfile.TemporaryDirectory() as folder:
        copy = repaired(Path(checkout), Path(folder, "open_lth"))
        cases: dict[str, tuple[object, ...]] = {
            "theirs": ("open_lth", copy, steps),
            **{kind: (module, kind, amount) for kind in kinds},
        }
        found = alternate_in_children(cases, settings.pick(2 if gpu else 7, 1), settings)
    theirs = found["theirs"][0]
    rows = [Row("open_lth, ms a step", f"{1000 * theirs:.1f}")]
    for kind in kinds:
        ours = found[kind][0]
        aim = "10x" if gpu else {"fp32": "1.6x", "bf16": "2.3x"}[kind]
        rows.append(Row(f"this framework, {kind}, ms a step", f"{1000 * ours:.1f}"))
        rows.append(Row(f"faster than open_lth, {kind}", ratio(theirs, ours), aim))
    return rows


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

    random = np.random.RandomState(0)
    images = random.randint(256, size=(IMAGES, 32, 32, 3), dtype=np.uint8)
    train_model = load_open_lth(copy)
    starts: list[float] = []
    train_model(images, random.randint(10, size=IMAGES), f"{steps + 2}it", [lambda *_: starts.append(now())])
    return median(after - before for before, after in itertools.pairwise(starts[2:]))


def now() -> float:
    """Seconds, when the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def load_open_lth(copy: Path) -> Callable[..., Any]:
    """``train_model(images, labels, training_steps, callbacks)`` gives a ResNet-20 that open_lth has trained.

    Images are (N, 32, 32, 3) bytes; its default recipe, with milestones at a half and three quarters.
    """
    kept = load_torchvision()
    sys.path.insert(0, str(copy))
    import platforms.local
    import platforms.platform
    from datasets import cifar10
    from torchvision import transforms

    from models import registry
    from training import train

    platforms.platform._PLATFORM = platforms.local.Platform()

    def train_model(images: Any, labels: Any, training_steps: str, callbacks: Sequence[Any] = ()) -> Any:
        augment = [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)]
        loader = cifar10.DataLoader(cifar10.Dataset(images, labels, augment), batch_size=128, num_workers=0)
        hparams: Any = registry.get_default_hparams("cifar_resnet_20")
        hparams.training_hparams.training_steps = training_steps
        if training_steps.endswith("ep"):
            epochs = int(training_steps.removesuffix("ep"))
            hparams.training_hparams.milestone_steps = f"{epochs // 2}ep,{3 * epochs // 4}ep"
        model = registry.get(hparams.model_hparams)
        with tempfile.TemporaryDirectory() as folder:
            train.train(hparams.training_hparams, model, loader, folder, list(callbacks))
        assert kept is not None
        return model

    return train_model


if __name__ == "__main__":
    print(json.dumps([seconds_per_step(Path(sys.argv[1]), int(sys.argv[2]))]))
