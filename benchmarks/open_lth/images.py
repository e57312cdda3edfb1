"""Noise in the shapes of CIFAR-10 and MNIST, as arrays and as MNIST's files."""

from pathlib import Path
from typing import Any

import numpy as np


def noise(model: str, count: int, seed: int = 0) -> tuple[Any, Any]:
    """Images, bytes (N, 32, 32, 3), or (N, 28, 28) for a model whose name begins with mnist, and labels (N,)."""
    random = np.random.RandomState(seed)
    size = (28, 28) if model.startswith("mnist") else (32, 32, 3)
    return random.randint(256, size=(count, *size), dtype=np.uint8), random.randint(10, size=count)


def write_mnist(folder: Path, train: int, test: int) -> None:
    """Files as torchvision reads them: below ``folder`` for this framework, below ``folder/mnist`` for open_lth."""
    for parent in (folder, folder / "mnist"):
        raw = parent / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for split, count in (("train", train), ("t10k", test)):
            images, labels = noise("mnist", count, seed=count)
            header = np.array([0x803, count, 28, 28], ">i4").tobytes()
            Path(raw, f"{split}-images-idx3-ubyte").write_bytes(header + images.tobytes())
            header = np.array([0x801, count], ">i4").tobytes()
            Path(raw, f"{split}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
