"""Find stored files that are not as they were written, and say what to do about each."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.runs.metrics import iterations_per_epoch, lacking_metrics, lacking_points
from experiments.runs.stored import StoredRun
from foundations import files, formats
from foundations.errors import UsageError
from foundations.formats import NewerFormat
from foundations.recovery import advise
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from stability.plane import Landmark, PlanePoint
from stability.rows import read_rows, read_table
from stability.verdict import read_verdict
from training.saved_steps import grid

TENSORS, ROWS = ".safetensors", ".jsonl"
SUFFIXES = (".json", files.COPY, ROWS, ".csv", TENSORS)
"""Of files that runs consist of."""
MARKERS = (files.DONE, files.INSTABILITY)
ENVIRONMENTS = (files.ENVIRONMENT, files.ENVIRONMENT_COPY)


@dataclass(frozen=True)
class Finding:
    """What is found about a file of a run, and what to do."""

    path: Path
    what: str
    advice: str = ""
    wrong: bool = True
    """Whether something is lost or damaged; otherwise it is worth knowing and no more."""
    replaceable: bool = False
    """Whether the file may be put aside, because the same command recomputes it."""


def check(run: StoredRun) -> list[Finding]:
    """Return what is wrong with a run, and what else is to be known; of one in which a process works only that.

    What is wrong is looked at a second time, since a command may have begun to write its first files meanwhile.
    """
    at_work = [Finding(run.path, "is left out: a process works in it", wrong=False)]
    if run.running:
        return at_work
    found = look(run)
    if any(finding.wrong for finding in found):
        if run.running:
            return at_work
        again = {(finding.path, finding.what) for finding in look(run)}
        found = [finding for finding in found if not finding.wrong or (finding.path, finding.what) in again]
    return found


def look(run: StoredRun) -> list[Finding]:
    """Return one finding for each file: the first, which says most."""
    found = {finding.path: finding for finding in unexpected(run)}
    for finding in [*missing_of_run(run), *unmasked(run), *unlike_markers(run), *cut_short(run), *unfinished(run)]:
        found.setdefault(finding.path, finding)
    return list(found.values())


def is_whole(run: StoredRun) -> bool:
    """Return whether nothing is wrong with a run, and no process works in it."""
    return not run.running and not any(finding.wrong for finding in check(run))


def repair(run: StoredRun, findings: list[Finding], reporter: Reporter) -> list[Path]:
    """Put aside what the same command recomputes and return the new paths. Nothing is deleted."""
    with run.store.lock(reporter):
        return [put_aside(finding.path) for finding in findings if finding.replaceable]


def put_aside(path: Path) -> Path:
    """Rename a file, or the directory in its place, to ``<name>.aside_<n>``."""
    return path.rename(files.free_aside(path))


# File by file --------------------------------------------------------------------------------------------------------


def checked_files(run: StoredRun) -> list[Path]:
    """Return what lies in a run under the name of a file that has a format.

    Reports and what was put aside are left out: no result depends on them.
    """

    def counts(path: Path) -> bool:
        parts = path.relative_to(run.path).parts
        return files.REPORT not in parts and not any(files.is_aside(part) or part.startswith(".") for part in parts)

    return [path for path in sorted(run.path.rglob("*")) if path.name.endswith(SUFFIXES) and counts(path)]


def unexpected(run: StoredRun) -> Iterator[Finding]:
    """Yield files that cannot be read, are damaged, or belong to another run."""
    for path in checked_files(run):
        try:
            read(Store(path.parent), path.name)
        except NewerFormat as error:
            yield Finding(path, without(path, str(error)), "Verify it with the program that wrote it.")
        except UsageError as error:
            finding = with_advice(run, path, without(path, str(error).splitlines()[0]))
            no_result = path.name == files.STATUS
            yield replace(finding, wrong=False, advice="No result depends on it.") if no_result else finding
        except OSError as error:
            yield Finding(path, f"cannot be read: {error.strerror or error}", "See to the disk or its permissions.")


def without(path: Path, text: str) -> str:
    return text.removeprefix(str(path)).strip(" .")


def read(store: Store, name: str) -> None:
    """Read a file as the program does; raises like its reader."""
    if name == files.INSTABILITY:
        read_verdict(store)
    elif name == files.INTERPOLATION:
        read_rows(store)
    elif name == files.PLANE:
        read_table(store, name, PlanePoint)
    elif name == files.PLANE_PLACES:
        read_table(store, name, Landmark)
    elif name in (files.MASK, files.FIRST_MASK):
        Mask.load(store / name)
    elif files.is_state(name):
        store.read_state(name)
    elif name.endswith(TENSORS):
        store.read_tensors(name)
    elif name.endswith(ROWS):
        store.read_rows(name)
    elif not name.endswith(".csv"):
        store.read_json(name)
    if name in MARKERS:
        store.parts(name)


def with_advice(run: StoredRun, path: Path, what: str) -> Finding:
    """Return a finding on a file that is not as it was written, or not there."""
    # Commands that only read a trunk do not recompute all of it.
    command = "the command train, with the flags of the model and its training," if run.kind == "train" else ""
    found = advise(Store(path.parent), path.name, *filter(None, [command]))
    return Finding(path, what, found.text, replaceable=found.replaceable)


def is_intact(store: Store, name: str) -> bool:
    try:
        read(store, name)
    except (UsageError, OSError):
        return False
    return True


# What belongs together -----------------------------------------------------------------------------------------------


def missing_of_run(run: StoredRun) -> Iterator[Finding]:
    """Yield what a run or branch that was begun lacks of descriptor, environment, its copy, and network.

    A command writes ``status.json`` before it begins a run, so that alone is no beginning.
    """
    written = [path for path in checked_files(run) if path.name != files.STATUS]
    begun = {path.parent for path in written if path.name in (files.DESC, *ENVIRONMENTS)}
    for store in map(Store, sorted({run.path, *begun} if written else ())):
        if not store.has(files.DESC):
            yield with_advice(run, store / files.DESC, "is missing")
        elif store.path == run.path and run.readable and run.desc.key != run.path.parent.name:
            yield with_advice(run, store / files.DESC, f"describes {run.desc.key}")
        if store.path == run.path and not store.has(files.NETWORK):
            yield with_advice(run, store / files.NETWORK, "is missing")
        for name in ENVIRONMENTS:
            if not store.has(name):
                yield with_advice(run, store / name, "is missing")


def unmasked(run: StoredRun) -> Iterator[Finding]:
    """Yield the mask or its report where a subnetwork was begun to be trained and the other one is there."""
    both = {files.MASK, files.SPARSITY_REPORT}
    for store in map(Store, sorted({path.parent for path in checked_files(run)})):
        there = set(filter(store.has, both))
        own = not store.path.name.startswith(files.CHILD)  # a child's mask, if it changes, has no report
        if own and there and (store.has(files.METRICS) or store.has(files.CHECKPOINT)):
            for name in sorted(both - there):
                yield with_advice(run, store / name, "is missing")


def unlike_markers(run: StoredRun) -> Iterator[Finding]:
    """Yield files that a marker lists, and that are missing or not those that it was written with."""
    for marker in (path for path in checked_files(run) if path.name in MARKERS):
        store = Store(marker.parent)
        if not is_intact(store, marker.name):
            continue
        for name, sha256 in store.parts(marker.name).items():
            path = Path(os.path.normpath(marker.parent / name))
            if not store.has(name):
                yield with_advice(run, path, "is missing")
            elif path.is_file() and sha256 not in (None, formats.digest(store.read_bytes(name))):
                finding = with_advice(run, path, f"is not the one that {marker.name} was written with")
                own = path.is_relative_to(run.path)  # level 0 lists a file of the trunk, which is another run
                yield replace(finding, replaceable=finding.replaceable and own)


def cut_short(run: StoredRun) -> Iterator[Finding]:
    """Yield metrics of unfinished trainings, and tables of verdicts, that lack rows."""
    for store in map(Store, sorted({path.parent for path in checked_files(run)})):
        lacks = {files.METRICS: lacking_metrics}
        if store.has(files.INSTABILITY):
            lacks[files.INTERPOLATION] = lacking_points
        for name, lacking in lacks.items():
            with contextlib.suppress(UsageError, OSError):  # which is found by itself
                if what := lacking(store):
                    yield with_advice(run, store / name, what)


def unfinished(run: StoredRun) -> Iterator[Finding]:
    """Yield parts without a marker, finished trainings without a checkpoint, states that are not saved."""
    if run.kind == "train" and is_intact(run.store, files.DONE) and is_intact(run.store, files.METRICS):
        yield from unsaved(run.store)
    for directory in sorted({path.parent for path in checked_files(run)}):
        store = Store(directory)
        if store.has(files.METRICS) or store.has(files.MASK):
            marker = files.INSTABILITY if directory.name.startswith(files.ANALYSIS) else files.DONE
            if not store.has(marker):
                yield Finding(store / marker, "is not there yet", "The same command goes on.", wrong=False)
            elif run.kind != "import" and trained_here(store) and not store.has(files.CHECKPOINT):
                yield Finding(store / files.CHECKPOINT, "is missing", "It is needed no more.", wrong=False)


def unsaved(trunk: Store) -> Iterator[Finding]:
    """Yield states on the trunk's grid that are missing."""
    iterations = [row["iteration"] for row in trunk.read_rows(files.METRICS)] or [0]
    per_epoch = iterations_per_epoch(trunk)
    wanted = [iteration for iteration in grid(iterations[-1], per_epoch) if iteration >= iterations[0]]
    for step in (Step.at(iteration, per_epoch) for iteration in wanted):
        for name in (files.model(step), files.optimizer(step)):
            if not trunk.has(name):
                yield Finding(trunk / name, "is missing", "It is recomputed when it is needed.", wrong=False)


def trained_here(store: Store) -> bool:
    """Return whether a finished training took place in a directory."""
    return is_intact(store, files.DONE) and any(name.startswith("model_") for name in store.parts(files.DONE))
