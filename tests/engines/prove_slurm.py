"""A real Slurm on this machine: arrays, a time limit, a requeue, a cancelled job, a process that is killed."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.engines.proving import LOTTERY, SLOW, Command, all_begun, kill, results, run, trainers, wait_until
from tests.engines.slurm_cluster import cluster, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a cluster of two cores."""
    with cluster(tmp_path_factory.mktemp("slurm"), cpus=3) as environment:
        yield environment


def ask(environment: Mapping[str, str], *command: str) -> str:
    """What a command of Slurm says."""
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True).stdout


def jobs(root: Path) -> dict[str, str]:
    """The job of each task that has one, by its label."""
    files = (json.loads(path.read_text()) for path in root.glob("slurm/*/job.json"))
    return {file["label"]: file["job"] for file in files}


def job_of(root: Path, word: str) -> str:
    """The job of the first task whose label has a word."""
    return next(job for label, job in jobs(root).items() if word in label)


def test_arrays_by_layers_detached_and_watched_by_a_later_command(slurm: Mapping[str, str], tmp_path: Path) -> None:
    code, said = run(tmp_path / "slurm", *LOTTERY, "--engine=slurm", "--detach", environment=slurm)
    assert (code, "12 submitted to Slurm, 0 queued" in said) == (0, True)
    scripts = [path.read_text() for path in (tmp_path / "slurm/slurm/logs").glob("*_submission.sh")]
    assert sorted(re.findall("#SBATCH --array=(.*)", "\n".join(scripts))) == ["0-3%4"] * 3
    assert sum("#SBATCH --dependency=afterany:" in script for script in scripts) == 2
    code, said = run(tmp_path / "slurm", *LOTTERY, "--engine=slurm", environment=slurm)
    assert (code, ": 0 submitted to Slurm" in said) == (0, True)
    assert run(tmp_path / "local", *LOTTERY)[0] == 0
    assert results(tmp_path / "slurm") == results(tmp_path / "local") != {}
    assert not jobs(tmp_path / "slurm")


def test_whatever_stops_a_job_it_goes_on_from_its_checkpoint(slurm: Mapping[str, str], tmp_path: Path) -> None:
    """A process is killed, a job is put back into the queue as by preemption, and all come to their time limit."""
    root, train = tmp_path / "slurm", ("train", *SLOW, "--training_steps=250ep", "--replicate=1-3")
    command = Command(
        root, *train, "--engine=slurm", "--slurm=time=3,signal_delay_s=60,nice=5",
        environment=slurm,
    )  # fmt: skip
    wait_until(all_begun(root, 3), command)
    kill(trainers(root, 1)[0])
    job = job_of(root, "replicate 2")
    ask(slurm, "scontrol", "requeue", job)
    watched = {name: job_of(root, f"replicate {name}") for name in "123"}
    assert command.end() == 0
    restarts = {
        name: int(re.findall(r"Restarts=(\d+)", ask(slurm, "scontrol", "show", "job", number))[0])
        for name, number in watched.items()
    }
    print("restarts", restarts)
    assert min(restarts.values()) >= 1
    assert "its process ended with exit code -9; trying once more" in command.said()
    assert run(tmp_path / "local", *train, "--jobs=3")[0] == 0
    assert results(root) == results(tmp_path / "local") != {}


def test_what_stands_on_a_cancelled_job_is_skipped_and_the_same_command_does_it(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    root = tmp_path / "slurm"
    lottery = ("lottery", *SLOW, "--training_steps=8ep", "--k=4ep", "--replicate=1-2")
    command = Command(root, *lottery, "--engine=slurm", environment=slurm)
    wait_until(all_begun(root, 2), command)
    ask(slurm, "scancel", job_of(root, "replicate 1, to 4ep"))
    assert command.end() == 1
    said = command.said()
    assert re.search(r"its job \d+_0 was cancelled", said)
    assert [line.rpartition(", ")[2] for line in said.splitlines() if "skipped, since" in line] == [
        "mask of level 1", "level 1",
    ]  # fmt: skip
    assert len(list(root.glob("lottery_*/replicate_2/level_1/done.json"))) == 1
    code, said = run(root, *lottery, "--engine=slurm", environment=slurm)
    assert (code, "3 tasks: 3 submitted" in said) == (0, True)
    assert run(tmp_path / "local", *lottery)[0] == 0
    assert results(root) == results(tmp_path / "local") != {}
