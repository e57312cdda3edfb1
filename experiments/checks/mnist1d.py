"""MNIST-1D: lottery tickets in minutes on one core."""

import io
import random
from pathlib import Path
from typing import ClassVar

import numpy as np

from experiments.checks.registry import Check, Claim, Protocol, Run, checks, minus, percent
from foundations.errors import UsageError
from foundations.store import Store

FILE = "mnist1d.npz"
LEVEL = 11  # 0.8 ** 11 = 8.6% kept


@checks.register("mnist1d_lottery")
class Mnist1dLottery(Check):
    """MNIST-1D: a sparse ticket generalizes better than the full network and than a random one.

    The notebook's masks cover biases as well, ours never do. A random network gains by that: in a bare PyTorch loop at
    8.6% it came to 69.9% (n = 3), and with its biases masked too to 63.2%. So the last claim is not expected to hold.
    """

    datasets: ClassVar[tuple[str, ...]] = (f"arrays:{FILE}",)

    def protocol(self, size: str, dataset: str) -> Protocol:
        # Both sizes are the same: it takes minutes.
        flags = {
            "model": "mlp1d_500", "dataset": dataset, "optimizer": "adam", "lr": 2e-2, "batch_size": 100,
            "training_steps": "1501it", "milestone_steps": [()], "weight_decay": 0.0, "model_init": "kaiming_uniform",
            "replicate": range(1, 4), "k": 0,
        }  # fmt: skip
        random_flags = {"pruning_strategy": "random", "pruning_scope": "layer", "density": 0.8**LEVEL, "levels": 1}
        dense = percent("tickets", "test_accuracy", level=0)
        ticket = percent("tickets", "test_accuracy", level=LEVEL)
        by_chance = percent("random", "test_accuracy", level=1)
        return Protocol(
            runs={
                "tickets": Run("lottery", {**flags, "pruning_strategy": "sparse_layerwise", "levels": (0, LEVEL)}),
                "random": Run("lottery", {**flags, **random_flags}),
            },
            claims=[
                Claim("full network, accuracy (%)", dense, 65.6, 4.0),
                Claim("8% kept, ticket minus full network (points)", minus(ticket, dense), 9.4, 5.0),
                Claim("8% kept, ticket minus random (points)", minus(ticket, by_chance), 13.8, 6.0),
            ],
            source="greydanus/mnist1d, notebook on lottery tickets: last accuracies at 0% and 92% sparsity (n = 2; "
            "a ticket chosen on the test set, 100 rounds of pruning instead of 11)",
        )

    def prepare(self, data_dir: Path) -> None:
        if not (data_dir / FILE).exists():
            write_mnist1d(data_dir / FILE)


def write_mnist1d(file: Path) -> None:
    """Makes the data by the authors' package.

    Raises:
        UsageError: the package is not installed.
    """
    try:
        from mnist1d import data
    except ModuleNotFoundError as error:
        raise UsageError("MNIST-1D is made by a package that is not installed: pip install mnist1d") from error
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # it seeds both
    try:
        made = data.make_dataset(data.get_dataset_args())
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    content = io.BytesIO()
    np.savez(content, x_train=made["x"], y_train=made["y"], x_test=made["x_test"], y_test=made["y_test"])
    Store(file.parent).write_bytes(file.name, content.getvalue())
