"""Damages every file of runs in twelve ways, and looks at what each command that looks at runs makes of it.

    python -m tests.reliability.looking [--every=N [--first=M]] [--record=FILE] [scenario ...]

Of each damage each command must say so, or show and do what it does without the damage, or the damage must be harmless
for a reason that stands in :data:`HARMLESS`. ``clean`` removes nothing of a damaged run; and the command that made the
run, its advice followed, ends with the bits of an undisturbed one. Exit code 1 if anything is silent. ``--record``
keeps a line of each damage; one that has a line there is not done again.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file

import cli
from experiments.report import tables
from experiments.report.page import build
from experiments.runs.stored import runs
from experiments.runs.verify import check
from foundations import files
from foundations.disk import append_lines
from models import ImageShape, ModelHparams
from models import build as build_network
from tests.reliability.conftest import TINY, computed
from tests.reliability.damages import DAMAGES
from tests.steps import watched_steps

LEVELS = ("--pruning_strategy=sparse_global", "--k=1")
TICKET = ("--pruning_strategy=synflow", "--k=7it", "--density=0.2", "--allow_collapse")
STABILITY = ("stability", *TINY, "--pruning_strategy=synflow", "--alphas=3", "--report=false")
IMPORTED = ("--imported={imported}", "--k=0", "--pruning_strategy=sparse_global")
MEASURED = (*STABILITY, "--k=1", "--measure=disagreement,class_barriers")


@dataclass(frozen=True)
class Scenario:
    """Command lines; the last is the one that is given again.

    Args:
        commands: with ``{folder}`` for where the root lies, and ``{imported}`` for the key of what was imported.
        stopped_at: the optimizer step of the last command that it is stopped before; 0 to let it end.
        killed: whether it then leaves no checkpoint, as if killed in its first seconds.
    """

    commands: Sequence[Sequence[str]]
    stopped_at: int = 0
    killed: bool = False


FINISHED: Mapping[str, Sequence[Sequence[str]]] = {
    "train": [("train", *TINY)],
    "unfinished": [("train", *TINY, "--to=2")],
    "levels": [("lottery", *TINY, *LEVELS, "--levels=0-2")],
    "branch": [("lottery", *TINY, *TICKET), ("lottery_branch", "shuffle", *TINY, *TICKET)],
    "compact": [("lottery", *TINY, *TICKET, "--compact")],
    "stability": [(*STABILITY, "--k=1")],
    "early_bird": [(*STABILITY, "--k=early_bird", "--patience=2")],
    "imported": [("import", "{folder}/net.safetensors", *TINY[:3:2]), ("lottery", *TINY, *IMPORTED)],
    "measured": [("lottery", *TINY, *LEVELS, "--levels=0-1", "--measure=signs,distance")],
    "measured_stability": [MEASURED],
}
STOPPED = {"train": 12, "levels": 32, "branch": 5, "compact": 12, "stability": 22, "early_bird": 22, "imported": 22}
"""Scenarios that are looked at half-finished, too, and the step that they are stopped before."""
SCENARIOS = {
    **{name: Scenario(commands) for name, commands in FINISHED.items()},
    **{f"half_{name}": Scenario(FINISHED[name], step) for name, step in STOPPED.items()},
    **{f"killed_{name}": Scenario(FINISHED[name], step, killed=True) for name, step in STOPPED.items()},
}
ROUNDS = 4
HARMLESS = {
    files.STATUS: "no result depends on it",
    files.LOG: "no result depends on it",
    files.CHECKPOINT: "a training that is done needs it no more, another goes on from what is saved",
}
"""Files of which nothing need be said by a command that does not read them, and why."""
BEGUN_ANEW = (files.METRICS, files.MASK, files.FIRST_MASK, files.SPARSITY_REPORT)
"""Files of a training without a checkpoint, which begins anew where they are away, as it was before they were there."""


@dataclass
class Outcomes:
    """What commands made of one damage: ``list: named``, and so on."""

    all: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def add(self, command: str, *, named: bool = False, same: bool, harmless: bool = False) -> None:
        kind = "named" if named else "without effect" if same else "harmless" if harmless else "silent"
        self.all.append(f"{command}: {kind}")
        if kind == "silent":
            self.silent.append(command)


@dataclass
class Tally:
    """What came of all damages: by command how many were named, without effect, harmless, or repaired."""

    outcomes: Counter[str] = field(default_factory=Counter)
    damages: int = 0
    silent: list[str] = field(default_factory=list)

    def add(self, name: str, damage: str, found: Mapping[str, Sequence[str]]) -> None:
        self.damages += bool(found["all"])
        self.outcomes.update(found["all"])
        self.silent += [f"{command}: {name}: {damage}" for command in found["silent"]]

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.outcomes.items()))
        return f"{self.damages} damages ({counts}); silent: {len(self.silent)}"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def run(*argv: str) -> Said:
    """Runs a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(argv))
    return Said(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Inside, pages hold the numbers of their figures, not the drawings, and nothing is flushed: nothing is killed."""
    drawn = dict.fromkeys(("svg", "png", "pdf"), b'<svg viewBox="0 0 1 1"></svg>')
    with contextlib.ExitStack() as stack:
        for module in (build, tables):
            stack.enter_context(mock.patch.object(
                module, "images", lambda make, style="", forms=tuple(drawn): {form: drawn[form] for form in forms}
            ))  # fmt: skip
        stack.enter_context(mock.patch.object(os, "fsync"))
        yield


def listed(root: Path) -> dict[str, Any]:
    """The rows of ``list`` by their parts, without sizes."""
    rows = json.loads(run("list", f"--root={root}", "--json").out)
    return {row["path"].removeprefix(str(root)): {**row, "size": 0, "path": ""} for row in rows}


def reported(root: Path) -> tuple[dict[str, bytes], str]:
    """The tables of ``report``, and what it said."""
    output = root.parent / "report.html"
    said = run("report", f"--root={root}", f"--output={output}")
    written = {path.name: path.read_bytes().replace(str(root).encode(), b"") for path in
              sorted((root.parent / "report_files").glob("*.csv"))}  # fmt: skip
    shutil.rmtree(root.parent / "report_files", ignore_errors=True)
    return written, said.out + said.err


def names_of(root: Path) -> list[str]:
    """The files of the first replicates, no locks and reports."""
    found = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    return [str(path) for path in found
            if "replicate_1" in path.parts and path.name[0] != "." and files.REPORT not in path.parts]  # fmt: skip


@dataclass(frozen=True)
class Undisturbed:
    """A root that nothing is wrong with, and what the commands say of it."""

    root: Path
    commands: Sequence[Sequence[str]]
    bits: Mapping[str, bytes]
    """What the last of the commands ends with."""
    rows: Mapping[str, Any]
    tables: Mapping[str, bytes]
    exported: Mapping[Path, int]
    """Exit codes of ``export``."""


def prepare(name: str, folder: Path) -> Undisturbed:
    """Compute the runs of a scenario, two replicates each."""
    scenario, root, commands = SCENARIOS[name], folder / "runs", []
    save_network(folder / "net.safetensors")
    for number, command in enumerate(scenario.commands, start=1):
        imported = next((path.name for path in root.glob("import_*")), "")
        commands.append([word.format(folder=folder, imported=imported) for word in command])
        last = number == len(scenario.commands)
        compute(commands[-1], root, scenario.stopped_at if last else 0, scenario.killed)
    ended = root
    if scenario.stopped_at:
        ended = Path(shutil.copytree(root, folder / "ended" / "runs"))
        compute(commands[-1], ended)
    bits = {name: content for name, content in computed(ended).items() if files.REPORT not in Path(name).parts}
    exported = {run.path.relative_to(root): export(run.path) for run in runs(root)}
    return Undisturbed(root, commands, bits, listed(root), reported(root)[0], exported)


def save_network(path: Path) -> None:
    """Write the weights of the network that is imported."""
    generator = torch.Generator().manual_seed(0)
    save_file(
        build_network(ModelHparams(model="mnist_lenet_16"), ImageShape(1, 8, 8, 10), generator).state_dict(), path
    )


def compute(argv: Sequence[str], root: Path, stopped_at: int = 0, killed: bool = False) -> None:
    """Run a command for two replicates; for each of them up to an optimizer step, if one is given."""
    if not stopped_at:
        said = again(argv, root)
        assert said.code == 0, said
    for number in (1, 2) if stopped_at else ():
        said = stopped([*argv, f"--replicate={number}", f"--root={root}", "--quiet"], stopped_at, killed)
        assert said.code in (130, 143), said


def stopped(argv: Sequence[str], at: int, killed: bool) -> Said:
    """Run a command that is stopped at an optimizer step."""
    with watched_steps() as steps:

        def stop(state: object) -> None:
            if len(steps.taken) == at:
                if killed:
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGTERM)

        steps.before.append(stop)
        return run(*argv)


def export(run_directory: Path) -> int:
    """Return the exit code of ``export``."""
    with tempfile.TemporaryDirectory() as output:
        return run("export", f"--output={output}/out", str(run_directory)).code


def look(whole: Undisturbed, name: str, damage: str, root: Path) -> Outcomes:
    """Do one damage to one file of a copy, and run every command over it; no outcomes if it changes nothing there."""
    path, outcomes = root / name, Outcomes()
    before = path.read_bytes()
    with contextlib.suppress(IndexError, FileNotFoundError):
        DAMAGES[damage](path)
    if path.is_file() and path.read_bytes() == before:
        return outcomes  # it had no such line, or is equal in both replicates
    add = partial(outcomes.add, harmless=is_harmless(path))

    def wrong() -> bool:
        return any(finding.wrong for run in runs(root) if run.path in path.parents for finding in check(run))

    found = {str(finding.path) for run in runs(root) if run.replicate == 1 for finding in check(run)}
    add("verify", named=str(path) in found, same=False)
    rows = listed(root)
    part = {place for place, row in rows.items() if row != whole.rows.get(place)} | (whole.rows.keys() - rows.keys())
    states = {rows[place]["state"] for place in part if place in rows}
    add("list", named=bool(part) and states <= {"damaged", *UNDONE}, same=not part)
    written, said = reported(root)
    add("report", named="Left out" in said or any(state in said for state in UNDONE), same=written == whole.tables
        or tables_name(written, whole.tables))  # fmt: skip
    for one in (one for one in runs(root) if one.path in path.parents):
        other = one.path.relative_to(root)
        compared = run("diff", str(whole.root / other), str(one.path))
        add("diff", named=compared.code != 0, same=compared.code == 0)
        code = export(one.path)
        add("export", named=code != 0, same=code == whole.exported[other])
    cleaned = root.with_name("cleaned")
    shutil.copytree(root, cleaned)
    run("clean", f"--root={cleaned}", "--yes")
    gone = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} - {
        str(p.relative_to(cleaned)) for p in cleaned.rglob("*") if p.is_file()}  # fmt: skip
    own = "/".join(Path(name).parts[:2])
    add("clean", named=not any(one.startswith(own) for one in gone), same=not wrong())
    shutil.rmtree(cleaned)
    add("the command", same=repaired(whole, name, root))
    return outcomes


def is_harmless(path: Path) -> bool:
    """Return whether nothing need be said of a file that is damaged.

    A measurement that is away is one that was never asked for: ``--measure`` takes it again.
    """
    if path.name in BEGUN_ANEW:
        return not any((path.parent / name).exists() for name in (files.DONE, files.CHECKPOINT))
    optional = path.name.startswith(("model_", "optimizer_", files.MEASUREMENTS))
    return path.name in HARMLESS or (optional and not path.exists())


UNDONE = ("interrupted", "trained", "begun", "unfinished", "collapsed", "failed")
"""States of which a row says that it is not done."""


def tables_name(tables: Mapping[str, bytes], whole: Mapping[str, bytes]) -> bool:
    """Whether tables that differ say, of every part that they lack, that it is not done or damaged."""
    text = b"".join(tables.values())
    return any(state.encode() in text for state in ("damaged", *UNDONE)) or tables.keys() != whole.keys()


def repaired(whole: Undisturbed, name: str, root: Path) -> bool:
    """Run the command again, follow what it and ``verify`` advise, and compare the bits."""
    path = root / name
    for _ in range(ROUNDS):
        said = again(whole.commands[-1], root)
        if said.code == 0:
            break
        follow(said.err, path)
        if "run the command import" in said.err:
            again(whole.commands[0], root)
    left = computed(root)
    if name in whole.bits and left.get(name) != whole.bits[name]:  # it was not read: verify says so
        findings = [finding for run in runs(root) for finding in check(run) if str(finding.path) == str(path)]
        if findings and findings[0].wrong:
            follow(findings[0].advice, path)
            for argv in filter(None, [*whole.commands, train_of(whole.commands[-1])]):
                again(argv, root)
            left = computed(root)
        if left.get(name) != whole.bits[name] and not (path.exists() and findings and findings[0].wrong):
            left[name] = whole.bits[name]  # it is needed no more, or recomputed when it is
    return all(left.get(one) == content for one, content in whole.bits.items())


def again(argv: Sequence[str], root: Path) -> Said:
    """Run a command once more, for both replicates."""
    return run(*argv, f"--root={root}", *(() if argv[0] == "import" else ("--replicate=1,2", "--quiet")))


def train_of(argv: Sequence[str]) -> Sequence[str]:
    """Return the command that trains the trunk of another one."""
    imported = [word for word in argv if word.startswith("--imported=")]
    return () if argv[0] == "train" else ("train", *TINY, *imported, *(["--to=7it"] if "--k=7it" in argv else []))


def follow(advice: str, path: Path) -> bool:
    """Do what an advice says of a file; return whether there was one that is known."""
    if directory := re.search(r"ename the directory (\S+)", advice):
        Path(directory[1]).rename(f"{directory[1]}.aside_1")
    elif "Rename it" in advice:
        path.rename(f"{path}.aside_1")
    elif "Delete this file" in advice:
        path.unlink()
    else:
        return False
    return True


def torture(
    name: str, folder: Path, every: int = 1, first: int = 0, record: Path | None = None
) -> Tally:  # fmt: skip
    """Do every ``every``-th pair of a file and a damage in a scenario, but for those that are on record."""
    known = {} if record is None or not record.exists() else {
        (scenario, file, damage): found for line in record.read_text().splitlines()
        for scenario, file, damage, found in [json.loads(line)]
    }  # fmt: skip
    tally = Tally()
    with quick():
        whole = prepare(name, folder)
        pairs = [(file, damage) for file in names_of(whole.root) for damage in DAMAGES]
        for file, damage in pairs[first::every]:
            if (name, file, damage) not in known:
                root = folder / "damaged" / "runs"
                shutil.copytree(whole.root, root)
                found = known[name, file, damage] = asdict(look(whole, file, damage, root))
                shutil.rmtree(root.parent)
                if record is not None:
                    append_lines(record, json.dumps([name, file, damage, found]).encode() + b"\n")
            tally.add(file, damage, known[name, file, damage])
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Damages the runs of all scenarios, or of those named; prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.looking", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N")
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS], metavar="scenario")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    total = Tally()
    for name in options.scenarios:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = torture(name, Path(folder), options.every, options.first, options.record)
        print(f"{name}: {tally}, {time.monotonic() - began:.0f} s", *tally.silent, sep="\n", flush=True)
        total.damages += tally.damages
        total.outcomes += tally.outcomes
        total.silent += tally.silent
    print(f"in all: {total}")
    return int(bool(total.silent))


if __name__ == "__main__":
    sys.exit(main())
