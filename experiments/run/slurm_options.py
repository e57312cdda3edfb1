"""``--slurm=partition=gpu,time=240``: options of sbatch, checked before anything is read or written."""

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.options import SessionOptions
from experiments.run.task_process import MAIN
from foundations.errors import UsageError, near_misses

DEFAULT_MINUTES = 60
WHOLE = frozenset({"time", "signal_delay_s", "array_parallelism", "gpus_per_node"})
"""Options whose values are numbers for ``submitit`` too."""
OF_SUBMITIT = frozenset({"signal_delay_s", "array_parallelism"})
"""Options that are none of sbatch, but of ``submitit``."""
SET_HERE: Mapping[str, str] = {
    "cpus_per_task": "valid: --cpus_per_task=N",
    "signal": "valid: signal_delay_s=SECONDS",
    **dict.fromkeys(("array", "dependency", "output", "error", "open_mode", "wrap"), "the engine sets it itself"),
    **dict.fromkeys(("nodes", "ntasks", "ntasks_per_node"), "a task is one process on one node"),
    **dict.fromkeys(("requeue", "no_requeue", "wait", "test_only", "parsable", "help"), "the engine needs it as it is"),
}
"""Options that are not passed through, and why."""


def parameters(options: SessionOptions) -> dict[str, Any]:
    """What ``submitit`` is asked for.

    A step that srun starts has one core, whatever the job has (from Slurm 22.05 on), so it is given the number, too.
    """
    home = shlex.quote(str(MAIN.parent))
    found: dict[str, Any] = {
        "job_name": "adsynflow", "time": DEFAULT_MINUTES, "cpus_per_task": options.cpus_per_task,
        "setup": [f'export PYTHONPATH={home}"${{PYTHONPATH:+:$PYTHONPATH}}"'],
        "srun_args": [f"--cpus-per-task={options.cpus_per_task}"],
    }  # fmt: skip
    if options.gpus_per_task:
        found["gpus_per_node"] = round(options.gpus_per_task)
    return found | given(options.slurm)


def check(options: SessionOptions) -> None:
    """Raises ``UsageError`` for options that Slurm would refuse, as far as this machine can tell.

    Names of options and of partitions are asked of Slurm, which plug-ins of its own may have given others; where there
    is none, as for a ``--dry_run`` on a laptop, only the form is checked.
    """
    if options.gpus_per_task % 1:
        raise UsageError(f"--gpus_per_task={options.gpus_per_task:g}: Slurm gives whole GPUs only; valid: 0, 1, 2, ...")
    found = given(options.slurm)
    if not found:
        return
    names = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z0-9-]+)", said_by("sbatch", "--help"))}
    for name in found:
        if names and name not in names | OF_SUBMITIT:
            hint = near_misses(name, names | OF_SUBMITIT)
            raise UsageError(f"--slurm={name}={found[name]}: unknown option of sbatch{hint}; valid: see sbatch --help")
    partitions = said_by("sinfo", "--all", "--noheader", "--format=%R").split()
    for name in str(found.get("partition", "")).split(",") if partitions and "partition" in found else ():
        if name not in partitions:
            hint = near_misses(name, partitions)
            raise UsageError(f"--slurm=partition={name}: unknown partition{hint}; valid: {', '.join(partitions)}")


def said_by(*command: str) -> str:
    """What a command of Slurm prints; nothing where there is none, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (subprocess.SubprocessError, OSError):
        return ""


def given(parts: Sequence[str]) -> dict[str, Any]:
    """``("partition=gpu", "exclude=n1", "n2", "time=240")`` as options; what has no name belongs to the one before.

    An option without a value is written ``exclusive=true``.

    Raises:
        UsageError: what is no option with a value, one that is set here, or a time that is no number of minutes.
    """
    texts: dict[str, str] = {}
    for part in parts:
        name, sign, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not sign and texts:
            last = next(reversed(texts))
            texts[last] += f",{part}"
        elif not sign or not name or not value:
            raise UsageError(f"--slurm={part}: expected options of sbatch with values, such as partition=gpu,time=240")
        elif name in SET_HERE:
            raise UsageError(f"--slurm={part}: cannot be chosen: {SET_HERE[name]}")
        else:
            texts[name] = value
    return {name: typed(name, value) for name, value in texts.items()}


def typed(name: str, value: str) -> int | str | bool:
    """The value of an option as ``submitit`` takes it."""
    if name not in WHOLE:
        return value == "true" or value
    if not value.isdecimal() or int(value) < 1:
        unit = " of minutes" if name == "time" else ""
        raise UsageError(f"--slurm={name}={value}: expected a whole number{unit} from 1 on")
    return int(value)
