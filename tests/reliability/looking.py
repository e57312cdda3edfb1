"""Damages every file of runs in twelve ways, and looks at what each command that looks at runs makes of it.

    python -m tests.reliability.looking [--every=N] [scenario ...]

Of each damage each command must say so, or show and do what it does without the damage, or the damage must be harmless
for a reason that stands in :data:`HARMLESS`. ``clean`` removes nothing of a damaged run; and the command that made the
run, its advice followed, ends with the bits of an undisturbed one. Exit code 1 if anything is silent.
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import cli
from experiments.report.page import build
from experiments.runs.stored import runs
from experiments.runs.verify import check
from foundations import files
from tests.reliability.conftest import TINY, computed

LEVELS = ("--pruning_strategy=sparse_global", "--k=1")
TICKET = ("--pruning_strategy=synflow", "--k=7it", "--density=0.2", "--allow_collapse")
STABILITY = ("stability", *TINY, "--pruning_strategy=synflow", "--alphas=3", "--report=false")
SCENARIOS: Mapping[str, Sequence[Sequence[str]]] = {
    "train": [("train", *TINY)],
    "unfinished": [("train", *TINY, "--to=2")],
    "levels": [("lottery", *TINY, *LEVELS, "--levels=0-2")],
    "branch": [("lottery", *TINY, *TICKET), ("lottery_branch", "shuffle", *TINY, *TICKET)],
    "compact": [("lottery", *TINY, *TICKET, "--compact")],
    "stability": [(*STABILITY, "--k=1")],
    "early_bird": [(*STABILITY, "--k=early_bird", "--patience=2")],
}
"""Command lines; the last is the one that is given again."""
ROUNDS = 4
HARMLESS = {
    files.STATUS: "no result depends on it",
    files.LOG: "no result depends on it",
    files.CHECKPOINT: "a training that is done needs it no more, another goes on from what is saved",
}
"""Files of which nothing need be said by a command that does not read them, and why."""


def flip(place: int) -> Callable[[Path], object]:
    """Flips one bit of a file."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_line(place: int) -> Callable[[Path], object]:
    """Loses a line, whole."""

    def damage(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:place], *lines[place % len(lines) + 1 :]]))

    return damage


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "a bit in the head": flip(12), "a bit in the data": flip(-9),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
    "emptied": lambda path: path.write_bytes(b""), "deleted": Path.unlink, "a directory": become_directory,
    "another replicate's": lambda path: shutil.copy(str(path).replace("replicate_1", "replicate_2"), path),
    "{}": lambda path: path.write_text("{}\n"), "[]": lambda path: path.write_text("[]\n"),
    "null": lambda path: path.write_text("null\n"), "without a line": without_line(1),
    "without the last line": without_line(-1),
}  # fmt: skip


@dataclass
class Tally:
    """What came of all damages: by command how many were named, without effect, harmless, or repaired."""

    outcomes: Counter[str] = field(default_factory=Counter)
    damages: int = 0
    silent: list[str] = field(default_factory=list)

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
def figures_not_drawn() -> Iterator[None]:
    """Inside, pages hold the numbers of their figures, not the drawings."""
    drawn = build.images
    build.images = lambda make, style, forms: dict.fromkeys(forms, b'<svg viewBox="0 0 1 1"></svg>')  # type: ignore[assignment]
    try:
        yield
    finally:
        build.images = drawn


def listed(root: Path) -> dict[str, Any]:
    """The rows of ``list`` by their parts, without sizes."""
    rows = json.loads(run("list", f"--root={root}", "--json").out)
    return {row["path"].removeprefix(str(root)): {**row, "size": 0, "path": ""} for row in rows}


def reported(root: Path) -> tuple[dict[str, bytes], str]:
    """The tables of ``report``, and what it said."""
    output = root.parent / "report.html"
    said = run("report", f"--root={root}", f"--output={output}")
    tables = {path.name: path.read_bytes().replace(str(root).encode(), b"") for path in
              sorted((root.parent / "report_files").glob("*.csv"))}  # fmt: skip
    shutil.rmtree(root.parent / "report_files", ignore_errors=True)
    return tables, said.out + said.err


def names_of(root: Path) -> list[str]:
    """The files of the first replicates, no locks and reports."""
    found = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    return [str(path) for path in found
            if "replicate_1" in path.parts and path.name[0] != "." and files.REPORT not in path.parts]  # fmt: skip


@dataclass(frozen=True)
class Undisturbed:
    """A root that nothing is wrong with, and what the commands say of it."""

    root: Path
    argv: Sequence[str]
    bits: Mapping[str, bytes]
    rows: Mapping[str, Any]
    tables: Mapping[str, bytes]


def prepare(name: str, folder: Path) -> Undisturbed:
    """Computes the runs of a scenario, two replicates each."""
    root = folder / "runs"
    for argv in SCENARIOS[name]:
        said = run(*argv, "--replicate=1,2", f"--root={root}", "--quiet")
        assert said.code == 0, said.err
    bits = {name: content for name, content in computed(root).items() if files.REPORT not in Path(name).parts}
    return Undisturbed(root, SCENARIOS[name][-1], bits, listed(root), reported(root)[0])


def look(whole: Undisturbed, name: str, damage: str, root: Path, tally: Tally) -> None:
    """Does one damage to one file of a copy, and runs every command over it."""
    path = root / name
    before = path.read_bytes()
    with contextlib.suppress(IndexError, FileNotFoundError):
        DAMAGES[damage](path)
    if path.is_file() and path.read_bytes() == before:
        return  # it had no such line, or is equal in both replicates
    tally.damages += 1
    harmless = path.name in HARMLESS or (path.name.startswith(("model_", "optimizer_")) and not path.exists())

    def outcome(command: str, *, named: bool, same: bool) -> None:
        kind = "named" if named else "without effect" if same else "harmless" if harmless else "silent"
        tally.outcomes[f"{command}: {kind}"] += 1
        if kind == "silent":
            tally.silent.append(f"{command}: {name}: {damage}")

    found = {str(finding.path) for run in runs(root) for finding in check(run)}
    outcome("verify", named=str(path) in found, same=False)
    rows = listed(root)
    part = {place for place, row in rows.items() if row != whole.rows.get(place)} | (whole.rows.keys() - rows.keys())
    states = {rows[place]["state"] for place in part if place in rows}
    outcome("list", named=bool(part) and states <= {"damaged", *UNDONE}, same=not part)
    tables, said = reported(root)
    outcome("report", named="Left out" in said or any(state in said for state in UNDONE), same=tables == whole.tables
            or tables_name(tables, whole.tables))  # fmt: skip
    for number, one in enumerate(runs(root)):
        if one.path in path.parents:
            other = whole.root / one.path.relative_to(root)
            compared = run("diff", str(other), str(one.path))
            outcome("diff", named=compared.code != 0, same=compared.code == 0)
            if one.kind != "stability":
                exported = [run("export", f"--output={root.parent / f'{side}_{number}'}", str(place))
                            for side, place in (("ours", one.path), ("theirs", other))]  # fmt: skip
                outcome("export", named=exported[0].code != 0, same=exported[0].code == exported[1].code)
    cleaned = root.with_name("cleaned")
    shutil.copytree(root, cleaned)
    run("clean", f"--root={cleaned}", "--yes")
    gone = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} - {
        str(p.relative_to(cleaned)) for p in cleaned.rglob("*") if p.is_file()}  # fmt: skip
    own = "/".join(Path(name).parts[:2])
    wrong = any(finding.wrong for run in runs(root) for finding in check(run) if str(run.path).endswith(own))
    outcome("clean", named=not any(one.startswith(own) for one in gone), same=not wrong)
    shutil.rmtree(cleaned)
    outcome("the command", named=False, same=repaired(whole, name, root))


UNDONE = ("interrupted", "trained", "begun", "unfinished", "collapsed", "failed")
"""States of which a row says that it is not done."""


def tables_name(tables: Mapping[str, bytes], whole: Mapping[str, bytes]) -> bool:
    """Whether tables that differ say, of every part that they lack, that it is not done or damaged."""
    text = b"".join(tables.values())
    return any(state.encode() in text for state in ("damaged", *UNDONE)) or tables.keys() != whole.keys()


def repaired(whole: Undisturbed, name: str, root: Path) -> bool:
    """Runs the command again, follows what it and ``verify`` advise, and compares the bits."""
    path = root / name
    for _ in range(ROUNDS):
        said = run(*whole.argv, "--replicate=1,2", f"--root={root}", "--quiet")
        if said.code == 0:
            break
        follow(said.err, path)
    left = computed(root)
    if name in whole.bits and left.get(name) != whole.bits[name]:  # it was not read: verify says so
        findings = [finding for run in runs(root) for finding in check(run) if str(finding.path) == str(path)]
        if findings and findings[0].wrong:
            follow(findings[0].advice, path)
            again = [argv for argv in [whole.argv, train_of(whole.argv)] if argv]
            for argv in again:
                run(*argv, "--replicate=1,2", f"--root={root}", "--quiet")
            left = computed(root)
        if left.get(name) != whole.bits[name] and not (path.exists() and findings and findings[0].wrong):
            left[name] = whole.bits[name]  # it is needed no more, or recomputed when it is
    return all(left.get(one) == content for one, content in whole.bits.items())


def train_of(argv: Sequence[str]) -> Sequence[str]:
    """The command that trains the trunk of another one."""
    return () if argv[0] == "train" else ("train", *TINY, *(["--to=7it"] if "--k=7it" in argv else []))


def follow(advice: str, path: Path) -> None:
    """Does what an advice says."""
    if directory := re.search(r"ename the directory (\S+)", advice):
        Path(directory[1]).rename(f"{directory[1]}.aside_1")
    elif "Rename it" in advice:
        path.rename(f"{path}.aside_1")
    elif "Delete this file" in advice:
        path.unlink()


def torture(name: str, folder: Path, every: int = 1, first: int = 0) -> Tally:
    """Every ``every``-th pair of a file and a damage in a scenario."""
    tally, whole = Tally(), prepare(name, folder)
    pairs = [(file, damage) for file in names_of(whole.root) for damage in DAMAGES]
    with figures_not_drawn():
        for file, damage in pairs[first::every]:
            root = folder / "damaged" / "runs"
            shutil.copytree(whole.root, root)
            look(whole, file, damage, root, tally)
            shutil.rmtree(root.parent)
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Damages the runs of all scenarios, or of those named; prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.looking", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("scenarios", nargs="*", default=[*SCENARIOS], metavar="scenario")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    total = Tally()
    for name in options.scenarios:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = torture(name, Path(folder), options.every)
        print(f"{name}: {tally}, {time.monotonic() - began:.0f} s", *tally.silent, sep="\n", flush=True)
        total.damages += tally.damages
        total.outcomes += tally.outcomes
        total.silent += tally.silent
    print(f"in all: {total}")
    return int(bool(total.silent))


if __name__ == "__main__":
    sys.exit(main())
