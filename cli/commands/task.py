"""``task``: one part of an experiment, described by JSON."""

import sys
from collections.abc import Sequence
from pathlib import Path

from cli import FAILED, program
from cli.command_line import read_session
from experiments.session import do_tasks
from foundations.given import read_given_text

USAGE = """usage: {program} task FILE|- [--flag=value ...]

Does the tasks that a file (- is standard input) holds, one a line:
  {{"session": {{...}}, "task": {{"task": KIND, ...}}}}
as Session.task_line(task) gives it; see docs/python.md. The entry "session" may
be missing: then tasks are done where and how the flags say: --root, --data_dir,
--device, --threads, --deterministic, --plugin. Progress and results are printed
as lines of JSON."""


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0].partition("=")[0] in ("-h", "--help"):
        print(USAGE.format(program=program()))
        return 0
    file, *flags = argv
    session = read_session(flags) if flags else None
    out, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed must not come between our lines
    try:
        if file == "-":
            failures = do_tasks(sys.stdin, out, session)
        else:
            failures = do_tasks(read_given_text(Path(file), file).splitlines(), out, session)
    finally:
        sys.stdout = out
    if not failures:
        return 0
    if all(failure.refused for failure in failures):
        return min(failure.exit_code for failure in failures)
    return FAILED
