"""How long a command takes to answer."""

import subprocess
import sys
from functools import partial

from benchmarks.measuring import CHECKOUT, Row, Settings, alternate

COMMANDS = (
    (("--help",), "under 0.5 s"),
    (("lottery", "--help"), "under 3 s"),
    (("lottery", "--display_output_location", "--dataset=digits"), "under 3 s"),
)


def measure(settings: Settings) -> list[Row]:
    """Whole processes, Python's own start included."""

    def call(command: tuple[str, ...]) -> None:
        subprocess.run([sys.executable, "main.py", *command], cwd=CHECKOUT, check=True, capture_output=True)

    calls = {" ".join(command): partial(call, command) for command, _ in COMMANDS}
    seconds = alternate(calls, settings.pick(5, 1))
    rows = [
        Row(f"main.py {' '.join(command)}", f"{seconds[' '.join(command)]:.2f} s", aim) for command, aim in COMMANDS
    ]
    return [*rows, Row("torch is imported by main.py --help", "yes" if imports_torch() else "no", "no")]


def imports_torch() -> bool:
    """Whether the first help of all waits for torch."""
    code = "import sys, cli; cli.main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1] == "True"
