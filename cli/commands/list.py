"""``list``: all runs, a line for each training, level, branch and analysis."""

import csv
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.reading import Given, RootOptions, command
from cli.terminal import run_table, say, size_text, width_of_terminal
from experiments.run.plan_progress import running_plans
from experiments.runs.listing import chosen, in_order, known_columns, list_runs
from experiments.runs.status import FAILED
from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.hparams import hp, repeatable
from foundations.store import Store
from foundations.text import printable, spreadsheet_cell

LAST_LINES = 3
PAUSE = 3  # seconds between two looks of --watch


@dataclass(frozen=True, kw_only=True)
class ListOptions(RootOptions):
    """Which runs are listed, and how."""

    where: tuple[str, ...] = repeatable()
    """Only those for which this is true: 'pruning_strategy=adsynflow', 'lr<0.1', 'state!=done'; every hyperparameter
    and column of --json, compared by =, !=, <, <=, > or >=. May be repeated: all must be true."""
    sort: str | None = hp(None)
    """Column or hyperparameter that they are sorted by; -accuracy: the largest first."""
    json: bool = hp(False)
    """Print all columns and hyperparameters as JSON."""
    csv: bool = hp(False)
    """Print them as CSV."""
    wide: bool = hp(False)
    """Print all columns of the table, however wide the terminal is."""
    watch: bool = hp(False)
    """Look again every few seconds, until Ctrl-C, and show the progress of running commands."""


@command(ListOptions)
def run(given: Given[ListOptions]) -> int:
    """List all runs below the root, a line for each training, level, branch and analysis: what it is, how far it has
    come, its accuracy on the test set (before the end that of the last epoch) and barrier, and its size on disk.
    """
    options = given.options
    if options.json + options.csv + options.watch > 1:
        raise UsageError("--json, --csv and --watch: only one of them")
    if options.watch:
        return watch(options)
    rows = selected(options)
    if options.json:
        print(json.dumps(rows, indent=2))
    elif options.csv:
        print_csv(rows)
    else:
        say(*shown(rows, options))
    return 0


def selected(options: ListOptions) -> list[Row]:
    rows = list_runs(options.root)
    known = known_columns(rows)
    rows = chosen(rows, options.where, known)
    return rows if options.sort is None else in_order(rows, options.sort, known)


def shown(rows: Sequence[Row], options: ListOptions) -> list[str]:
    """Return the lines of the table and its total; below them what is damaged or has failed, and why."""
    if not rows:
        return [f"No runs below {options.root}" + (" that fulfil --where" if options.where else "")]
    runs, size = len({row["run"] for row in rows}), sum(row["size"] for row in rows)
    explained = [line for row in rows if row["reason"] for line in explanation(row)]
    table = run_table(rows, None if options.wide else width_of_terminal())
    return [*table, *explained, f"{runs} run{'' if runs == 1 else 's'} below {options.root}, {size_text(size)}"]


def explanation(row: Row) -> list[str]:
    """Return why something is damaged or has failed, and what its log says last, before the failure itself."""
    try:
        log = Store(Path(row["path"])).read_bytes(files.LOG).decode(errors="replace").splitlines()
    except OSError:
        log = []
    last = log[-LAST_LINES - 1 : -1] if row["state"] == FAILED else []
    return [printable(line) for line in (f"{path_of(row)}: {row['reason']}", *(f"    {line}" for line in last))]


def print_csv(rows: Sequence[Row]) -> None:
    writer = csv.DictWriter(sys.stdout, known_columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_cell(value) for name, value in row.items()} for row in rows)


def watch(options: ListOptions) -> int:
    """Print the table anew every few seconds; where there is no terminal, a line for each change of a state."""
    on_terminal = sys.stdout.isatty()
    before: dict[str, str] = {}
    try:
        while True:
            rows, plans = selected(options), [printable(plan.text) for plan in running_plans(options.root)]
            if on_terminal:
                lines = [f"{time.strftime('%H:%M:%S')}  every {PAUSE} s; Ctrl-C ends", *plans, *shown(rows, options)]
                print("\033[H\033[2J" + "\n".join(cropped(lines)), flush=True)  # home, and all below it cleared
            else:
                now = changes(rows) | {text.partition(":")[0]: text.partition(": ")[2] for text in plans}
                stamp = time.strftime("%H:%M:%S")
                for name in now:
                    if before.get(name) != now[name]:
                        print(f"{stamp} {name}: {now[name]}", flush=True)
                before = now
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        return 0


def cropped(lines: Sequence[str]) -> list[str]:
    room = shutil.get_terminal_size().lines - 2
    more = [f"... {len(lines) - room} lines more; --where chooses"] if len(lines) > room + 1 else []
    return [*lines[:room], *(more or lines[room:])]


def changes(rows: Sequence[Row]) -> dict[str, str]:
    return {
        path_of(row): " ".join(filter(None, (row["state"], row["at"])))
        for row in rows
    }  # fmt: skip


def path_of(row: Row) -> str:
    return printable("/".join(filter(None, (row["run"], row["part"]))))
