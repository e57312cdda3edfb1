"""A Slurm cluster of one machine: munged, slurmctld and slurmd of the packages, in a directory of their own."""

import contextlib
import os
import platform
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """\
ClusterName=one_machine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={next_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={here}/munge.socket
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=0,default_queue_depth=1000
ReturnToService=2
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs of Slurm that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextlib.contextmanager
def cluster(here: Path, cpus: int = 4, port: int = 16817) -> Iterator[Mapping[str, str]]:
    """Inside, the cluster runs; yields the environment variables for its commands.

    Args:
        here: its directory.
        cpus: how many it believes to have.
        port: of slurmctld; slurmd has the next one.
    """
    for folder in (here, here / "state", here / "spool"):
        folder.mkdir(parents=True, exist_ok=True)
    host = platform.node().partition(".")[0]
    text = CONFIGURATION.format(host=host, port=port, next_port=port + 1, here=here, cpus=cpus)
    (here / "slurm.conf").write_text(text)
    (here / "munge.key").write_bytes(secrets.token_bytes(128))
    (here / "munge.key").chmod(0o400)
    environment = {**os.environ, "SLURM_CONF": str(here / "slurm.conf")}
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log",
             "seed-file": "munge.seed"}  # fmt: skip
    commands = [
        ["munged", "--foreground", "--force", *(f"--{name}={here / file}" for name, file in files.items())],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            with (here / f"{command[0]}.out").open("wb") as out:
                running.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
            time.sleep(1)
        wait_until_idle(environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, capture_output=True)
        time.sleep(2)
        for process in reversed(running):
            process.terminate()
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


def wait_until_idle(environment: Mapping[str, str]) -> None:
    """Until the node takes jobs."""
    end = time.monotonic() + 60
    while True:
        said = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=dict(environment), capture_output=True, text=True, check=False
        )
        if said.stdout.strip() == "idle":
            return
        assert time.monotonic() < end, said.stdout + said.stderr
        time.sleep(0.5)
