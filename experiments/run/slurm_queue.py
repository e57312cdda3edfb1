"""The commands of Slurm: jobs are submitted (by ``submitit``), looked at and cancelled."""

import contextlib
import getpass
import io
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.options import SessionOptions
from experiments.run.engine import needed
from experiments.run.slurm_jobs import SlurmJob
from experiments.run.slurm_options import parameters
from foundations.errors import UsageError

BETWEEN_LOOKS = 5.0  # seconds between two calls of squeue
MOST_TIMES = 10_000
"""How often a job may come to its time limit. One that takes no step is given up long before."""
NOT_SUBMITTED = "[0-9a-f]" * 32 + ".pkl"
"""What is to be done by a job that has no number yet."""
ORDINARY = frozenset({"None", "Priority", "Resources", "Dependency", "BeginTime", "JobArrayTaskLimit"})
"""Why jobs wait that will start by themselves."""
LARGEST_ARRAY = 1000
"""Slurm's own default of MaxArraySize is 1001."""
OVER = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
})  # fmt: skip
"""States of jobs that come to nothing more; Slurm forgets them after some minutes."""


class SlurmQueue:
    """The cluster that this machine submits to.

    Args:
        folder: for the jobs' scripts and output.
        options: resources of each job.

    Raises:
        UsageError: there is no Slurm here, ``submitit`` is not installed, or an option does not suit.
    """

    def __init__(self, folder: Path, options: SessionOptions) -> None:
        self.folder, self.options = folder, options
        self.lock = threading.Lock()
        self.looked = -BETWEEN_LOOKS
        self.states: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.looks = 0
        self.parameters = parameters(options)
        if shutil.which("sbatch") is None:
            raise UsageError("--engine=slurm: there is no sbatch here; give the command on a login node of a cluster")
        self.executor()  # refuses what does not suit

    def executor(self, **more: Any) -> Any:
        """What submits."""
        of_slurm = needed("submitit", "slurm").SlurmExecutor
        executor = of_slurm(self.folder, max_num_timeout=MOST_TIMES)
        known, additional = of_slurm._valid_parameters(), {}
        given = {**self.parameters, **more}
        for name in [name for name in given if name not in known]:
            additional[name] = given.pop(name)
        executor.update_parameters(**given, additional_parameters=additional)
        return executor

    def submit(self, jobs: Sequence[SlurmJob], after: Sequence[str]) -> list[str]:
        """Submits jobs as arrays.

        Args:
            jobs: what they do.
            after: numbers of the jobs that all of them wait for, however those end.

        Returns:
            The number of each.

        Raises:
            UsageError: Slurm refuses.
        """
        numbers: list[str] = []
        for first in range(0, len(jobs), LARGEST_ARRAY):
            executor = self.executor(**({"dependency": f"afterany:{':'.join(after)}"} if after else {}))
            try:
                # submitit prints what sbatch says, too
                with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                    submitted = [executor.submit(job) for job in jobs[first : first + LARGEST_ARRAY]]
                numbers += [job.job_id for job in submitted]
            except Exception as error:
                for path in [*self.folder.glob(".submission_file_*"), *self.folder.glob(NOT_SUBMITTED)]:
                    path.unlink(missing_ok=True)
                raise UsageError(f"--engine=slurm: the jobs could not be submitted: {first_error(error)}") from error
            self.states.update(dict.fromkeys(numbers, "PENDING"))
        return numbers

    def state(self, number: str) -> str:
        """The state of a job, such as ``PENDING``; empty if Slurm knows it no more. At most some seconds old."""
        with self.lock:
            if time.monotonic() - self.looked >= BETWEEN_LOOKS:
                self.look()
            return self.states.get(number, "")

    def obstacle(self, number: str) -> str:
        """What Slurm says keeps a job from starting, if that may not pass by itself: a part of the last look."""
        reason = self.reasons.get(number, "None") if self.states.get(number) == "PENDING" else "None"
        return "" if reason in ORDINARY else reason

    def look(self) -> None:
        """Asks for the states of all jobs; if there is no answer, as during a restart of Slurm, the last ones stay."""
        self.looked = time.monotonic()
        try:
            said = subprocess.run(
                ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T|%r"],
                capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
        except (subprocess.SubprocessError, OSError):
            return
        self.looks += 1
        jobs = [line.strip().split("|", 2) for line in said.stdout.splitlines() if line.count("|") >= 2]
        self.states = {number: state for number, state, _ in jobs}
        self.reasons = {number: reason for number, _, reason in jobs}

    def alive(self, number: str) -> bool:
        """Whether a job waits or runs."""
        return self.state(number) not in {"", *OVER}

    def cancel(self, numbers: Sequence[str]) -> None:
        """Takes jobs out of the queue."""
        if numbers:
            subprocess.run(["scancel", *numbers], check=False, capture_output=True)

    def last_words(self, number: str, lines: int = 10) -> str:
        """The end of a job's output."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / f"{number}_0_log.err").read_text(errors="replace").splitlines()[-lines:])
        return ""

    def forget(self, number: str = "") -> None:
        """Removes a job's output; without a number, the scripts of all."""
        for pattern in [f"{number}_*"] if number else ["*_submission.sh", ".submission_file_*"]:
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


def first_error(error: Exception) -> str:
    """What sbatch has said, in a line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "sbatch: error" in line), lines[-1])
