"""``python -m benchmarks.studies NAME``: runs a study as far as it comes; ``document`` writes the tables of all."""

import argparse
import sys
from pathlib import Path

from benchmarks.studies import fashion, scores, thesis
from benchmarks.studies.document import FILE, NOT_RUN, still_to_run, updated
from benchmarks.studies.figures import draw
from benchmarks.studies.rows import write
from benchmarks.studies.study import Study
from cli import main as command
from experiments.session import Session

DOCUMENT = "document"
GOES_ON = (0, 1)
"""Exit codes after which the next part is run: 1 is for a training that diverged or a task that failed."""


def studies() -> dict[str, Study]:
    """By name."""
    found = [*map(thesis.study, thesis.SIZES), scores.study(), fashion.study()]
    return {study.name: study for study in found}


def run(study: Study, arguments: argparse.Namespace) -> int:
    """Its parts, one after the other, and its rows after each; at the end one page of all of its runs."""
    session = Session(root=arguments.root, data_dir=arguments.data_dir, threads=arguments.threads, quiet=True)
    places = [f"--root={arguments.root}", f"--data_dir={arguments.data_dir}"]
    threads = [f"--threads={arguments.threads}"] if arguments.threads else []
    dry = ["--dry_run"] if arguments.dry_run else []
    worst = 0
    parts = study.parts[: arguments.first]
    for number, part in enumerate(parts, 1):
        print(f"\n{study.name}, part {number} of {len(parts)}: {part.title}\n{part.command_line}", flush=True)
        code = command([*part.arguments, *places, *threads, *dry])
        if not dry:
            write(study, session)
        if code not in GOES_ON:
            return code
        worst = max(worst, code)
    if dry:
        return worst
    page = arguments.root / f"{study.name}.html"
    return command(["report", f"--root={arguments.root}", f"--output={page}"]) or worst


def main() -> int:
    known = studies()
    listed = "\n".join(f"  {study.name:<16} {study.summary}" for study in known.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs a study: ordinary experiments, the most telling first, and one report.",
        epilog=f"studies:\n{listed}\n  {DOCUMENT:<16} writes the tables of docs/results.md from the rows",
    )  # fmt: skip
    parser.add_argument("name", choices=[*known, DOCUMENT], metavar="NAME", help="a study, or document")
    parser.add_argument("--root", default="runs", type=Path, help="directory of all runs [%(default)s]")
    parser.add_argument("--data_dir", default="data", type=Path, help="directory of the data sets [%(default)s]")
    parser.add_argument("--threads", type=int, help="threads on a CPU")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N parts")
    parser.add_argument("--dry_run", action="store_true", help="say what each part would do, and train nothing")
    arguments = parser.parse_args()
    if arguments.name == DOCUMENT:
        for study in known.values():
            draw(study)
        FILE.write_text(updated(FILE.read_text(), known.values()))
        NOT_RUN.write_text(still_to_run(known.values()))
        return 0
    return run(known[arguments.name], arguments)


if __name__ == "__main__":
    sys.exit(main())
