"""ResNet-20 and VGG-16 on CIFAR-10: for a GPU; small they show the same on a fifth of the images, in hours of a CPU."""

from itertools import combinations
from typing import Any, ClassVar

from experiments.checks.check import Check, Claim, Protocol, Run, apart, checks, column, minus, percent, two_networks

ON_CIFAR = ("cifar10",)


@checks.register("lmc_resnet20")
class LmcResnet20(Check):
    """ResNet-20: unstable to SGD noise at initialization, stable from 2,000 iterations on."""

    datasets: ClassVar[tuple[str, ...]] = ON_CIFAR

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        late = "2000it" if full else "2ep"
        shorter: dict[str, Any] = {"training_steps": "15ep", "milestone_steps": [("8ep", "12ep")], "lr": 0.05}
        flags = {
            "model": "cifar_resnet_20", "dataset": dataset, "recipe": "linear_mode_connectivity", "report": False,
            "pruning_strategy": "none",
            **({"replicate": range(1, 4), "children": 3} if full else {**shorter, "subsample_fraction": 0.2}),
        }  # fmt: skip
        runs = {f"k = {k}": Run("stability", {**flags, "k": k}) for k in (0, late)}
        barriers = {k: percent(f"k = {k}", "test_error_barrier_raw") for k in (0, late)}
        return Protocol(
            runs=runs,
            claims=[
                Claim("error barrier at k = 0 (points)", barriers[0], 80.0 if full else 54.0, 30.0, "at least"),
                Claim(f"error barrier at k = {late} (points)", barriers[late], 0.0, 2.0, "at most"),
                *two_networks(f"k = {late}", learned=91.7 if full else 60.0, tolerance=3.0 if full else 10.0),
            ],
            source="Frankle et al. 2020, arXiv 1912.05671, section 3: at chance level at k = 0, below 2 points at "
            "2,000 iterations",
        )


@checks.register("renda_resnet20")
class RendaResnet20(Check):
    """ResNet-20: iterative magnitude pruning with weights or learning rate rewound, or fine-tuned."""

    datasets: ClassVar[tuple[str, ...]] = ON_CIFAR

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        last = 10 if full else 3
        shorter: dict[str, Any] = {
            "training_steps": "18ep", "milestone_steps": [("9ep", "13ep")], "k": 1, "subsample_fraction": 0.2,
        }  # fmt: skip
        flags = {
            "model": "cifar_resnet_20", "dataset": dataset, "recipe": "renda", "levels": tuple(range(last + 1)),
            **({"replicate": range(1, 4)} if full else shorter),
        }  # fmt: skip
        ways = ("rewind_weights", "rewind_lr", "finetune")
        runs = {way: Run("lottery", {**flags, "retrain": way}) for way in ways}
        accuracy = {way: percent(way, "test_accuracy", level=last) for way in ways}
        loss = {way: column(way, "test_loss", level=last) for way in ways}
        differ = [
            Claim(f"{one} and {other}, test losses apart (nats)", apart(loss[one], loss[other]), 0.0, 0.0, "above")
            for one, other in combinations(ways, 2)
        ]
        source = "lottery-ticket/rewinding-iclr20-public (n = 3), the code of Renda et al. 2020, arXiv 2003.02389"
        if not full:
            return Protocol(
                runs=runs,
                claims=[
                    *(Claim(f"51.2% kept, {way} minus finetune (points)", minus(accuracy[way], accuracy["finetune"]),
                            theirs, 0.5, "at least")
                      for way, theirs in (("rewind_weights", 0.51), ("rewind_lr", 0.87))),
                    *differ,
                ],
                source=source,
            )  # fmt: skip
        dense = Claim("full network, accuracy (%)", percent(ways[0], "test_accuracy", level=0), 91.71, 0.5)
        theirs = {7: (91.74, 91.90, 90.36), 10: (90.96, 91.04, 89.07)}
        return Protocol(
            runs=runs,
            claims=[
                dense,
                *(
                    Claim(f"{100 * 0.8**level:.1f}% kept, {way}, accuracy (%)",
                          percent(way, "test_accuracy", level=level), value, 0.5)
                    for level, values in theirs.items()
                    for way, value in zip(ways, values, strict=True)
                ),
                *differ,
            ],
            source=source,
        )  # fmt: skip


@checks.register("synflow_vgg16")
class SynflowVgg16(Check):
    """VGG-16: SynFlow and random pruning at initialization."""

    datasets: ClassVar[tuple[str, ...]] = ON_CIFAR

    def protocol(self, size: str, dataset: str) -> Protocol:
        full = size == "full"
        densities = (0.1, 0.0316, 0.01) if full else (0.01,)
        shorter: dict[str, Any] = {
            "training_steps": "16ep", "milestone_steps": [("6ep", "12ep")], "subsample_fraction": 0.2,
        }  # fmt: skip
        flags = {
            "model": "cifar_vgg_16", "dataset": dataset, "recipe": "synflow", "density": list(densities),
            "levels": (0, 1), **({"replicate": range(1, 4)} if full else shorter),
        }  # fmt: skip
        runs = {name: Run("lottery", {**flags, "pruning_strategy": name}) for name in ("synflow", "random")}
        source = "ganguli-lab/Synaptic-Flow, Results/data (n = 3), after Tanaka et al. 2020, arXiv 2006.05467"
        if not full:
            at = {name: percent(name, "test_accuracy", level=1) for name in runs}
            difference = Claim("1% kept, synflow minus random (points)", minus(at["synflow"], at["random"]),
                               11.0, 8.0, "at least")  # fmt: skip
            return Protocol(runs=runs, claims=[difference], source=source)
        theirs = {"synflow": (93.3, 92.1, 90.1), "random": (91.1, 87.5, 79.1)}
        return Protocol(
            runs=runs,
            claims=[
                Claim("full network, accuracy (%)", percent("synflow", "test_accuracy", level=0), 93.5, 0.5),
                *(
                    Claim(f"{100 * density:.3g}% kept, {name}, accuracy (%)",
                          percent(name, "test_accuracy", level=1, density=density), value,
                          0.5 if name == "synflow" else 1.0)
                    for name, values in theirs.items()
                    for density, value in zip(densities, values, strict=True)
                ),
            ],
            source=source,
        )  # fmt: skip
