"""The names of everything that lies in a run's directory, each written down here and nowhere else.

    <root>/<kind>_<hash>/replicate_1/               desc, environment, network, lock; of a trunk also a training's
    .../level_1/                                    a level of a lottery run: a mask and what a training leaves
    .../level_1/<branch>_<hash>/                    a branch of a level: likewise
    .../k_30ep0it/                                  an instability analysis: a mask, children, comparison and verdict
    .../k_30ep0it/child_1/                          a child: what a training leaves
    any of these but replicate_1/ of lottery and stability: status and log of the last task that worked in it
    .../report/                                     tables and figures of one run; <root>/report/ of several
    <root>/plans/<host>_<process>_<thread>/         how far a command has come that is running
"""

import re

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
SPARSITY_REPORT = "sparsity_report.json"
"""What that mask keeps, by layer and in all."""
INTERPOLATION = "interpolation.csv"
"""Error and loss on the lines between children."""
INSTABILITY = "instability.json"
"""The verdict on them."""
STATUS = "status.json"
"""How the last task that worked in the directory goes, or how it ended and why."""
LOG = "log.txt"
"""What was said meanwhile, a line each, with its time."""
PLAN = "plan.json"
"""How many tasks of a command are done, running, failed and waiting."""
LOCK = ".lock"
"""Held by the process that works in the directory."""
LOCK_HOLDER = ".lock.held_by"
"""Which process that is, for people; there as long as it works."""
REPORT = "report"
"""The directory of tables and figures."""
PLANS = "plans"
"""The directory of the commands that are running."""
TRACKED = "tracked"
"""The directory of what trackers write."""

# Directories that are numbered, or named by a step, begin with these.
REPLICATE, LEVEL, ANALYSIS, CHILD = "replicate_", "level_", "k_", "child_"
FULL_NETWORK = "full_network"
"""The directory of the network that children from a checkpoint are compared with."""
ASIDE = ".aside_"
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""A file that is being written: ``.<name>.<eight characters>``, as ``tempfile.mkstemp`` makes it."""


def model(step: Step) -> str:
    """Weights and buffers of a network at ``step``."""
    return f"model_{step}.safetensors"


def optimizer(step: Step) -> str:
    """The optimizer's state at ``step``, and what else a training needs to go on from there."""
    return f"optimizer_{step}.pt"


def step_of_optimizer(name: str) -> Step | None:
    """The inverse of :func:`optimizer`; None for another file."""
    pattern = re.escape(optimizer(Step("7ep7it"))).replace("7ep7it", r"(\d+ep\d+it)")
    found = re.fullmatch(pattern, name)
    return Step(found[1]) if found else None


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


def is_temporary(name: str) -> bool:
    """Whether a file is one that is being written, or that a killed process has left."""
    return TEMPORARY.fullmatch(name) is not None
