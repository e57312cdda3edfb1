"""The names of everything that lies in a run's directory, each written down here and nowhere else.

    <root>/<kind>_<hash>/replicate_1/               desc, environment, network, lock; of a trunk also a training's
    .../level_1/                                    a level of a lottery run: a mask and what a training leaves
    .../level_1/<branch>_<hash>/                    a branch of a level: likewise
    .../k_30ep0it/                                  an instability analysis: a mask, children, comparison and verdict
    .../k_30ep0it/child_1/                          a child: what a training leaves
    .../report/                                     tables and figures of one run; <root>/report/ of several
"""

from foundations.steps import Step

DESC = "desc.json"
"""What the run's result depends on."""
ENVIRONMENT = "environment.json"
"""What it was computed with."""
ENVIRONMENT_COPY = "environment.json.copy"
"""The same again, since it cannot be recomputed."""
NETWORK = "network.json"
"""What its networks are: architecture, shape of the images, names of the classes, normalization."""
DONE = "done.json"
"""Its result; the marker that it has ended."""
METRICS = "metrics.jsonl"
"""A line for each epoch of a training."""
CHECKPOINT = "checkpoint.pt"
"""The whole state of a training that may be interrupted."""
MASK = "mask.safetensors"
"""Which weights a subnetwork has."""
FIRST_MASK = "first_mask.safetensors"
"""The mask that a training began with, where masks change in training; the other one is then that of its end."""
MASK_UPDATES = "mask_updates.jsonl"
"""A line for each update of such a mask."""
SPARSITY_REPORT = "sparsity_report.json"
"""What that mask keeps, by layer and in all."""
INTERPOLATION = "interpolation.csv"
"""Error and loss on the lines between children."""
INSTABILITY = "instability.json"
"""The verdict on them."""
LOCK = ".lock"
"""Held by the process that works in the directory."""
LOCK_HOLDER = ".lock.held_by"
"""Who that is, for people."""
REPORT = "report"
"""The directory of tables and figures."""

# Directories that are numbered, or named by a step, begin with these.
REPLICATE, LEVEL, ANALYSIS, CHILD = "replicate_", "level_", "k_", "child_"
FULL_NETWORK = "full_network"
"""The directory of the network that children from a checkpoint are compared with."""
ASIDE = ".aside_"


def model(step: Step) -> str:
    """Weights and buffers of a network at ``step``."""
    return f"model_{step}.safetensors"


def optimizer(step: Step) -> str:
    """The optimizer's state at ``step``, and what else a training needs to go on from there."""
    return f"optimizer_{step}.pt"


def replicate(number: int) -> str:
    """The directory of a replicate, within that of its experiment."""
    return f"{REPLICATE}{number}"


def level(number: int) -> str:
    """The directory of a level of a lottery run."""
    return f"{LEVEL}{number}"


def analysis(k: Step) -> str:
    """The directory of an instability analysis from ``k`` on."""
    return f"{ANALYSIS}{k}"


def child(number: int) -> str:
    """The directory of one of its children."""
    return f"{CHILD}{number}"


def aside(name: str, number: int) -> str:
    """What a directory is renamed to when it is put aside."""
    return f"{name}{ASIDE}{number}"


def is_aside(name: str) -> bool:
    """Whether a directory has been put aside."""
    return ASIDE in name
