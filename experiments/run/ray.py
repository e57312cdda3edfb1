"""A Ray cluster: each task is a task of Ray, begun as soon as what it waits for is done and a machine has room.

A node that dies costs its tasks one try: they go on elsewhere from the checkpoints in the root, which all nodes share.
"""

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from queue import Queue
from typing import Any

from experiments.options import SessionOptions
from experiments.run.engine import Dispatcher, Failure, engines, failure_of, heard
from experiments.run.plan import Plan
from experiments.run.task_process import MAIN, PATIENCE, Answer, TaskProcess
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations.errors import UsageError, first_line, needed
from foundations.interruption import STOPPING
from foundations.reporting import Began

ADDRESS, MODE, TOKEN, USAGE = "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"


@engines.register("ray")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Run tasks on the cluster at ``$RAY_ADDRESS``, else on one of this machine for as long as the plan takes."""
    with connected() as ray:
        session.context.reporter.say(f"{len(plan)} tasks to a Ray cluster: {resources(ray)}")
        if lacking := no_room(ray, session.options):
            session.context.reporter.warn(lacking)
        tasks = RayTasks(ray, session)
        return Dispatcher(plan, len(plan), tasks.do, tasks.stop, session.context.reporter, begins=False).run()


class RayTasks:
    """The tasks of a plan as tasks of Ray.

    Args:
        ray: the module, connected.
        session: where and how they are done.
    """

    def __init__(self, ray: Any, session: Workspace) -> None:
        options = session.options
        self.ray, self.reporter, self.entries = ray, session.context.reporter, session.entries_elsewhere()
        # A try that fails is one for our schedule to repeat, which counts them: Ray repeats none.
        self.remote = ray.remote(
            num_cpus=options.cpus_per_task, num_gpus=options.gpus_per_task, max_retries=0, num_returns="streaming",
            runtime_env={"env_vars": {"PYTHONPATH": python_path()}},
        )(answers)  # fmt: skip
        self.running: dict[Task, Any] = {}
        self.lock = threading.Lock()
        self.stopped = False

    def do(self, task: Task) -> Failure | None:
        """Wait in a thread of its own until Ray has done a task; return how it failed, if it did."""
        with self.lock:
            if self.stopped:
                return Failure(task, "stopped", refused=True)
            self.running[task] = said = self.remote.remote(self.entries, task.entries())
        try:
            with heard(task, self.reporter) as hear:
                for reference in said:
                    answer: Answer = self.ray.get(reference)
                    if "ended" in answer:
                        return failure_of(task, answer)
                    if "begun" in answer:
                        self.reporter.hear(Began(task))
                    hear(answer)
        except self.ray.exceptions.RayError as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            return Failure(task, reason, refused=self.stopped, details=str(error))
        finally:
            del self.running[task]
        return Failure(task, "Ray has ended it without a result", refused=self.stopped)

    def stop(self) -> None:
        """End those that run; in the middle of a training they write a checkpoint first."""
        with self.lock:
            self.stopped = True
            for said in list(self.running.values()):
                self.ray.cancel(said)


def answers(session: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[Answer]:
    """On a node: yield its name, then the messages of the child process that does a task there."""
    yield {"begun": os.uname().nodename}
    said: Queue[Answer] = Queue()
    process = TaskProcess(session)
    thread = threading.Thread(target=lambda: said.put(process.do(task, said.put)), daemon=True)
    thread.start()
    try:
        while True:
            answer = said.get()
            yield answer
            if "ended" in answer:
                break
    finally:
        process.stop()
        thread.join(PATIENCE)
        process.wait()


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """Ray, connected to the cluster that the environment names or to one that ends with this.

    A cluster of our own takes commands only from who has its token, which is drawn here unless the environment has one;
    of another one the environment says what it wants. Ray reads all that when it is imported: a notebook that has done
    so before has the token that Ray has chosen. Ray's usage statistics are off.
    """
    os.environ.setdefault(USAGE, "0")
    address = os.environ.get(ADDRESS)
    if address is None and "ray" not in sys.modules:
        os.environ.setdefault(MODE, "token")
        if os.environ[MODE] == "token":
            os.environ.setdefault(TOKEN, secrets.token_hex(32))
    ray = needed("ray", "--engine=ray", "adsynflow[ray]")
    more = {} if address is not None else {"include_dashboard": False}
    try:
        with own_signals():
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **more)
    except Exception as error:  # of many kinds, by what is wrong
        where = f"${ADDRESS}={address}" if address is not None else "on this machine"
        raise UsageError(f"--engine=ray: no cluster {where}: {first_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Restore our signal handlers afterwards: Ray's ends the program at SIGTERM without saying how to resume."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # only the main thread can have handlers
            for number, handler in before.items():
                signal.signal(number, handler)


def python_path() -> str:
    return os.pathsep.join(filter(None, [str(MAIN.parent), os.environ.get("PYTHONPATH", "")]))


def no_room(ray: Any, options: SessionOptions) -> str:
    """Return a warning if no node is large enough for a task (an autoscaler may bring one), else an empty text."""
    asked = {"CPU": float(options.cpus_per_task), "GPU": options.gpus_per_task}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0) >= number for name, number in asked.items()) for node in nodes):
        return ""
    return (
        f"--cpus_per_task={asked['CPU']:g} --gpus_per_task={asked['GPU']:g}: no node of the Ray cluster has as many; "
        "the tasks wait until one joins"
    )


def resources(ray: Any) -> str:
    """Return ``2 nodes, 8 CPUs, 1 GPU``."""
    total = ray.cluster_resources()
    nodes = sum(node["Alive"] for node in ray.nodes())
    counts = {"node": nodes, "CPU": total.get("CPU", 0), "GPU": total.get("GPU", 0)}
    return ", ".join(f"{number:g} {name}{'s' if number != 1 else ''}" for name, number in counts.items() if number)
