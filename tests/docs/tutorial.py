"""``python -m tests.docs.tutorial ROOT`` runs the tutorial's commands in ROOT and writes what they print into it.

What ROOT has already is not computed again. The figure comes with it; a line of processor and versions, too.
"""

import contextlib
import io
import os
import platform
import re
import shlex
import sys
from pathlib import Path

import torch

from cli import main
from tests.docs.figure import smaller

DOCS = Path(__file__).parents[2] / "docs"
TEXT = DOCS / "tutorial.md"
COMMAND = r"^    python main\.py (?P<command>(?:.*\\\n)*.*)$"
PROSE = r"(?P<prose>(?:\n(?!    ).*)*?)"
OUTPUT = r"(?P<output>(?:    (?:replicate|strategy|run) .*\n)(?:    .*\n|\n(?=    \S))*)"
SHOWN = re.compile(rf"{COMMAND}{PROSE}\n\n{OUTPUT}", re.MULTILINE)
"""A command, and the table that it prints, with a paragraph between them at the most."""


def printed(command: str) -> str:
    """Run a command and return what it prints, indented as in the document."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(shlex.split(command.replace("\\\n", " "))) == 0, command
    return "".join(f"    {line}".rstrip() + "\n" for line in out.getvalue().rstrip().splitlines())


def as_computed(found: re.Match[str]) -> str:
    """Return a command with what it prints now; of ``list`` the lines that the document shows."""
    output = printed(found["command"])
    if found["command"].startswith("list"):
        keys = {tuple(line.split()[:2]) + tuple(re.findall(r"\d+ep", line)) for line in found["output"].splitlines()}
        lines = output.splitlines(keepends=True)
        output = lines[0] + "".join(
            line for line in lines[1:] if tuple(line.split()[:2]) + tuple(re.findall(r"\d+ep", line)) in keys
        )
    return found[0].replace(found["output"], output)


def processor() -> str:
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    os.chdir(sys.argv[1])
    TEXT.write_text(SHOWN.sub(as_computed, TEXT.read_text()))
    [figure] = Path("runs/report").glob("stability_*/barrier_by_k.svg")
    (DOCS / "tutorial_barrier_by_k.svg").write_text(smaller(figure.read_text()))
    print(f"{processor()}, Python {platform.python_version()}, PyTorch {torch.__version__}")
