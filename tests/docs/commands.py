"""``python -m tests.docs.commands`` writes docs/commands.md from the program's own help."""

import contextlib
import io
from pathlib import Path

from cli import COMMANDS, main

FILE = Path(__file__).parents[2] / "docs" / "commands.md"
BEGINNING = """# Commands

Made from the program's own help (`python main.py COMMAND --help=all`), which shows exactly the flags that apply to the
chosen model, data set and strategy; here those of the defaults. A flag is written `--flag=value`; hyperparameters,
`--k`, `--levels` and `--replicate` take lists.
"""


def text() -> str:
    """The document."""
    sections = [f"## {name}\n\n{COMMANDS[name]}\n\n{block(help_of(name))}" for name in COMMANDS]
    return "\n".join([BEGINNING, block(help_of()), *sections])


def help_of(command: str = "") -> str:
    """What the program prints."""
    arguments = {"": ["--help"], "lottery_branch": ["lottery_branch", "shuffle", "--help=all"]}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(arguments.get(command, [command, "--help=all"])) == 0
    return printed.getvalue()


def block(printed: str) -> str:
    """Indented, as code."""
    return "".join(f"    {line}".rstrip() + "\n" for line in printed.rstrip().splitlines())


if __name__ == "__main__":
    FILE.write_text(text())
