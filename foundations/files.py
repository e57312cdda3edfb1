"""The names of everything that lies in a run's directory, each written down here and nowhere else.

    <root>/<kind>_<hash>/replicate_1/               desc, environment, network, lock; of a trunk also a training's
    .../level_1/                                    a level of a lottery run: a mask and what a training leaves
    .../level_1/<branch>_<hash>/                    a branch of a level: likewise
    .../k_30ep0it/                                  an instability analysis: a mask, children, comparison and verdict
    .../k_30ep0it/child_1/                          a child: what a training leaves
    .../<criterion>_<hash>/, .../masks/             what a criterion for k has found, and masks that it has drawn
    any of these but replicate_1/ of lottery and stability: status and log of the last task that worked in it
    .../report/                                     tables and figures of one run; <root>/report/ of several
    <root>/plans/<host>_<process>_<thread>/         how far a command has come that is running
    <root>/slurm/<digest of a task>/                a task's job in a Slurm cluster; slurm/logs/ its output
"""

import itertools
import re
from pathlib import Path

from foundations.steps import Step

DESC = "desc.json"
"""What the run's result depends on."""
ENVIRONMENT = "environment.json"
"""What it was computed with."""
COPY = ".copy"
ENVIRONMENT_COPY = f"{ENVIRONMENT}{COPY}"
"""The same again, since it cannot be recomputed."""
NETWORK = "network.json"
"""What its networks are: architecture, shape of the images, names of the classes, normalization."""
DONE = "done.json"
"""Its result; the marker that it has ended."""
METRICS = "metrics.jsonl"
"""A line for each epoch of a training."""
CHECKPOINT = "checkpoint.safetensors"
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
PLANE = "plane.csv"
"""Error and loss on the plane through the start and two children."""
PLANE_PLACES = "plane_places.csv"
"""Where networks lie on that plane."""
GROWING = (INTERPOLATION, PLANE, PLANE_PLACES)
"""Tables of a run whose rows come and go, so that each has a checksum of its own."""
INSTABILITY = "instability.json"
"""The verdict on them."""
CURVE = "curve.json"
"""What a criterion for k has seen along the dense training, and where it says to prune."""
SEARCH = "search.json"
"""Which k a criterion has found, and what that cost."""
MEASUREMENTS = "measurements.json"
"""Numbers that were measured afterwards, by --measure."""
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
MASKS = "masks"
"""The directory of the masks that a criterion for k has drawn along the dense training."""
REPORT = "report"
"""The directory of tables and figures."""
PLANS = "plans"
"""The directory of the commands that are running."""
JOB = "job.json"
"""The job of Slurm that a task was given to."""
ANSWER = "answer.json"
"""How far that job says it is, or how it has ended."""
SLURM, LOGS = "slurm", "logs"
"""The directory of such jobs, and within it that of their scripts and output."""
TRACKED = "tracked"
"""The directory of what trackers write."""

# Directories that are numbered, or named by a step, begin with these.
REPLICATE, LEVEL, ANALYSIS, CHILD, CYCLE = "replicate_", "level_", "k_", "child_", "cycle_"
FULL_NETWORK = "full_network"
"""The directory of the network that children from a checkpoint are compared with."""
ASIDE = ".aside_"
PUT_ASIDE = re.compile(rf".+{re.escape(ASIDE)}\d+")
TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}")
"""The names of files that are being written, and of those that a killed writer has left."""
RUN_NAME, REPLICATE_NAME = re.compile(r".+_[0-9a-f]{12}"), re.compile(rf"{REPLICATE}\d+")


STEP = r"\d+ep\d+it"
NAMES = {
    DESC, ENVIRONMENT, ENVIRONMENT_COPY, NETWORK, DONE, METRICS, CHECKPOINT, MASK, FIRST_MASK, MASK_UPDATES,
    SPARSITY_REPORT, *GROWING, INSTABILITY, CURVE, SEARCH, MEASUREMENTS, STATUS, LOG, PLAN, LOCK, LOCK_HOLDER, JOB,
    ANSWER,
}  # fmt: skip
AT_A_STEP, SHOWN = re.compile(rf"(model|optimizer|mask)_{STEP}\.safetensors"), re.compile(r".+\.(csv|svg|png|pdf|tex)")
"""Files with the number of a step in their name, and those of reports."""
NAMED_MODEL = re.compile(rf"(\.\./\.\./\.\./[^/]+/{REPLICATE}\d+/)?model_{STEP}\.safetensors")
"""A network beside the file that names it, or in the trunk's directory."""


def is_of_training(directory: str) -> bool:
    """Return whether the directory of this name is that of a trunk, level or child, in which a network is trained."""
    return bool(re.fullmatch(rf"({REPLICATE}|{LEVEL}|{CHILD}|{CYCLE})\d+|{FULL_NETWORK}", directory))


def model(step: Step) -> str:
    """Return the file of a network's parameters and buffers at ``step``."""
    return f"model_{step}.safetensors"


def optimizer(step: Step) -> str:
    """Return the optimizer's state at ``step``, and what else a training needs to go on from there."""
    return f"optimizer_{step}.safetensors"


def step_of_optimizer(name: str) -> Step | None:
    """Return the inverse of :func:`optimizer`; None for another file."""
    match = re.fullmatch(rf"optimizer_({STEP})\.safetensors", name)
    return Step(match[1]) if match else None


def is_state(name: str) -> bool:
    """Return whether a file of this name is a checkpoint or an optimizer's state."""
    return name == CHECKPOINT or name.startswith("optimizer_")


def identity(path: Path) -> str | None:
    """Return whose file it is: its path from the run's directory ``<kind>_<hash>`` on; None outside of runs.

    It stays the same when a root is moved or a directory put aside. The second copy of a file is the same file.
    """
    parts = [part.partition(ASIDE)[0] for part in path.parts]
    runs = [n for n in range(1, len(parts)) if REPLICATE_NAME.fullmatch(parts[n]) and RUN_NAME.fullmatch(parts[n - 1])]
    if not runs:
        return None
    return "/".join(parts[runs[-1] - 1 :]).removesuffix(COPY)


def replicate(number: int) -> str:
    return f"{REPLICATE}{number}"


def level(number: int) -> str:
    return f"{LEVEL}{number}"


def analysis(k: Step) -> str:
    return f"{ANALYSIS}{k}"


def mask_at(step: Step) -> str:
    """Return what a strategy would keep at ``step``, in the directory of such masks."""
    return f"mask_{step}.safetensors"


def child(number: int) -> str:
    return f"{CHILD}{number}"


def cycle(number: int) -> str:
    return f"{CYCLE}{number}"


def free_aside(path: Path) -> Path:
    """Return where a path is renamed to when it is put aside: with the smallest number that is free."""
    taken = (path.with_name(f"{path.name}{ASIDE}{number}") for number in itertools.count(1))
    return next(place for place in taken if not place.exists())


def is_aside(name: str) -> bool:
    return bool(PUT_ASIDE.fullmatch(name))


def temporary_target(name: str) -> str | None:
    """Return what a temporary file of this name was to become; None for another file."""
    match = TEMPORARY.fullmatch(name)
    return match[1] if match else None


def is_left_over(path: Path) -> bool:
    """Return whether only a process that was killed, or one that is at work, has such a file."""
    target = temporary_target(path.name)
    return path.name == LOCK_HOLDER or (target is not None and is_own(path.with_name(target)))


def is_own(path: Path) -> bool:
    """Return whether this program gives files of a run (or of its report, plan or job) this name."""
    name = (temporary_target(path.name) or path.name).partition(ASIDE)[0]
    return name in NAMES or bool(AT_A_STEP.fullmatch(name)) or (REPORT in path.parts and bool(SHOWN.fullmatch(name)))
