"""A Ray cluster of one machine: a head, and raylets that can be killed."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PORT = 6399  # not among those that Ray gives its workers


@contextlib.contextmanager
def cluster() -> Iterator[Mapping[str, str]]:
    """Inside, the head of a cluster runs, which does no tasks; yields the environment of nodes and commands."""
    here = tempfile.mkdtemp(prefix="ray_")  # the paths of sockets may have no more than 107 characters
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"127.0.0.1:{PORT}", "RAY_TMPDIR": here,
    }  # fmt: skip
    try:
        head = ("--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={here}")
        start(environment, *head)
        yield environment
    finally:
        for process in processes(environment):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(here, ignore_errors=True)


def start(environment: Mapping[str, str], *options: str) -> int:
    """Starts a node; the process of its raylet."""
    before = set(raylets(environment))
    own = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    ray = Path(sys.executable).with_name("ray")
    subprocess.run(
        [str(ray), "start", "--node-ip-address=127.0.0.1", "--disable-usage-stats", *options],
        env=own, check=True, capture_output=True,
    )  # fmt: skip
    [new] = set(raylets(environment)) - before
    return new


def join(environment: Mapping[str, str], cpus: int) -> int:
    """Adds a node to the cluster; the process of its raylet."""
    return start(environment, f"--address=127.0.0.1:{PORT}", f"--num-cpus={cpus}")


def processes(environment: Mapping[str, str]) -> list[int]:
    """The processes of this cluster, by its token in their environment."""
    token, found = environment["RAY_AUTH_TOKEN"].encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if token in path.read_bytes():
                found.append(int(path.parent.name))
    return [process for process in found if process != os.getpid()]


def raylets(environment: Mapping[str, str]) -> list[int]:
    """Those that are nodes."""
    return [process for process in processes(environment) if name_of(process) == "raylet"]


def name_of(process: int) -> str:
    """What the kernel calls a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text().strip()
    return ""
