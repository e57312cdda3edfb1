"""open_lth made to start: a corrected copy of a checkout, imported where our packages have the same names."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import CHECKOUT

REPAIRS = {
    "models/base.py": ("class Model(abc.ABC, torch.nn.Module)", "class Model(torch.nn.Module, abc.ABC)"),
    "training/optimizers.py": ("np.product", "np.prod"),
}


def repaired(checkout: Path, copy: Path) -> Path:
    """A copy of open_lth that starts."""
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    for name, (wrong, right) in REPAIRS.items():
        file = copy / name
        file.write_text(file.read_text().replace(wrong, right))
    return copy


def make_importable(copy: Path) -> object:
    """From here on ``models``, ``training`` and the like are open_lth's; torchvision is imported as this project does.

    What it returns keeps the operators declared that torchvision asks for.
    """
    from foundations.torchvision_import import import_torchvision

    import_torchvision()
    for name in [name for name in sys.modules if (copied := CHECKOUT / name.partition(".")[0]).is_dir()]:
        if copied.name != "benchmarks":
            del sys.modules[name]
    kept = import_torchvision()
    sys.path.insert(0, str(copy))
    return kept


def load_open_lth(copy: Path, name: str = "cifar_resnet_20") -> Callable[..., Any]:
    """``train_model(images, labels, training_steps, callbacks)`` gives a network that open_lth has trained.

    Images are (N, H, W, C) bytes, or (N, H, W) for LeNet; its default recipe for the model called ``name``, with
    milestones at a half and three quarters where it has any.
    """
    kept = make_importable(copy)
    import platforms.local
    import platforms.platform
    from datasets import cifar10, mnist
    from torchvision import transforms

    from models import registry
    from training import train

    platforms.platform._PLATFORM = platforms.local.Platform()

    def train_model(images: Any, labels: Any, training_steps: str, callbacks: Sequence[Any] = ()) -> Any:
        if name.startswith("mnist"):
            dataset: Any = mnist.Dataset(images, labels)
        else:
            dataset = cifar10.Dataset(images, labels, [transforms.RandomHorizontalFlip(), transforms.RandomCrop(32, 4)])
        loader = cifar10.DataLoader(dataset, batch_size=128, num_workers=0)
        hparams: Any = registry.get_default_hparams(name)
        hparams.training_hparams.training_steps = training_steps
        if training_steps.endswith("ep") and hparams.training_hparams.milestone_steps:
            epochs = int(training_steps.removesuffix("ep"))
            hparams.training_hparams.milestone_steps = f"{epochs // 2}ep,{3 * epochs // 4}ep"
        model = registry.get(hparams.model_hparams)
        with tempfile.TemporaryDirectory() as folder:
            train.train(hparams.training_hparams, model, loader, folder, list(callbacks))
        assert kept is not None
        return model

    return train_model
