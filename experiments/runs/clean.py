"""Find what no run needs any more, and remove it while no process works there.

Only files with names that this program gives, in directories of its own runs, plans and reports, are touched. Links are
neither followed nor removed. A run that ``verify`` does not find whole keeps everything, and so does a trunk that such
a run depends on; a run that cannot be read may depend on any trunk.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from experiments.runs.directory import RunDirectory, kind_of
from experiments.runs.stored import StoredRun, runs
from experiments.runs.verify import is_whole
from foundations import files
from foundations.disk import hold_all, left_over
from foundations.environment import ASKED, asks_for_trunk
from foundations.recovery import MISREAD
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store

CHECKPOINTS, TRUNKS, TEMPORARY, ASIDE, PLANS = (
    "checkpoint of a finished training", "trunk that no run needs", "temporary file of a killed process",
    "put aside", "plan of a command that has ended",
)  # fmt: skip


@dataclass(frozen=True)
class Superfluous:
    """A file or directory that no run needs."""

    path: Path
    why: str
    """One of the reasons above."""
    locks: tuple[Path, ...] = ()
    """Directories none of which another process may hold while it is removed."""

    @cached_property
    def size(self) -> int:
        inner = (Path(folder, name) for folder, _, names in os.walk(self.path) for name in names)
        return sum(map(size_of, [self.path] if self.path.is_file() else inner))


def size_of(path: Path) -> int:
    """Return the size of a file; 0 if its process has removed it meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def superfluous(root: Path, reporter: Reporter) -> list[Superfluous]:
    """Return all that can go, by reason and path; warn of what cannot although no run needs it.

    A finished training keeps its network, its metrics and, as a trunk, all states that it saved: another k, or another
    strategy, starts from them.
    """
    if not root.is_dir():
        return []
    known = Known(runs(root))
    found = [*ended_plans(root), *temporary_files(root)]
    for run in known.own:
        candidates = [*put_aside(run), *checkpoints(run), *trunk(run, known)]
        if candidates and (reason := known.reason_to_keep(run)):
            if run.kind != "train" or not known.unreadable:  # what they make unsure is said once, below
                reporter.warn(f"{run.path} is left alone: {reason}")
            continue
        found += candidates
    for one in [one for one in found if one.why in (TRUNKS, ASIDE) and (strange := not_ours(one.path))]:
        found.remove(one)
        reporter.warn(f"{one.path} is left alone: {strange} in it is not this program's")
    whole = {one.path for one in found if one.path.is_dir()}
    found = [one for one in found if not whole.intersection(one.path.parents)]
    if known.unreadable:
        others = len(known.unreadable) - 1
        more = f" and {others} other run{'s' * (others > 1)}" if others else ""
        reporter.warn(
            f"{known.unreadable[0].path}{more} cannot be read and may depend on any trunk, so nothing of trunks is "
            "listed. Is a --plugin missing?"
        )
    return sorted(found, key=lambda one: (one.why, one.path))


class Known:
    """The runs below a root, and which of them depend on which trunks."""

    def __init__(self, found: Sequence[StoredRun]) -> None:
        self.own = [run for run in found if not run.linked]
        self.unreadable = [run for run in found if not run.readable]
        self.standing: dict[tuple[str, int], list[StoredRun]] = {}
        for run in found:
            if run.readable and run.kind != "train" and run.train is not None:
                self.standing.setdefault((run.train.key, run.replicate), []).append(run)
        self._whole: dict[Path, bool] = {}

    def on(self, trunk: StoredRun) -> list[StoredRun]:
        """Return the runs that depend on a trunk, by the name of its directory."""
        return self.standing.get((trunk.path.parent.name, trunk.replicate), [])

    def reason_to_keep(self, run: StoredRun) -> str:
        """Return why nothing of a run may go; empty if something may."""
        if run.kind == "train" and self.unreadable:
            return f"{self.unreadable[0].path}, which cannot be read, may depend on it"
        for one in (run, *(self.on(run) if run.kind == "train" else ())):
            if one.path not in self._whole:
                self._whole[one.path] = is_whole(one)
            if not self._whole[one.path]:
                return f"a process works in {one.path}" if one.running else f"verify finds {one.path} not whole"
        return ""


def checkpoints(run: RunDirectory) -> Iterator[Superfluous]:
    """Yield checkpoints of trainings whose result, network and metrics are there without them."""
    try:
        parts = run.parts
    except MISREAD:
        return
    for part in parts:
        for store in (part.store, *part.children):
            if store.has(files.CHECKPOINT) and finished(store):
                locks = [store.path, part.store.path, *(held.path for held in part.held), run.path]
                yield Superfluous(store / files.CHECKPOINT, CHECKPOINTS, tuple(dict.fromkeys(locks)))


def finished(store: Store) -> bool:
    """Return whether a training is done, and its metrics and network are there to the end."""
    try:
        if not store.done:
            return False
        result, rows = store.result(), store.read_rows(files.METRICS)
        network = result.get("model", files.model(Step(result["step"])))
        return bool(rows) and rows[-1]["step"] == result["step"] and store.has(network)
    except MISREAD:
        return False


def trunk(run: StoredRun, known: Known) -> Iterator[Superfluous]:
    """Yield a dense training that no other run starts from, and that was not asked for by itself."""
    if run.kind == "train" and not known.on(run) and not asked_for(run.store):
        yield Superfluous(run.path, TRUNKS, (run.path,))


def asked_for(store: Store) -> bool:
    """Return whether ``train`` has asked for a trunk itself; assume so where its environment does not say."""
    for name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        with contextlib.suppress(*MISREAD):
            recorded = store.read_json(name)
            return not recorded["command"] or ASKED in recorded or asks_for_trunk(recorded["command"])
    return True


def put_aside(run: RunDirectory) -> Iterator[Superfluous]:
    """Yield directories of a run and of its parts that were renamed and have been replaced, the outermost ones."""
    beside = run.path.parent.glob(f"{run.path.name}{files.ASIDE}*")
    inside = (Path(folder, name) for folder, inner, _ in os.walk(run.path) for name in inner)
    for path in sorted([*beside, *inside]):
        within = path.relative_to(run.path.parent).parts
        replaced = path.with_name(path.name.partition(files.ASIDE)[0])
        if files.is_aside(path.name) and not any(map(files.is_aside, within[:-1])) and replaced.is_dir():
            yield Superfluous(path, ASIDE, (path,))


def temporary_files(root: Path) -> Iterator[Superfluous]:
    """Yield files that a process was writing when it was killed."""
    ours = [path for path in root.iterdir() if kind_of(path.name) or path.name in (files.REPORT, files.SLURM)]
    for directory in sorted(path for path in ours if path.is_dir() and not path.is_symlink()):
        yield from (Superfluous(path, TEMPORARY, tuple(above)) for path, above in left_over(directory))


def ended_plans(root: Path) -> Iterator[Superfluous]:
    """Yield what processes left behind that were killed while they worked at a plan."""
    for path in sorted((root / files.PLANS).glob("*_*")):
        if path.is_dir() and not (path.is_symlink() or path.parent.is_symlink()) and not not_ours(path):
            yield Superfluous(path, PLANS, (path,))


def not_ours(path: Path) -> Path | None:
    """Return the first thing below a directory that this program does not make there, links among them."""
    if path.is_symlink():
        return path
    for folder, inner, names in os.walk(path):
        for one in (Path(folder, name) for name in (*inner, *names)):
            if one.is_symlink() or (one.name in names and not files.is_own(one)):
                return one
    return None


def free(found: Superfluous) -> bool:
    return not any(Store(path).locked for path in found.locks)


def remove(found: Superfluous) -> bool:
    with hold_all(found.locks) as alone:
        if not alone or (found.path.is_dir() and not_ours(found.path)):
            return False
        if found.path.is_dir():
            shutil.rmtree(found.path)
        else:
            found.path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it still holds others
        if found.why in (TRUNKS, ASIDE):
            found.path.parent.rmdir()
    return True
