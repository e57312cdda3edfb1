"""Two runs side by side: in what they were asked for, computed with, and in what came of them."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from experiments.runs.rows import leaves
from experiments.runs.stored import StoredRun
from foundations import files
from foundations.environment import environments
from foundations.errors import UsageError
from foundations.store import Store

SECTIONS = ("hyperparameters", "versions", "machine", "data", "plug-ins", "results", "weights", "masks")
HYPERPARAMETERS, VERSIONS, MACHINE, DATA, PLUGINS, RESULTS, WEIGHTS, MASKS = SECTIONS
ELSEWHERE = (VERSIONS, MACHINE)
"""Sections that say where a run was computed: they may differ in runs that are equal."""
SECTION_OF = {"python": VERSIONS, "packages": VERSIONS, "cuda": VERSIONS, "cudnn": VERSIONS, "commit": VERSIONS,
              "data_fingerprint": DATA, "plugins": PLUGINS}  # fmt: skip
"""Of entries of environment.json; the others say what the machine is."""
NO_RESULT = {"path", "command", "seconds"}


@dataclass(frozen=True)
class Difference:
    """An entry or file, in one of :data:`SECTIONS`, in which two runs differ; None in the run that lacks it."""

    section: str
    name: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Distance:
    """How far apart two tensors of one name are."""

    file: str
    """Within the run's directory."""
    tensor: str
    max_abs: float
    """The largest absolute difference of two entries."""
    relative_l2: float
    """||right - left|| / ||left||, infinite for a left that is zero."""


@dataclass(frozen=True)
class Overlap:
    """How many weights two masks of one name keep: each of them, and both."""

    file: str
    left: int
    right: int
    both: int

    @property
    def jaccard(self) -> float:
        """Weights kept by both, of those kept by either; 1 for two masks that keep nothing."""
        either = self.left + self.right - self.both
        return self.both / either if either else 1.0


@dataclass(frozen=True)
class RunDifference:
    """What :func:`compare` has found."""

    differences: list[Difference]
    """Entries and files that differ, or that one of the runs lacks."""
    distances: list[Distance]
    """Of the tensors that differ."""
    overlaps: list[Overlap]
    """Of the masks that differ."""
    equal_files: list[str]
    """Files of weights and masks that are the same in both."""

    @property
    def equal(self) -> bool:
        """Whether both were asked for the same on the same data and came to the same bits, wherever that was."""
        found = [difference for difference in self.differences if difference.section not in ELSEWHERE]
        return not (found or self.distances or self.overlaps)

    def entries(self) -> dict[str, Any]:
        overlaps = [{**asdict(overlap), "jaccard": overlap.jaccard} for overlap in self.overlaps]
        return {"equal": self.equal, **asdict(self), "overlaps": overlaps}


def compare(left: StoredRun, right: StoredRun) -> RunDifference:
    """Compare two runs of one kind; raise ``UsageError`` if they are of two kinds, or a file is damaged."""
    if left.kind != right.kind:
        raise UsageError(f"{left.path} is a {left.kind} run, {right.path} a {right.kind} run; give two of one kind")
    found = RunDifference([*entries_that_differ(left, right), *rows_that_differ(left, right)], [], [], [])
    ours, theirs = tensor_files(left), tensor_files(right)
    for name in sorted(ours | theirs):
        if name not in ours or name not in theirs:
            found.differences.append(Difference(section_of(name), name, *(
                "there" if name in those else None for those in (ours, theirs)
            )))  # fmt: skip
        elif differing := tensors_that_differ(name, left, right):
            for one in differing:
                into: dict[type, list[Any]] = {
                    Difference: found.differences, Distance: found.distances, Overlap: found.overlaps,
                }  # fmt: skip
                into[type(one)].append(one)
        else:
            found.equal_files.append(name)
    return found


# Entries ---------------------------------------------------------------------------------------------------------


def entries_that_differ(left: StoredRun, right: StoredRun) -> Iterator[Difference]:
    ours, theirs = described(left), described(right)
    for section, name in dict.fromkeys([*ours, *theirs]):
        values = ours.get((section, name)), theirs.get((section, name))
        if values[0] != values[1]:
            yield Difference(section, name, *values)


def described(run: StoredRun) -> dict[tuple[str, str], Any]:
    """Return hyperparameters, results and environments by section and name; nested entries have names with dots."""
    found: dict[tuple[str, str], Any] = {(HYPERPARAMETERS, "replicate"): run.replicate, (RESULTS, "state"): run.state}
    found |= {(HYPERPARAMETERS, ".".join(names)): value for names, value in leaves(run.hyperparameters)}
    found |= {(RESULTS, ".".join(names)): value for names, value in leaves(run.result) if names[-1] not in NO_RESULT}
    if not run.store.has(files.ENVIRONMENT):
        return found
    for number, environment in enumerate(environments(run.store.read_json(files.ENVIRONMENT))):
        later = f" (later, {number})" if number else ""
        for names, value in leaves(environment):
            if names[0] not in NO_RESULT and (len(names) == 1 or names[-1] not in ("file", "commit")):
                found[SECTION_OF.get(names[0], MACHINE), f"{'.'.join(names)}{later}"] = value
    return found


def rows_that_differ(left: StoredRun, right: StoredRun) -> Iterator[Difference]:
    """Yield the first difference between the metrics of each training."""
    ours, theirs = (set(below(run, files.METRICS)) for run in (left, right))
    for name in sorted(ours | theirs):
        rows = [run.store.sub(str(Path(name).parent)).read_rows(files.METRICS) for run in (left, right)]
        differing = [pair for pair in zip(*rows, strict=False) if pair[0] != pair[1]]
        if differing:
            one, other = differing[0]
            column = next(column for column in (*one, *other) if one.get(column) != other.get(column))
            yield Difference(RESULTS, f"{name}, first at {one['step']}: {column}", one.get(column), other.get(column))
        elif len(rows[0]) != len(rows[1]):
            yield Difference(RESULTS, f"{name}, rows", *map(len, rows))


def below(run: StoredRun, pattern: str) -> Iterator[str]:
    """Yield the files below a run's directory by a pattern, nothing that was put aside."""
    for path in run.path.rglob(pattern):
        if not any(map(files.is_aside, path.relative_to(run.path).parts)):
            yield path.relative_to(run.path).as_posix()


# Tensors ---------------------------------------------------------------------------------------------------------


def tensor_files(run: StoredRun) -> set[str]:
    return {name for name in below(run, "*.safetensors") if is_mask(name) or Path(name).name.startswith("model_")}


def is_mask(name: str) -> bool:
    return Path(name).name in (files.MASK, files.FIRST_MASK)


def section_of(name: str) -> str:
    return MASKS if is_mask(name) else WEIGHTS


def tensors_that_differ(name: str, left: StoredRun, right: StoredRun) -> list[Difference | Distance | Overlap]:
    """Return in what a file differs that both runs have."""
    ours, theirs = (Store((run.path / name).parent).read_tensors(Path(name).name) for run in (left, right))
    found: list[Difference | Distance | Overlap] = []
    for tensor in dict.fromkeys([*ours, *theirs]):
        shapes = [list(those[tensor].shape) if tensor in those else None for those in (ours, theirs)]
        if shapes[0] != shapes[1]:
            found.append(Difference(section_of(name), f"{name}: {tensor}", *shapes))
    shared = [tensor for tensor in ours if tensor in theirs and ours[tensor].shape == theirs[tensor].shape]
    if not is_mask(name):
        differing = [tensor for tensor in shared if not same(ours[tensor], theirs[tensor])]
        return [*found, *(Distance(name, tensor, *apart(ours[tensor], theirs[tensor])) for tensor in differing)]
    kept, theirs_kept = (sum(int(those[tensor].sum()) for tensor in shared) for those in (ours, theirs))
    both = sum(int((ours[tensor].bool() & theirs[tensor].bool()).sum()) for tensor in shared)
    return found if kept == theirs_kept == both else [*found, Overlap(name, kept, theirs_kept, both)]


def same(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors have the same entries; NaN is NaN."""
    return left.dtype == right.dtype and left.allclose(right, rtol=0, atol=0, equal_nan=True)


def apart(left: Tensor, right: Tensor) -> tuple[float, float]:
    """Return the largest absolute difference, and ||right - left|| / ||left||, in double precision."""
    difference, length = right.double() - left.double(), float(left.double().norm())
    distance = float(difference.norm())
    return float(difference.abs().max()), distance / length if length else math.inf
