"""All strategies on Fashion-MNIST (all 70,000 images), and ways to retrain after iterative magnitude pruning."""

from collections.abc import Mapping
from typing import Any

from benchmarks.studies.study import Part, Study

TRAINING: dict[str, Any] = {
    "model": "mnist_lenet_300_100", "dataset": "fashion_mnist", "training_steps": "10ep", "optimizer": "momentum",
    "lr": 0.05, "lr_schedule": "cosine", "do_not_augment": True,
}  # fmt: skip
REPLICATES = {"replicate": [1, 2, 3]}
DENSITIES = [0.1, 0.05, 0.02, 0.01]
AT_INITIALIZATION = {
    "SynFlow": "synflow", "AdSynFlow's score": "adsynflow", "SNIP": "snip", "iterative SNIP": "iterative_snip",
    "FORCE": "force", "GraSP": "grasp", "magnitude": "magnitude", "random": "random", "random, ERK": "random_erk",
}  # fmt: skip
AT_K = {"AdSynFlow": "adsynflow", "SNIP at k": "snip", "magnitude at k": "magnitude", "random at k": "random"}
CHANGING = {"GMP": "gmp", "SET": "set", "RigL": "rigl", "static (ERK)": "static"}
RETRAINING = {
    "weights rewound to k": "rewind_weights", "learning rate rewound to k": "rewind_lr", "fine-tuned": "finetune",
}  # fmt: skip

REMARKS = (
    "On this MLP AdSynFlow's score, fed with the average image, ends below SynFlow's own, fed with ones, at every "
    "density: by 0.6 to 0.9 points at 10%, whether it prunes at k or at initialization. At 1% RigL and SET are "
    "2.5 to 3 points above the static mask that they start from, and GMP 4; uniformly random masks fail there. "
    "The fine-tuned rows are no fair picture of fine-tuning: it goes on at the last learning rate, which the "
    "cosine schedule has brought to nearly 0. From 25% of the weights on down, rewinding the weights is ahead of "
    "rewinding the learning rate, by 0.1 to 0.9 points; on larger networks Renda et al. 2020 find the reverse."
)


def study() -> Study:
    """The parts, strategies first."""
    strategies = [
        *((title, {"pruning_strategy": name, "k": 0}) for title, name in AT_INITIALIZATION.items()),
        *((title, {"pruning_strategy": name, "k": 1}) for title, name in AT_K.items()),
        *((title, {"pruning_strategy": name, "k": 0}) for title, name in CHANGING.items()),
    ]
    iterative: dict[str, Any] = {"pruning_strategy": "sparse_global", "density": 0.01, "levels": [*range(11)], "k": 1}
    return Study(
        name="fashion-mnist", summary="all strategies, LeNet-300-100 on Fashion-MNIST: about 90 minutes on one core",
        about="LeNet-300-100 on Fashion-MNIST (all 70,000 images), 10 epochs, momentum, cosine schedule from lr 0.05, "
        "batch 128, no augmentation; k = 1 epoch. IMP prunes 36.9% of the weights a level.",
        remarks=REMARKS, training=TRAINING, reference="SynFlow",
        drawn=("full network", "SynFlow", "SNIP", "random, ERK", "RigL", "GMP", "IMP, learning rate rewound to k"),
        parts=(
            Part(title="full network", command="train", flags={**TRAINING, **REPLICATES}),
            *(part(title, {"density": DENSITIES, **flags}) for title, flags in strategies),
            *(part(f"IMP, {title}", {**iterative, "retrain": name}) for title, name in RETRAINING.items()),
        ),
    )  # fmt: skip


def part(title: str, flags: Mapping[str, Any]) -> Part:
    """A method in three replicates."""
    return Part(title=title, command="lottery", flags={**TRAINING, **REPLICATES, **flags})
