"""LeNet-300-100 on MNIST, and MNIST-1D: minutes on one or two cores."""

import io
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.checks.check import Check, Claim, Protocol, Run, checks, error, minus, percent, two_networks
from foundations.errors import needed
from foundations.steps import Step
from foundations.store import Store

MODEL = "mnist_lenet_300_100"
MNIST, FASHION = "mnist", "fashion_mnist"
STOPPED = "early_stopping_test_accuracy"
PLAIN: Mapping[str, Any] = {"model": MODEL, "do_not_augment": True}
"""As published for MNIST; Fashion-MNIST is cropped at random by default."""


@checks.register("lenet_imp")
class LenetIMP(Check):
    """LeNet-300-100, iterative magnitude pruning: tickets reach the full network's accuracy."""

    datasets: ClassVar[tuple[str, ...]] = (MNIST, FASHION)

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        last, early, late = 20 if full else 15, 7, 15
        flags = {
            **PLAIN, "dataset": dataset, "recipe": "lottery_ticket", "replicate": range(1, 6 if full else 4),
            **({} if full else {"training_steps": "5000it"}),
        }  # fmt: skip
        dense = percent("imp", STOPPED, level=0)
        ticket = {level: percent("imp", STOPPED, level=level) for level in (early, late, last)}
        reinitialized = {level: percent("reinitialized", STOPPED, level=level) for level in (early, late)}
        claims = [
            Claim("full network, accuracy at early stopping (%)", dense, 98.05, 0.3),
            Claim("21.1% kept, accuracy at early stopping (%)", ticket[early], 98.33, 0.3),
            Claim("21.1% kept minus full network (points)", minus(ticket[early], dense), 0.28, 0.25),
            Claim("21.1% kept minus reinitialized (points)", minus(ticket[early], reinitialized[early]), 0.388, 0.3),
            Claim("3.58% kept, accuracy at early stopping (%)", ticket[late], 98.16, 0.3),
            Claim("3.58% kept minus reinitialized (points)", minus(ticket[late], reinitialized[late]), 1.07, 0.5),
        ]
        if full:
            claims.append(Claim("1.19% kept, accuracy at early stopping (%)", ticket[last], 96.98, 0.5))
        published = Protocol(
            runs={
                "imp": Run("lottery", {**flags, "levels": tuple(range(last + 1))}),
                "reinitialized": Run("lottery_branch", {**flags, "levels": (early, late)}, "randomly_reinitialize"),
            },
            claims=claims,
            source="kowshikgunda71/repro-lottery-ticket, CROSS_SEED_REPORT_N5.md (MNIST, 50,000 iterations, n = 5), "
            "after Frankle & Carbin 2019, arXiv 1803.03635",
            evaluate_every=Step("100it"),
        )  # fmt: skip
        return on(dataset, size, published, LENET_IMP)


@checks.register("snip_lenet")
class SnipLenet(Check):
    """LeNet-300-100, SNIP at initialization: the error at 95% and 98% sparsity.

    The authors' public code, with the paper's schedule, comes to 1.91% and 3.06% itself (docs/results.md), so that the
    last claim at the size "full" is not expected to hold. A tenth of the steps costs 0.3 and 0.6 points.
    """

    datasets: ClassVar[tuple[str, ...]] = (MNIST, FASHION)

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        shorter = {"training_steps": "7500it", "milestone_steps": [("2500it", "5000it")]}
        flags = {
            **PLAIN, "dataset": dataset, "recipe": "snip", "replicate": range(1, 4), "levels": (0, 1),
            **({} if full else shorter),
        }  # fmt: skip
        by_chance = {**flags, "density": 0.05, "pruning_strategy": "random", "levels": 1}
        accuracy = {run: percent(run, "test_accuracy", level=1, density=0.05) for run in ("snip", "random")}
        published = Protocol(
            runs={"snip": Run("lottery", {**flags, "density": [0.05, 0.02]}), "random": Run("lottery", by_chance)},
            claims=[
                Claim("5% kept, SNIP minus random, accuracy (points)", minus(accuracy["snip"], accuracy["random"]),
                      1.2, 0.8, "at least"),
                Claim("full network, error (%)", error(percent("snip", "test_accuracy", level=0)), 1.7, 0.3),
                Claim("5% kept, error (%)", error(percent("snip", "test_accuracy", level=1, density=0.05)), 1.6, 0.3),
                Claim("2% kept, error (%)", error(percent("snip", "test_accuracy", level=1, density=0.02)), 2.4, 0.4),
            ],
            source="Lee et al. 2019, arXiv 1810.02340, table 1 (MNIST, n = 20)",
        )
        return on(dataset, size, published, SNIP_LENET)


@checks.register("lmc_lenet")
class LmcLenet(Check):
    """LeNet-300-100: stable to SGD noise at initialization."""

    datasets: ClassVar[tuple[str, ...]] = (MNIST, FASHION)

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        flags = {
            **PLAIN, "dataset": dataset, "recipe": "linear_mode_connectivity", "replicate": range(1, 4),
            "pruning_strategy": "none", "k": 0, "report": False,
            **({"children": 3} if full else {"training_steps": "2400it", "children": 2}),
        }  # fmt: skip
        barrier = percent("stability", "test_error_barrier_raw")
        published = Protocol(
            runs={"stability": Run("stability", flags)},
            claims=[
                Claim("error barrier at k = 0 (points)", barrier, 0.0, 2.0, "at most"),
                *two_networks("stability", learned=97.5 if dataset == MNIST else 87.0, tolerance=1.0),
            ],
            source="Frankle et al. 2020, arXiv 1912.05671, section 3: below 2 points on MNIST",
        )
        return on(dataset, size, published, {})


# At the size "small", and on Fashion-MNIST, nothing is published: our own runs ------------------------------------

Record = Mapping[str, tuple[float, float]]
"""What a check came to when it was run: the mean of a claim, by its name, and the tolerance."""

LENET_IMP: Mapping[str, Record] = {
    MNIST: {"full network, accuracy at early stopping (%)": (97.91, 0.4),
            "21.1% kept, accuracy at early stopping (%)": (98.24, 0.3),
            "3.58% kept, accuracy at early stopping (%)": (98.07, 0.3)},
}  # fmt: skip
SNIP_LENET: Mapping[str, Record] = {
    MNIST: {"full network, error (%)": (1.63, 0.3), "5% kept, error (%)": (2.35, 0.3),
            "2% kept, error (%)": (3.64, 0.5)},
}  # fmt: skip


def on(dataset: str, size: str, published: Protocol, records: Mapping[str, Record]) -> Protocol:
    """Return the protocol on a data set; at the size "small" with our record in the place of what is published."""
    if size == "full":
        return published if dataset == MNIST else replace(published, source=f"{published.source}; not of this data set")
    record = records.get(dataset, {})
    claims = [claim for published_claim in published.claims if (claim := at_small(published_claim, record)) is not None]
    return replace(published, claims=claims)


def at_small(claim: Claim, record: Record) -> Claim | None:
    """What is claimed of a short training: our own number, if there is one; of a difference that it is there, and no
    less than published but for its tolerance; of an accuracy nothing.
    """
    if claim.what in record:
        theirs, tolerance = record[claim.what]
        return replace(claim, what=f"{claim.what}, our own run", theirs=theirs, tolerance=tolerance)
    if claim.side != "within":
        return claim
    return replace(claim, side="at least") if " minus " in claim.what else None


FILE = "mnist1d.npz"
LEVEL = 11  # 0.8 ** 11 = 8.6% kept


@checks.register("mnist1d_lottery")
class Mnist1dLottery(Check):
    """MNIST-1D: a sparse ticket generalizes better than the full network and than a random one.

    The notebook's masks cover biases as well, ours never do. A random network gains by that: in a bare PyTorch loop at
    8.6% it came to 68.8% (n = 2), and with its biases masked too to 63.3%. So the last difference need not be as large
    as published, but it must be there.
    """

    datasets: ClassVar[tuple[str, ...]] = (f"arrays:{FILE}",)

    def protocol(self, size: str, dataset: str) -> Protocol:
        # Both sizes are the same: it takes minutes.
        flags = {
            "model": "mlp1d_500", "dataset": dataset, "optimizer": "adam", "lr": 2e-2, "batch_size": 100,
            "training_steps": "1501it", "milestone_steps": [()], "weight_decay": 0.0, "model_init": "own",
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
                Claim("8% kept, ticket minus random (points)", minus(ticket, by_chance), 13.8, 11.0,
                      "at least"),
            ],
            source="greydanus/mnist1d, notebook on lottery tickets: last accuracies at 0% and 92% sparsity (n = 2; "
            "a ticket chosen on the test set, 100 rounds of pruning instead of 11)",
        )

    def prepare(self, data_dir: Path) -> None:
        if not (data_dir / FILE).exists():
            write_mnist1d(data_dir / FILE)


def write_mnist1d(file: Path) -> None:
    """Make the data by the authors' package; ``UsageError`` if that is not installed."""
    data = needed("mnist1d.data", "Making MNIST-1D", "mnist1d")
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # it seeds both
    try:
        made = data.make_dataset(data.get_dataset_args())
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
    content = io.BytesIO()
    np.savez(content, x_train=made["x"], y_train=made["y"], x_test=made["x_test"], y_test=made["y_test"])
    Store(file.parent).write_bytes(file.name, content.getvalue())
