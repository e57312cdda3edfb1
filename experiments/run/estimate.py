"""What a plan will take: its time by runs on this processor, or by a few timed steps; its disk by the networks' sizes.

A run tells about trainings with the same model, data set, batch size and arithmetic, if it was computed on the same
processor and device, with as many threads, in one attempt. Nothing is written.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from experiments.run.plan import Plan
from experiments.run.plan_progress import makespan
from experiments.run.tasks import ComparisonTask, OfAnalysis, OfLevel, Task, TrunkTask
from experiments.runs.directory import directories
from experiments.runs.naming import differences
from experiments.runs.rows import density_text, flat
from experiments.runs.status import DONE, read_status
from experiments.workspace import Workspace, train_of
from foundations import files
from foundations.environment import LATER, cpu, device_name
from foundations.recovery import MISREAD
from foundations.store import Store
from training.arithmetic import emulates_bf16
from training.hparams import TrainDesc
from training.loop import train

ALIKE = ("model", "dataset", "subsample_fraction", "batch_size", "precision", "compile")
"""Hyperparameters on which the time of a step depends most."""
TIMED = 10  # steps
OPTIMIZER_COPIES: Mapping[str, int] = {"sgd": 0, "adam": 2, "adamw": 2}  # of the weights; one of the others
Seconds = dict[Hashable, list[float]]


@dataclass(frozen=True)
class Estimate:
    """What the tasks of a plan will take.

    Args:
        seconds: of each task of which that is known.
        trainings: how many stored trainings it comes from; 0 if it comes from timed steps, or from nothing.
        size: bytes of networks, optimizer states and masks.
        bf16: time of a step in bfloat16 as a share of that in float32, of trainings of which both were timed.
    """

    seconds: Mapping[Task, float]
    trainings: int
    size: int
    bf16: Sequence[float]

    def on_the_clock(self, plan: Plan, jobs: int) -> float | None:
        """Return the seconds until all is done, so many tasks at once; None if that of some is not known."""
        whole = all(task in self.seconds for task in plan)
        return makespan(plan, plan.before, self.seconds.__getitem__, jobs) if whole else None


def estimate(plan: Plan, steps: Mapping[Task, int], session: Workspace, *, timed: bool = False) -> Estimate:
    """Return what the tasks of a plan will take on this machine.

    With ``timed`` ten steps are taken of each training, for those that no run tells about, and as many in bfloat16 of
    those in float32 where the processor has that. Masks and measurements, which come to little, take no time.
    """
    elsewhere = session.options.engine in ("slurm", "ray")
    threads = (session.entries_elsewhere() if elsewhere else session.entries())["threads"]
    of_steps, of_analyses = measured(session, threads)
    trainings = sum(len(of_steps[one]) for one in {likeness(trunk_of(task)) for task in plan})
    bf16: dict[Hashable, float] = {}
    for desc in {likeness(trunk_of(task)): trunk_of(task) for task in plan if steps[task] and timed}.values():
        own, device = timed_step(session, desc, threads), session.context.device
        of_steps[likeness(desc)] = of_steps[likeness(desc)] or [own]
        if desc.training.precision == "fp32" and device.type in ("cpu", "cuda") and not emulates_bf16(device):
            faster = replace(desc, training=replace(desc.training, precision="bf16"))
            bf16[likeness(desc)] = timed_step(session, faster, threads) / own
    found = {}
    for task in plan:
        known = (of_analyses if isinstance(task, ComparisonTask) else of_steps)[likeness(trunk_of(task))]
        if known:
            found[task] = median(known) * (1 if isinstance(task, ComparisonTask) else steps[task])
        elif not steps[task]:
            found[task] = 0.0
    return Estimate(found, trainings, sum(bytes_of(task, steps[task], session) for task in plan), [*bf16.values()])


def measured(session: Workspace, threads: int) -> tuple[Seconds, Seconds]:
    """Return the seconds of an optimizer step, and those of a comparison of children, by what trainings share."""
    of_steps: Seconds = defaultdict(list)
    of_analyses: Seconds = defaultdict(list)
    here = {"cpu": cpu(), "device": device_name(session.context.device), "threads": threads}
    for run in directories(session.context.root):
        with contextlib.suppress(*MISREAD):
            environment = run.store.read_json(files.ENVIRONMENT)
            if LATER in environment or not here.items() <= environment.items():
                continue
            alike = likeness(run.hyperparameters)
            for part in run.parts:
                if part.name != files.level(0):  # whose steps are the trunk's
                    of_steps[alike] += filter(None, map(second_of_step, (part.store, *part.children)))
                if part.marker == files.INSTABILITY and part.done and (status := read_status(part.store)):
                    of_analyses[alike].append(status.seconds)
    return of_steps, of_analyses


def second_of_step(store: Store) -> float | None:
    """Return the seconds of a step of the training in a directory, evaluation and saving included, if that is known."""
    status, rows = read_status(store), store.read_rows(files.METRICS)
    steps = rows[-1]["iteration"] - rows[0]["iteration"] if rows else 0
    known = status is not None and status.state == DONE and status.attempts == 1 and steps
    return status.seconds / steps if status is not None and known else None


def likeness(hyperparameters: TrainDesc | Mapping[str, Any]) -> Hashable:
    known = flat(hyperparameters.to_dict() if isinstance(hyperparameters, TrainDesc) else hyperparameters)
    return tuple(str(known.get(name)) for name in ALIKE)


def trunk_of(task: Any) -> TrainDesc:
    return train_of(task.desc) if hasattr(task, "desc") else trunk_of(task.of)


def timed_step(session: Workspace, desc: TrainDesc, threads: int) -> float:
    """Return the seconds of an optimizer step, the mean of ten; as many before them warm up."""
    trunk, device = session.trunk(desc, replicate=1), session.context.device
    state = trunk.fresh()
    first = min(trunk.start + TIMED, (trunk.start + trunk.end) // 2)
    until = min(first + TIMED, trunk.end)

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with session.computing():  # which restores the number of threads
        torch.set_num_threads(threads)
        train(state, trunk.data, desc.training, until=first)
        began = clock()
        train(state, trunk.data, desc.training, until=until)
        return (clock() - began) / max(until - first, 1)


def bytes_of(task: Task, steps: int, session: Workspace) -> int:
    """Return the bytes of networks, optimizer states and masks that a task leaves: every other file is small."""
    if not steps:
        return 0
    desc = trunk_of(task)
    trunk = session.trunk(desc, replicate=1)
    network: int = sum(tensor.nbytes for tensor in trunk.network(torch.Generator()).state_dict().values())
    state = network * (1 + OPTIMIZER_COPIES.get(desc.training.optimizer, 1))
    if not isinstance(task, TrunkTask):
        return network + state + network // 4  # result, checkpoint, and a mask of a byte for each weight
    to = trunk.iteration(task.to)
    saved = {step for step in trunk.grid() if to - steps < step < to} | {to}
    return network * (to - steps == trunk.start) + state * (1 + len(saved))


def names_of(tasks: Sequence[Task]) -> list[str]:
    """Return what people call each task; those that would be alike say in which hyperparameters they differ."""
    namesakes: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        namesakes[task.label].append(task)
    marks = {id(task): own for group in namesakes.values() for task, own in zip(group, differences(group), strict=True)}
    return [", ".join([task.label, *(density_of(task, mark) for mark in marks[id(task)])]) for task in tasks]


def density_of(task: Task, mark: str) -> str:
    """Return what is kept in the place of ``pruning_fraction = 0.9``; any other mark as it is."""
    if not mark.startswith("pruning_fraction = "):
        return mark
    if isinstance(task, OfLevel):
        return density_text(task.desc.density(task.level))
    return density_text(task.desc.density) if isinstance(task, OfAnalysis) else mark
