"""``task``: one part of an experiment, described by JSON."""

import sys
from dataclasses import fields
from pathlib import Path

from cli import FAILED
from cli.reading import Given, command
from experiments.options import SessionOptions
from experiments.session import Session, do_tasks
from foundations.given import read_given_text


@command(SessionOptions, "FILE|-", 1)
def run(given: Given[SessionOptions]) -> int:
    """Do the tasks that a file (- is standard input) holds, one a line, as Session.task_line(task) gives it:
    {"session": {...}, "task": {"task": KIND, ...}}; see docs/python.md. Where the entry "session" is missing, tasks are
    done where and how the flags say. Progress and results are printed as lines of JSON.
    """
    [file], options = given.operands, given.options
    session = None
    if len(given.argv) > 1:
        session = Session(**{item.name: getattr(options, item.name) for item in fields(SessionOptions)})
    out, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed must not come between our lines
    try:
        lines = sys.stdin if file == "-" else read_given_text(Path(file), file).splitlines()
        failures = do_tasks(lines, out, session)
    finally:
        sys.stdout = out
    if all(failure.refused for failure in failures):
        return min((failure.exit_code for failure in failures), default=0)
    return FAILED
