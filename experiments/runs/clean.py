"""What no run needs any more: found, and removed while no process works there."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.runs.directory import Part, RunDirectory, kinds
from experiments.runs.listing import MISREAD
from experiments.runs.stored import StoredRun, runs
from experiments.workspace import train_of
from foundations import disk, files
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store

CHECKPOINTS, TRUNKS, TEMPORARY, ASIDE, PLANS = (
    "checkpoint of a finished training", "trunk that no run needs", "temporary file of a killed process",
    "put aside", "plan of a command that has ended",
)  # fmt: skip


@dataclass(frozen=True)
class Superfluous:
    """A file or directory that no run needs.

    Args:
        path: where it is.
        why: one of the reasons above.
        size: in bytes.
        locks: directories of which one must be free while it is removed.
    """

    path: Path
    why: str
    size: int
    locks: tuple[Path, ...]


def superfluous(root: Path, reporter: Reporter) -> list[Superfluous]:
    """All that can go; nothing in the directory of a run that a process works in.

    A finished training keeps its network, its metrics and, as a trunk, the whole states that it saved: another k, or
    another strategy, starts from them.
    """
    if not root.is_dir():
        return []
    known = runs(root)
    found = [*put_aside(root), *ended_plans(root)]
    inside = {one.path for one in found}
    trunks = [item(run.path, TRUNKS, run.path) for run in unused_trunks(known, reporter) if not run.running]
    found += trunks
    inside |= {one.path for one in trunks}
    found += [one for one in temporary_files(root) if not inside.intersection(one.path.parents)]
    for run in known:
        if run.path not in inside:
            found += checkpoints(run)
    return sorted(found, key=lambda one: (one.why, one.path))


def item(path: Path, why: str, *locks: Path) -> Superfluous:
    """A file or a directory with its size."""
    inner = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Superfluous(path, why, sum(file.stat().st_size for file in inner), locks)


def checkpoints(run: RunDirectory) -> Iterator[Superfluous]:
    """Checkpoints of trainings whose result, network and metrics are there without them."""
    try:
        parts = run.parts
    except MISREAD:
        return
    for part in parts:
        for store in (part.store, *part.children):
            if store.has_state(files.CHECKPOINT) and whole(store):
                yield item(store / store.state_file(files.CHECKPOINT), CHECKPOINTS, *locks_of(run, part, store))


def whole(store: Store) -> bool:
    """Whether a training is finished, and nothing of it would have to be restored from its checkpoint."""
    if not store.done:
        return False
    try:
        result, rows = store.result(), store.read_rows(files.METRICS)
        network = result.get("model", files.model(Step(result["step"])))
        return bool(rows) and rows[-1]["step"] == result["step"] and store.has(network)
    except MISREAD:
        return False


def locks_of(run: RunDirectory, part: Part, store: Store) -> tuple[Path, ...]:
    """The directories that a process holds which works in ``store``."""
    return tuple(dict.fromkeys([store.path, part.store.path, *(held.path for held in part.held), run.path]))


def unused_trunks(known: Sequence[StoredRun], reporter: Reporter) -> list[StoredRun]:
    """Dense trainings that no other run starts from, and that were not asked for by themselves.

    Where a run cannot be read (a plug-in is missing, say), it is not known on which trunk it stands: then none.
    """
    unreadable = [run for run in known if not run.readable]
    if unreadable:
        reporter.warn(
            f"{unreadable[0].path} cannot be read{f', nor can {len(unreadable) - 1} more' * (len(unreadable) > 1)}; "
            "since it may depend on any trunk, none is listed. Is a --plugin missing?"
        )
        return []
    used = {(train_of(run.desc).key, run.replicate) for run in known if run.kind not in ("train", "import")}
    return [
        run for run in known
        if run.kind == "train" and (run.desc.key, run.replicate) not in used and not asked_for(run.store)
    ]  # fmt: skip


def asked_for(store: Store) -> bool:
    """Whether ``train`` has begun a run, rather than a command that needed a trunk; if nobody knows, it has."""
    try:
        command = store.read_json(files.ENVIRONMENT)["command"]
    except MISREAD:
        return True
    return not command or command[0] == "train" or command[0].startswith("session.train(")


def temporary_files(root: Path) -> Iterator[Superfluous]:
    """Files that a process was writing when it was killed."""
    for path in root.rglob(".*"):
        if disk.TEMPORARY.fullmatch(path.name) and path.is_file():
            above = [folder for folder in path.parents if folder.is_relative_to(root) and folder != root]
            with contextlib.suppress(OSError):  # it was not a killed process's: it has its name now
                yield item(path, TEMPORARY, *(folder for folder in above if Store(folder).has(files.LOCK)))


def put_aside(root: Path) -> Iterator[Superfluous]:
    """Directories that ``--recompute`` has renamed, of runs and of parts of runs; not those within another."""
    for experiment in sorted(root.glob("*_*")):
        if experiment.name.rpartition("_")[0] in kinds:
            for path in sorted(experiment.rglob(f"*{files.ASIDE}*")):
                if path.is_dir() and not any(files.is_aside(folder.name) for folder in path.parents):
                    yield item(path, ASIDE, path)


def ended_plans(root: Path) -> Iterator[Superfluous]:
    """What processes have left that were killed while they worked at a plan."""
    for path in sorted((root / files.PLANS).glob("*")):
        if path.is_dir():
            yield item(path, PLANS, path)


def free(found: Superfluous) -> bool:
    """Whether no process works where it lies."""
    return not any(Store(path).locked for path in found.locks)


def remove(found: Superfluous) -> bool:
    """Removes it unless a process works there; whether it did."""
    with contextlib.ExitStack() as held:
        for path in found.locks:
            if (path / files.LOCK).exists():
                try:
                    held.enter_context(FileLock(path / files.LOCK, timeout=0))
                except Timeout:
                    return False
        if found.path.is_dir():
            shutil.rmtree(found.path)
        else:
            found.path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it still holds others
        if found.why in (TRUNKS, ASIDE):
            found.path.parent.rmdir()
    return True

