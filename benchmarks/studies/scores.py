"""Every score on MNIST, at initialization and after an epoch, in five replicates."""

from typing import Any

from benchmarks.studies.study import Part, Study

TRAINING: dict[str, Any] = {
    "model": "mnist_lenet_300_100", "dataset": "mnist", "training_steps": "10ep", "optimizer": "momentum",
    "lr": 0.05, "lr_schedule": "cosine", "do_not_augment": True,
}  # fmt: skip
SHARED: dict[str, Any] = {**TRAINING, "density": [0.1, 0.05, 0.02, 0.01], "replicate": [*range(1, 6)]}
SCORES = {
    "SynFlow": "synflow", "magnitude": "magnitude", "PX": "px", "AdSynFlow's score": "adsynflow", "random": "random",
    "random, ERK": "random_erk", "SNIP": "snip", "GraSP": "grasp", "SynFlow-L2": "synflow_l2", "ProsPr": "prospr",
    "NTK-SAP": "ntk_sap", "FORCE": "force", "iterative SNIP": "iterative_snip",
}  # fmt: skip
ADSYNFLOW = "AdSynFlow's score at k"


def study() -> Study:
    """A part for each score and step, the most telling first."""
    at_once = {"pruning_strategy": "sparse_global", "k": 1}
    methods: list[tuple[str, dict[str, Any]]] = [
        *((f"{title} at {name}", {"pruning_strategy": score, "k": k})
          for title, score in SCORES.items() for name, k in (("k", 1), ("initialization", 0))),
        ("magnitude at k, ERK densities of layers", {"pruning_strategy": "magnitude", "pruning_scope": "erk", "k": 1}),
    ]  # fmt: skip
    return Study(
        name="mnist-scores", summary="every score at initialization and at k, LeNet-300-100 on MNIST, n = 5",
        about="LeNet-300-100 on MNIST, 10 epochs, momentum, cosine schedule from lr 0.05, batch 128, no augmentation; "
        "k = 1 epoch. Settings of each score are its authors', none was searched here.",
        training=TRAINING, reference=ADSYNFLOW,
        drawn=("full network", ADSYNFLOW, "SynFlow at initialization", "PX at k", "magnitude at k", "SNIP at k",
               "random, ERK at k", "magnitude at the end, on the weights of k"),
        parts=(
            Part(title="full network", command="train", flags={**TRAINING, "replicate": SHARED["replicate"]}),
            Part(title="magnitude at the end, on the weights of k", command="lottery", flags={**SHARED, **at_once}),
            *(Part(title=title, command="lottery", flags={**SHARED, **flags}) for title, flags in methods),
        ),
    )  # fmt: skip
